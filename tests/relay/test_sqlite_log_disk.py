"""The SQLite store on a disk that is full, whose files may not grow, or that gives back something else."""

import asyncio
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from quire.errors import Damaged, HomeError
from quire.limits import RELAY_LEAST_DISK
from quire.relay import sqlite_beside
from quire.relay.counters import Counters
from quire.relay.log_store import Retention, StoreDamaged, StoreGone, StoreReadOnly, StoreUnavailable
from quire.relay.sqlite_file import SHARED_KIB
from quire.relay.sqlite_log import SqliteLog
from quire.relay.store_watch import StoreWatch
from tests.process.small_disk import SmallDisk, small_disk
from tests.relay.appenders import appending, examine
from tests.relay.conformance import BOX, ONE, TWO, whole_log
from tests.relay.log_model import T0, records


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    yield from small_disk(tmp_path / "disk")


async def _append_until_full(store: SqliteLog) -> tuple[int, str]:
    """Append until it fails: the last number that was acknowledged, and what the failure says."""
    taken = 0
    for _ in range(10_000):
        try:
            taken = (await store.append(BOX, ONE, records(taken + 1, 20, size=900), T0)).taken
        except StoreUnavailable as refused:
            return taken, str(refused)
    raise AssertionError("the disk took it all")


def test_a_full_disk_is_told_and_lived_through(disk: SmallDisk) -> None:
    async def scenario() -> None:
        store = SqliteLog(disk.folder / "relay.db")
        await store.append(BOX, TWO, records(1, 40, size=900), T0)
        disk.fill()
        taken, text = await _append_until_full(store)
        assert "is full" in text
        assert "Free some space" in text
        for _ in range(3):  # each of those that wait together is told
            calls = [store.append(BOX, ONE, records(taken + 1, 20, size=900), T0) for _ in range(5)]
            refused = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(one) for one in refused} == {StoreReadOnly}
        for writing in (False, True):
            with pytest.raises(StoreReadOnly, match="is full"):
                await store.check(writing)
        assert len(await whole_log(store, BOX)) == 40 + taken  # what is there can be read
        assert (await store.append(BOX, ONE, [], T0)).taken == taken
        with pytest.raises(StoreUnavailable, match="is full"):
            await store.prune(Retention(size=1), T0)
        with pytest.raises(HomeError, match="its disk is full"):
            await store.backup(disk.folder / "copy.db")
        assert not (disk.folder / "copy.db.part").exists()
        disk.free()
        await store.check(True)
        assert (await store.append(BOX, ONE, records(taken + 1, 20, size=900), T0)).taken == taken + 20
        grown, text = await _append_until_full(store)  # by what it holds itself
        assert grown > taken
        await store.close()
        again = SqliteLog(disk.folder / "relay.db")
        log = await whole_log(again, BOX)
        assert [kept.record.local for kept in log if kept.device == ONE] == list(range(1, grown + 1))
        await again.close()

    asyncio.run(scenario())


def test_on_a_full_disk_it_opens_again_and_reads(disk: SmallDisk) -> None:
    path = disk.folder / "relay.db"

    async def scenario() -> None:
        store = SqliteLog(path)
        await store.append(BOX, TWO, records(1, 40, size=900), T0)
        disk.fill()
        taken, _ = await _append_until_full(store)
        await store.close()
        again = SqliteLog(path)
        assert len(await whole_log(again, BOX)) == 40 + taken
        with pytest.raises(StoreReadOnly, match="is full"):
            await again.append(BOX, ONE, records(taken + 1, 20, size=900), T0)
        await again.close()
        with pytest.raises(HomeError, match=r"smaller takes some room first. Free [\d,]+ bytes"):
            sqlite_beside.compact(path)
        with pytest.raises(HomeError, match="its disk is full"):
            sqlite_beside.copy(path, disk.folder / "copy.db")
        assert [file.name for file in disk.folder.glob("copy*")] == []

    asyncio.run(scenario())


def test_a_store_that_was_closed_says_what_it_needs_to_open_on_a_full_disk(disk: SmallDisk) -> None:
    async def scenario() -> None:
        path = disk.folder / "relay.db"
        await SqliteLog(path).close()
        disk.fill()
        with pytest.raises(HomeError, match=f"is full: to open it SQLite needs {SHARED_KIB} KiB"):
            SqliteLog(path)
        disk.free()
        disk.fill(leaving=SHARED_KIB * 1024 + 8_192)
        await SqliteLog(path).close()

    asyncio.run(scenario())


def test_a_disk_that_is_almost_full_counts_as_full(disk: SmallDisk) -> None:
    async def scenario() -> None:
        store = SqliteLog(disk.folder / "relay.db")
        await store.check(False)
        disk.fill(leaving=RELAY_LEAST_DISK - 100_000)
        with pytest.raises(StoreReadOnly, match="is full"):
            await store.check(False)
        disk.free()
        await store.check(False)
        await store.close()

    asyncio.run(scenario())


def test_on_an_almost_full_disk_it_is_read_only_and_stays_so_until_there_is_room(disk: SmallDisk) -> None:
    told: list[str] = []

    async def scenario() -> None:
        store = SqliteLog(disk.folder / "relay.db")
        watch = StoreWatch(store, Counters(), lambda event, **_: told.append(event))
        await store.append(BOX, TWO, records(1, 40, size=900), T0)
        for left in (RELAY_LEAST_DISK - 100_000, 2 * RELAY_LEAST_DISK - 100_000):
            disk.fill(leaving=left)
            for _ in range(3):
                with pytest.raises(
                    StoreReadOnly, match=r"is full but for [37]\.9 MiB.* until 8 MiB are free"
                ) as refused:
                    await store.append(BOX, ONE, records(1, 1), T0)
                watch.failed(refused.value)
                trouble = await watch.look()
                assert trouble
                assert trouble.status == "read-only"
            await store.acknowledge(BOX, TWO, 7)
            assert len(await whole_log(store, BOX)) == 40
            disk.free()
        assert (await store.append(BOX, ONE, records(1, 1), T0)).taken == 1
        assert await watch.look() is None
        disk.fill(leaving=RELAY_LEAST_DISK - 100_000)
        assert await watch.look()
        assert (await store.prune(Retention(size=1), T0)).records == 41  # which makes room
        await store.close()

    asyncio.run(scenario())
    assert told == ["store-unavailable", "store-available", "store-unavailable"]


@pytest.mark.parametrize("ending", ["", "-wal", "-shm"])
def test_a_store_whose_file_was_taken_away_keeps_nothing_more_and_says_so(
    tmp_path: Path, ending: str
) -> None:
    told: list[tuple[str, str]] = []
    name = tmp_path / f"relay.db{ending}"

    async def scenario() -> None:
        store = SqliteLog(tmp_path / "relay.db")
        watch = StoreWatch(store, Counters(), lambda event, text="", **_: told.append((event, text)))
        await store.append(BOX, TWO, records(1, 40), T0)
        assert await watch.look() is None
        name.rename(tmp_path / "away")
        for _ in range(2):
            trouble = await watch.look()
            assert trouble
            assert (trouble.status, "was moved, removed or replaced" in trouble.text) == ("unavailable", True)
            name.write_bytes(b"another")
            with pytest.raises(StoreGone, match="Start the relay again"):
                await store.append(BOX, ONE, records(1, 1), T0)
        with pytest.raises(StoreGone):
            await store.prune(Retention(size=1), T0)
        assert len(await whole_log(store, BOX)) == 40
        (tmp_path / "away").rename(name)  # it is the file that is open
        assert await watch.look() is None
        assert (await store.append(BOX, ONE, records(1, 1), T0)).taken == 1
        await store.close()

    asyncio.run(scenario())
    assert [event for event, _ in told] == ["store-unavailable", "store-available"]
    assert str(name) in told[0][1]


def test_files_that_may_not_grow_are_lived_through(tmp_path: Path) -> None:
    """As a full disk, where none can be made: a limit on the size of the child's files."""
    path = tmp_path / "relay.db"
    with appending(path) as run:
        run.next(50)
        resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        deadline = time.monotonic() + 30
        while not run.refusals and time.monotonic() < deadline:
            run.next(1)
        assert "cannot be read or written" in run.refusals[0] or "full" in run.refusals[0]
        before = dict(run.acknowledged)
        resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        while run.acknowledged == before and time.monotonic() < deadline:
            run.next(1)
        assert run.acknowledged != before
    examine(path, run.acknowledged)


def _fill(path: Path) -> None:
    async def scenario() -> None:
        store = SqliteLog(path)
        await store.append(BOX, ONE, records(1, 2_000, size=300), T0)
        await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "content", [b"no database, " * 1_000, bytes(100_000), Random(1).randbytes(100_000)], ids=len
)
def test_garbage_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "relay.db"
    path.write_bytes(content)
    with pytest.raises(Damaged, match="is damaged"):
        SqliteLog(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "relay.db"
    _fill(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(Damaged, match="latest backup"):
        SqliteLog(path)


def test_pages_that_are_torn_are_told_in_plain_words(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    _fill(path)
    with path.open("r+b") as file:
        for page in range(12, path.stat().st_size // 4096, 3):
            file.seek(4096 * page)
            file.write(b"\xff" * 4096)

    async def scenario() -> None:
        store = SqliteLog(path)
        with pytest.raises(StoreDamaged, match="is damaged"):
            await whole_log(store, BOX)
        assert (await store.append(BOX, ONE, [], T0)).taken == 2_000
        with pytest.raises(Damaged, match="its copy is not whole"):
            await store.backup(tmp_path / "copy.db")
        assert not [*tmp_path.glob("copy*")]
        await store.close()

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_write_ahead_log_that_was_cut_off_leaves_whole_appends(tmp_path: Path) -> None:
    """What a power cut can leave of what was not acknowledged yet."""

    async def scenario() -> None:
        path = tmp_path / "relay.db"
        store = SqliteLog(path)
        for part in range(30):
            await store.append(BOX, ONE, records(1 + 5 * part, 5, size=300), T0)
        log = await whole_log(store, BOX)
        written = Path(f"{path}-wal").read_bytes()
        seen = set()
        for cut in range(0, len(written), 9_999):
            copy = tmp_path / "copy.db"
            shutil.copy(path, copy)
            Path(f"{copy}-wal").write_bytes(written[: len(written) - cut])
            if cut % 2:
                Path(f"{copy}-wal").write_bytes(written[: len(written) - cut] + bytes(cut))
            torn = SqliteLog(copy)
            left = await whole_log(torn, BOX)
            assert left == log[: len(left)]
            assert len(left) % 5 == 0
            assert (await torn.append(BOX, TWO, records(1, 1), T0)).tip.length == len(left) + 1
            seen.add(len(left))
            await torn.close()
            for name in ("copy.db", "copy.db-wal", "copy.db-shm"):
                (tmp_path / name).unlink(missing_ok=True)
        await store.close()
        assert 150 in seen
        assert len(seen) > 5

    asyncio.run(scenario())
