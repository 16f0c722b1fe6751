"""Retention, giving space back and copies, while appends go on."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from quire.errors import HomeError
from quire.limits import RELAY_STEP_MAILBOXES, RELAY_STEP_PAGES, RELAY_STEP_RECORDS
from quire.relay.log_store import Pruned, Retention
from quire.relay.sqlite_log import SqliteLog
from tests.relay.conformance import BOX, ONE, OTHER_BOX, TWO, whole_log
from tests.relay.log_model import CONTENT, T0, name, records

PAGE = 4_096


def _run(path: Path, scenario: Callable[[SqliteLog], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        store = SqliteLog(path)
        await scenario(store)
        await store.close()

    asyncio.run(whole())


async def _while_appending(store: SqliteLog, work: Awaitable[Any]) -> tuple[Any, int]:
    """Do it while TWO appends to BOX one by one; what it gave, and how many were acknowledged before its end."""
    running = asyncio.ensure_future(work)
    count = (await store.append(BOX, TWO, [], T0)).taken
    before = count
    while not running.done():
        count = (await store.append(BOX, TWO, records(count + 1, 1), T0 + 1_000)).taken
    return await running, count - before


def test_old_records_go_in_steps_with_appends_between(tmp_path: Path) -> None:
    async def scenario(store: SqliteLog) -> None:
        many = 5 * RELAY_STEP_RECORDS + 7
        for start in range(1, many, 1_000):
            await store.append(BOX, ONE, records(start, min(1_000, many + 1 - start), scopes=CONTENT), T0)
        removed, appended = await _while_appending(store, store.prune(Retention(age=10), T0 + 500))
        assert removed == Pruned(many, 20 * many)
        assert appended >= 5
        log = await whole_log(store, BOX)
        assert [(kept.device, kept.record.local) for kept in log] == [(TWO, n + 1) for n in range(appended)]
        assert log[0].seq >= many - RELAY_STEP_RECORDS  # some came while the last of them were still there

    _run(tmp_path / "relay.db", scenario)


def test_mailboxes_are_looked_through_to_the_last(tmp_path: Path) -> None:
    async def scenario(store: SqliteLog) -> None:
        boxes = [name("box", n) for n in range(2 * RELAY_STEP_MAILBOXES + 5)]
        old = {boxes[0], boxes[-1]}
        calls = [
            store.append(box, ONE, records(1, 1, scopes=CONTENT), T0 if box in old else T0 + 100)
            for box in (*boxes, OTHER_BOX)
        ]
        await asyncio.gather(*calls)
        assert await store.prune(Retention(age=10), T0 + 100) == Pruned(2, 40)
        assert await store.prune(Retention(age=10), T0 + 100) == Pruned(0, 0)
        assert (await store.usage())[:2] == (len(boxes) + 1, len(boxes) - 1)

    _run(tmp_path / "relay.db", scenario)


async def _fill(store: SqliteLog, count: int) -> int:
    for start in range(1, count, 500):
        await store.append(BOX, ONE, records(start, 500, size=1_000, scopes=CONTENT), T0)
    return (await store.usage()).disk


def test_the_file_shrinks_while_appends_go_on(tmp_path: Path) -> None:
    async def scenario(store: SqliteLog) -> None:
        full = await _fill(store, 4_000)
        assert full > 3 * RELAY_STEP_PAGES * PAGE
        (removed, appended) = await _while_appending(store, store.prune(Retention(age=10), T0 + 500))
        assert removed.records == 4_000
        assert appended > 3
        pruned = (await store.usage()).disk
        assert pruned < full / 2
        _, appended = await _while_appending(store, store.compact())
        assert appended > 0
        assert (tmp_path / "relay.db").stat().st_size < full / 20
        await store.compact()
        assert (await store.usage()).disk < pruned
        assert len(await whole_log(store, BOX)) == (await store.append(BOX, TWO, [], T0)).taken

    _run(tmp_path / "relay.db", scenario)


def test_space_that_will_soon_be_needed_is_kept(tmp_path: Path) -> None:
    async def scenario(store: SqliteLog) -> None:
        await _fill(store, 4_000)
        await store.compact()
        full = (await store.usage()).disk
        await store.prune(Retention(size=3_900_000), T0)
        assert (await store.usage()).disk >= full
        await store.compact()
        assert (await store.usage()).disk < full

    _run(tmp_path / "relay.db", scenario)


def test_a_copy_is_made_while_appends_go_on_and_is_a_store(tmp_path: Path) -> None:
    path, copy = tmp_path / "relay.db", tmp_path / "copy.db"

    async def scenario(store: SqliteLog) -> None:
        assert await _fill(store, 4_000) > 3 * RELAY_STEP_PAGES * PAGE
        await store.acknowledge(BOX, TWO, 3_000)
        _, appended = await _while_appending(store, store.backup(copy))
        assert appended >= 3
        with pytest.raises(HomeError, match="a copy replaces nothing"):
            await store.backup(copy)
        assert copy.stat().st_mode & 0o077 == 0
        last = await whole_log(store, BOX)
        restored = SqliteLog(copy)
        log = await whole_log(restored, BOX)
        assert log == last[: len(log)]
        assert len(log) > 4_000
        assert (await restored.positions(BOX))[TWO].synced == 3_000
        assert (await restored.append(BOX, TWO, records(100_000, 1), T0)).tip.length == len(log) + 1
        await restored.close()
        assert await whole_log(store, BOX) == last

    _run(path, scenario)
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "copy.db",
        "copy.db.lock",
        "relay.db",
        "relay.db.lock",
    ]


def test_a_copy_holds_while_old_records_go(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"

    async def scenario(store: SqliteLog) -> None:
        await _fill(store, 4_000)
        before = await whole_log(store, BOX)
        await asyncio.gather(store.backup(copy), store.prune(Retention(size=50_000), T0))
        restored = SqliteLog(copy)
        log = await whole_log(restored, BOX)
        assert log == before[len(before) - len(log) :]
        await restored.close()

    _run(tmp_path / "relay.db", scenario)


def test_where_a_copy_cannot_be_it_is_told(tmp_path: Path) -> None:
    async def scenario(store: SqliteLog) -> None:
        await store.append(BOX, ONE, records(1, 3), T0)
        with pytest.raises(HomeError, match="a copy replaces nothing"):
            await store.backup(tmp_path / "relay.db")
        with pytest.raises(HomeError, match="could not be written: No such file"):
            await store.backup(tmp_path / "nowhere" / "copy.db")
        (tmp_path / "folder").mkdir()
        with pytest.raises(HomeError, match="a copy replaces nothing"):
            await store.backup(tmp_path / "folder")
        assert len(await whole_log(store, BOX)) == 3

    _run(tmp_path / "relay.db", scenario)
