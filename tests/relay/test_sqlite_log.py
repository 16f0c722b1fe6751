"""The SQLite store: the conformance suite, and what waits for the disk."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from quire.limits import (
    ACK_DELAY_S,
    MAX_RELAY_LOG_RECORDS,
    MAX_RELAY_RECORD,
    MAX_RELAY_WAITING_BYTES,
    MAX_WAITING_ACKS,
    RELAY_GROUP_RECORDS,
)
from quire.net.relay_wire import Record
from quire.relay import sqlite_log
from quire.relay.log_store import Appended, LogStore, Position, StoreUnavailable
from quire.relay.sqlite_log import SqliteLog
from tests.relay.conformance import BOX, ONE, OTHER_BOX, TWO, Conformance, OpenStore, whole_log
from tests.relay.log_model import T0, name, records


class TestSqliteLog(Conformance):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        async def opened() -> LogStore:
            return SqliteLog(tmp_path / "relay.db")

        return opened


def _run(path: Path, scenario: Callable[[SqliteLog], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        store = SqliteLog(path)
        await scenario(store)
        await store.close()

    asyncio.run(whole())


def test_appends_that_come_together_share_a_transaction(tmp_path: Path) -> None:
    async def scenario(store: SqliteLog) -> None:
        told: list[int] = []
        store.watch(lambda _, tip: told.append(tip.length))
        await asyncio.gather(*(store.append(BOX, name(n), records(1, 3), T0) for n in range(100)))
        await asyncio.sleep(0)
        assert told == [300]

    _run(tmp_path / "relay.db", scenario)


def test_what_is_on_its_way_to_the_disk_is_told_before_it_is_kept(tmp_path: Path) -> None:
    async def scenario(store: SqliteLog) -> None:
        told: list[tuple[str, int]] = []
        store.watch(
            lambda _, tip: told.append(("grown", tip.length)),
            lambda _, tip: told.append(("soon", tip.length)),
        )
        store._file.in_thread = _failing(store._file.in_thread)  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            await store.append(BOX, ONE, records(1, 3), T0)
        await store.append(BOX, ONE, records(1, 4), T0)
        await asyncio.sleep(0)
        assert told == [("soon", 3), ("soon", 4), ("grown", 4)]

    _run(tmp_path / "relay.db", scenario)


def _failing(in_thread: Callable[..., Any]) -> Callable[..., Any]:
    """The first call fails, once the loop went on."""
    calls: list[Any] = []

    async def call(act: Any) -> Any:
        calls.append(act)
        if len(calls) == 1:
            await asyncio.sleep(0.01)
            raise StoreUnavailable("no room")
        return await in_thread(act)

    return call


def test_a_transaction_takes_a_bounded_number_of_records(tmp_path: Path) -> None:
    async def scenario(store: SqliteLog) -> None:
        told: list[int] = []
        store.watch(lambda _, tip: told.append(tip.length))
        half = RELAY_GROUP_RECORDS // 2
        await asyncio.gather(*(store.append(BOX, name(n), records(1, half), T0) for n in range(3)))
        await asyncio.sleep(0)
        assert told == [2 * half, 3 * half]
        more = records(1, RELAY_GROUP_RECORDS + 1)  # alone, though larger: all of it or nothing
        assert (await store.append(BOX, ONE, more, T0)).taken == RELAY_GROUP_RECORDS + 1

    _run(tmp_path / "relay.db", scenario)


def test_more_than_the_disk_can_take_is_refused_at_once(tmp_path: Path) -> None:
    async def scenario(store: SqliteLog) -> None:
        data = bytes(MAX_RELAY_RECORD)
        calls = [
            store.append(BOX, name(n), [Record(1, T0, "space", data)], T0)
            for n in range(MAX_RELAY_WAITING_BYTES // MAX_RELAY_RECORD + 20)
        ]
        done = await asyncio.gather(*calls, return_exceptions=True)
        refused = [one for one in done if isinstance(one, StoreUnavailable)]
        assert len(refused) >= 20
        assert "slower than what arrives" in str(refused[0])
        kept = [one for one in done if isinstance(one, Appended)]
        assert len(kept) + len(refused) == len(done)
        assert (await store.append(BOX, ONE, records(1, 1), T0)).tip.length == len(kept) + 1

    _run(tmp_path / "relay.db", scenario)


def _written(path: Path) -> dict[bytes, int]:
    """What the file says that each device has acknowledged."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        rows: Any = db.execute("SELECT device, synced FROM devices WHERE synced > 0")
        return dict(rows)


def test_acknowledgements_go_with_the_next_append(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"

    async def scenario(store: SqliteLog) -> None:
        await store.append(BOX, ONE, records(1, 5), T0)
        await store.acknowledge(BOX, TWO, 4)
        assert _written(path) == {}
        assert (await store.positions(BOX))[TWO] == Position(synced=4)
        await store.append(OTHER_BOX, ONE, records(1, 1), T0)
        assert _written(path) == {TWO: 4}
        assert (await store.positions(BOX))[TWO] == Position(synced=4)

    _run(path, scenario)


def test_acknowledgements_are_written_soon_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"

    async def scenario(store: SqliteLog) -> None:
        await store.append(BOX, ONE, records(1, 5), T0)
        await store.acknowledge(BOX, TWO, 3)
        for _ in range(200):
            if _written(path):
                break
            await asyncio.sleep(ACK_DELAY_S / 10)
        assert _written(path) == {TWO: 3}
        await store.acknowledge(BOX, TWO, 5)

    _run(path, scenario)
    assert _written(path) == {TWO: 5}


def test_many_acknowledgements_do_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "relay.db"
    assert MAX_WAITING_ACKS > 3
    monkeypatch.setattr(sqlite_log, "MAX_WAITING_ACKS", 3)
    monkeypatch.setattr(sqlite_log, "ACK_DELAY_S", 60)

    async def scenario(store: SqliteLog) -> None:
        await store.append(BOX, ONE, records(1, 5), T0)
        for n in range(2):
            await store.acknowledge(BOX, name(n), 1)
        assert _written(path) == {}
        await store.acknowledge(BOX, name(2), 1)
        assert len(_written(path)) == 3

    _run(path, scenario)


def test_a_log_has_as_many_records_as_places_can_count(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"

    async def begin(store: SqliteLog) -> None:
        await store.append(BOX, ONE, records(1, 2), T0)

    async def go_on(store: SqliteLog) -> None:
        calls = [
            store.append(box, ONE, records(3, count), T0)
            for box, count in ((BOX, 2), (BOX, 1), (OTHER_BOX, 1))
        ]
        refused, last, other = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(refused, StoreUnavailable)
        assert isinstance(last, Appended)
        assert isinstance(other, Appended)  # what is refused to one of a group is not to others
        assert (last.tip.length, other.tip.length) == (MAX_RELAY_LOG_RECORDS, 1)
        part = await store.read(BOX, MAX_RELAY_LOG_RECORDS - 1, 5, 1_000)
        assert [kept.seq for kept in part.records] == [MAX_RELAY_LOG_RECORDS]
        assert len((await store.read(OTHER_BOX, 0, 5, 1_000)).records) == 1
        with pytest.raises(StoreUnavailable, match="as many records as one can have"):
            await store.append(BOX, ONE, records(4, 1), T0)

    _run(path, begin)
    with closing(apsw.Connection(str(path))) as db:  # as if four thousand million had come since
        db.execute(f"UPDATE mailboxes SET length = {MAX_RELAY_LOG_RECORDS - 1}")
        db.execute(f"UPDATE log SET n = (n >> 32 << 32) + {MAX_RELAY_LOG_RECORDS - 1} WHERE place = 2")
    _run(path, go_on)


def test_who_stops_waiting_hinders_nobody(tmp_path: Path) -> None:
    async def scenario(store: SqliteLog) -> None:
        calls = [asyncio.ensure_future(store.append(BOX, name(n), records(1, 5), T0)) for n in range(10)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(one) for one in done] == [asyncio.CancelledError, Appended] * 5
        assert len(await whole_log(store, BOX)) == 50  # they were taken: a retry is a repeat

    _run(tmp_path / "relay.db", scenario)


def test_closing_finishes_what_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SqliteLog(tmp_path / "relay.db")
        calls = [asyncio.ensure_future(store.append(BOX, name(n), records(1, 500), T0)) for n in range(20)]
        await asyncio.sleep(0)
        await store.close()
        assert [(await call).taken for call in calls] == [500] * 20

    asyncio.run(scenario())
