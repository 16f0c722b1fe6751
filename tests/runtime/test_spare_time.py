import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import apsw
import pytest

from quire.api.operations import call
from quire.errors import HomeError
from quire.limits import INDEX_STEP
from quire.runtime import spare_time
from quire.runtime.folder import open_offline
from quire.runtime.host import OfflineHost
from quire.runtime.spare_time import SpareTime


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OfflineHost]:
    monkeypatch.setattr(spare_time, "_AFTER_A_FAILURE", 0.02)
    with open_offline(tmp_path) as made:
        call(made, "createIdentity", {"name": "alice"})
        call(made, "createSpace", {"name": "club"})
        yield made


def _write(host: OfflineHost, count: int, size: int = 10) -> None:
    for start in range(0, count, 1_000):
        texts = [f"{n} " + "w" * size for n in range(start, min(start + 1_000, count))]
        call(host, "sendMessages", {"target": "general", "texts": texts})


async def _until(check: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if check():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def _height(host: OfflineHost) -> int:
    """How far some log is known to be held without a gap."""
    (height,) = host.home.store.db.one("SELECT max(seq) FROM frontiers") or (None,)
    return height or 0


def _run(host: OfflineHost, body: Callable[[SpareTime], Awaitable[None]]) -> None:
    async def run() -> None:
        spare = SpareTime(host.home, lambda: False)
        spare.start()
        try:
            await body(spare)
        finally:
            await spare.stop()

    asyncio.run(run())


def test_what_was_written_before_and_since_is_indexed_in_small_steps(host: OfflineHost) -> None:
    _write(host, 3 * INDEX_STEP)

    async def body(spare: SpareTime) -> None:
        await _until(lambda: host.home.search.backlog() == 0)
        await _until(lambda: _height(host) >= 3 * INDEX_STEP)
        _write(host, 10)
        assert host.home.search.backlog() == 10
        spare.changed()
        await _until(lambda: host.home.search.backlog() == 0)

    _run(host, body)


@pytest.mark.parametrize(
    "error",
    [
        HomeError("full"),
        apsw.FullError("full"),
        apsw.CorruptError("torn"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "a damaged text"),
    ],
)
def test_indexing_goes_on_after_an_error(
    host: OfflineHost, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    _write(host, 10)
    real = host.home.search.step
    failures: list[int] = []

    def failing() -> int:
        if len(failures) < 3:
            failures.append(1)
            raise error
        return real()

    monkeypatch.setattr(host.home.search, "step", failing)

    async def body(_: SpareTime) -> None:
        await _until(lambda: host.home.search.backlog() == 0)

    _run(host, body)
    assert len(failures) == 3
