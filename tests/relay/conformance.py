"""What every log store does. A store's own tests subclass `Conformance` and give the fixture `open_store`."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quire.net.relay_wire import NO_CHAIN, Record, digest, link, sort_key
from quire.relay.log_store import Appended, Kept, LogStore, Part, Position, Pruned, Retention, Tip
from tests.relay.log_model import CONTENT, T0, Model, name, records, sorted_as

#: Opens the same store each time, with what was kept in it; it is closed before it is opened again.
OpenStore = Callable[[], Awaitable[LogStore]]

BOX, OTHER_BOX = name("box"), name("other box")
ONE, TWO, THREE = name("one"), name("two"), name("three")
ALL = 1 << 30


def run(open_store: OpenStore, scenario: Callable[[LogStore], Coroutine[Any, Any, None]]) -> None:
    """Open the store, do it, and close."""

    async def whole() -> None:
        store = await open_store()
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(whole())


async def whole_log(store: LogStore, mailbox: bytes, after: int = 0) -> list[Kept]:
    """Every record after a place, in pages, with places and chain found right by recomputation."""
    found: list[Kept] = []
    chain = b""
    while True:
        part = await store.read(mailbox, after, 700, 100_000)
        if found:
            assert (part.first, part.before) == (found[-1].seq + 1, chain)
        chain = check_part(part)
        found += part.records
        if not part.records:
            assert chain == part.tip.chain
            assert part.first == part.tip.length + 1
            return found
        after = found[-1].seq


def check_part(part: Part) -> bytes:
    """Places without a gap, digests of what is given; the chain after the last record."""
    assert [kept.seq for kept in part.records] == list(range(part.first, part.first + len(part.records)))
    assert [kept.digest for kept in part.records] == [
        digest(kept.device, kept.record) for kept in part.records
    ]
    return link(part.before, [kept.digest for kept in part.records])


async def settled(condition: Callable[[], bool]) -> None:
    """Wait until it holds, at most ten seconds."""
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to be so")


class Conformance:
    """Tests that take `open_store`. `examples`: how many random histories are tried."""

    examples = 60

    def test_one_relays_key_is_remembered(self, open_store: OpenStore) -> None:
        async def first(store: LogStore) -> None:
            assert await store.served_under() is None
            tried = await asyncio.gather(*(store.serve_under(key, None) for key in (ONE, TWO)))
            assert set(tried) == {await store.served_under()} < {ONE, TWO}
            assert (await store.usage()).mailboxes == 0

        async def again(store: LogStore) -> None:
            known = await store.served_under()
            assert await store.serve_under(THREE, THREE) == known
            assert await store.serve_under(THREE, None) == known
            assert await store.serve_under(THREE, known) == THREE
            assert (await store.append(BOX, ONE, records(1, 3), T0)).taken == 3
            assert (await store.usage()).mailboxes == 1
            assert await store.served_under() == THREE

        run(open_store, first)
        run(open_store, again)

    def test_nobody_wrote_yet(self, open_store: OpenStore) -> None:
        async def scenario(store: LogStore) -> None:
            assert await store.append(BOX, ONE, [], T0) == Appended(0, 0, Tip(), 0)
            assert await store.read(BOX, 0, 10, 1_000) == Part(1, NO_CHAIN, [], Tip(0, NO_CHAIN))
            assert await store.read(BOX, 7, 10, 1_000) == Part(1, NO_CHAIN, [], Tip())
            assert await store.range(BOX, "", "~", 10, False) == []
            assert await store.news(BOX, ONE, 0) == []
            await store.acknowledge(BOX, ONE, 3)
            assert (await store.positions(BOX)).get(ONE, Position()) == Position()
            assert (await store.usage())[:3] == (0, 0, 0)
            assert await store.prune(Retention(1, 1), T0) == Pruned(0, 0)

        run(open_store, scenario)

    def test_a_look_at_it_changes_nothing(self, open_store: OpenStore) -> None:
        async def scenario(store: LogStore) -> None:
            await store.append(BOX, ONE, records(1, 5), T0)
            for writing in (False, True):
                await store.check(writing)
            assert (await store.usage())[:2] == (1, 5)
            assert (await store.append(BOX, ONE, records(6, 5), T0)).tip.length == 10

        run(open_store, scenario)

    def test_records_come_back_in_the_order_of_arrival(self, open_store: OpenStore) -> None:
        async def scenario(store: LogStore) -> None:
            first, second = records(1, 5, seed=1), records(1, 3, seed=2)
            done = await store.append(BOX, ONE, first, T0)
            assert (done.had, done.taken, done.tip.length, done.size) == (0, 5, 5, 100)
            done = await store.append(BOX, TWO, second, T0 + 1)
            assert (done.had, done.taken, done.tip.length, done.size) == (0, 3, 8, 160)
            log = await whole_log(store, BOX)
            assert [(kept.device, kept.record) for kept in log] == [(ONE, one) for one in first] + [
                (TWO, one) for one in second
            ]
            assert done.tip.chain == link(NO_CHAIN, [kept.digest for kept in log])
            assert await whole_log(store, BOX, after=6) == log[6:]
            assert await whole_log(store, OTHER_BOX) == []
            assert await store.append(BOX, ONE, [], T0) == Appended(5, 5, done.tip, 160)

        run(open_store, scenario)

    def test_repeats_are_skipped(self, open_store: OpenStore) -> None:
        async def scenario(store: LogStore) -> None:
            await store.append(BOX, ONE, records(1, 5), T0)
            again = await store.append(BOX, ONE, records(1, 5), T0)
            assert (again.had, again.taken, again.tip.length) == (5, 5, 5)
            overlapping = await store.append(BOX, ONE, records(4, 4), T0)
            assert (overlapping.had, overlapping.taken, overlapping.tip.length) == (5, 7, 7)
            older = await store.append(BOX, ONE, records(2, 2, seed=9), T0)
            assert (older.had, older.taken, older.tip) == (7, 7, overlapping.tip)
            with_gap = await store.append(BOX, ONE, records(100, 1), T0)
            assert (with_gap.had, with_gap.taken, with_gap.tip.length) == (7, 100, 8)
            log = await whole_log(store, BOX)
            assert [kept.record.local for kept in log] == [1, 2, 3, 4, 5, 6, 7, 100]
            other = await store.append(OTHER_BOX, ONE, records(1, 2), T0)  # a device of another mailbox
            assert (other.had, other.taken, other.tip.length) == (0, 2, 2)

        run(open_store, scenario)

    def test_one_device_that_appends_without_waiting_keeps_its_order(self, open_store: OpenStore) -> None:
        async def scenario(store: LogStore) -> None:
            parts = [store.append(BOX, ONE, records(1 + 7 * part, 7), T0) for part in range(40)]
            done = await asyncio.gather(*parts)
            assert [one.had for one in done] == [7 * part for part in range(40)]
            log = await whole_log(store, BOX)
            assert [kept.record.local for kept in log] == list(range(1, 281))

        run(open_store, scenario)

    def test_many_devices_append_at_once(self, open_store: OpenStore) -> None:
        devices = [name("device", n) for n in range(12)]

        async def write(store: LogStore, mailbox: bytes, device: bytes, seed: int) -> None:
            random = Random(seed)
            local = 1
            while local <= 60:
                count = random.randrange(1, 20)
                done = await store.append(
                    mailbox, device, records(max(1, local - 3), count + 3, seed=seed), T0
                )
                assert done.had == local - 1
                local = done.taken + 1

        async def scenario(store: LogStore) -> None:
            boxes = [BOX] * 6 + [name("box", n) for n in range(6)]
            await asyncio.gather(
                *(write(store, boxes[n], device, n) for n, device in enumerate(devices)),
                *(write(store, OTHER_BOX, device, n) for n, device in enumerate(devices)),
            )
            total = 0
            for box in {*boxes, OTHER_BOX}:
                log = await whole_log(store, box)
                total += len(log)
                for device in {kept.device for kept in log}:
                    local = [kept.record.local for kept in log if kept.device == device]
                    assert local == list(range(1, len(local) + 1))
                    assert len(local) >= 60
            assert (await store.usage())[:2] == (8, total)

        run(open_store, scenario)

    def test_reads_keep_to_their_bounds(self, open_store: OpenStore) -> None:
        async def scenario(store: LogStore) -> None:
            sizes = [10, 5_000, 20, 20, 20, 90_000]
            added = [Record(n, T0, "space", bytes([n]) * size) for n, size in enumerate(sizes, 1)]
            await store.append(BOX, ONE, added, T0)
            for most_records in (1, 2, 3, 100):
                for most_bytes in (0, 1, 29, 59, 60, 5_030, ALL):
                    for after in range(6):
                        part = await store.read(BOX, after, most_records, most_bytes)
                        got = [len(kept.record.data) for kept in part.records]
                        assert 1 <= len(got) <= most_records
                        assert len(got) == 1 or sum(got) <= most_bytes
                        assert got == sizes[after : after + len(got)]
                        assert part.tip.length == 6
                        check_part(part)
            assert len((await store.read(BOX, 2, 100, 60)).records) == 3

        run(open_store, scenario)

    def test_after_the_end_there_is_nothing(self, open_store: OpenStore) -> None:
        async def scenario(store: LogStore) -> None:
            tip = (await store.append(BOX, ONE, records(1, 3), T0)).tip
            for after in (3, 4, 1_000, (1 << 53) - 1):
                assert await store.read(BOX, after, 10, 1_000) == Part(4, tip.chain, [], tip)
            assert await store.news(BOX, TWO, (1 << 53) - 1) == []

        run(open_store, scenario)

    def test_ranges_go_by_the_sort_key(self, open_store: OpenStore) -> None:
        async def scenario(store: LogStore) -> None:
            random = Random(5)
            for device in (ONE, TWO, THREE):
                added = [Record(n, T0 + random.randrange(30), "space", b"x") for n in range(1, 21)]
                await store.append(BOX, device, added, T0)
            await store.append(OTHER_BOX, ONE, records(1, 5), T0)
            log = sorted(await whole_log(store, BOX), key=sorted_as)
            keys = [sorted_as(kept) for kept in log]
            low, high = keys[7], keys[40]
            assert await store.range(BOX, "", "~", 100, False) == log
            assert await store.range(BOX, "", "~", 100, True) == log[::-1]
            assert await store.range(BOX, low, high, 100, False) == log[7:40]
            assert await store.range(BOX, low, high, 100, True) == log[7:40][::-1]
            assert await store.range(BOX, low, high, 5, False) == log[7:12]
            assert await store.range(BOX, low, high, 5, True) == log[35:40][::-1]
            assert await store.range(BOX, low, low, 5, False) == []
            assert await store.range(BOX, high, low, 5, True) == []
            assert await store.range(BOX, "", "~", 1, True) == [log[-1]]  # HEAD of the log
            start, end = sort_key(T0 + 10, 0, b""), sort_key(T0 + 20, 0, b"")
            between = [kept for kept in log if T0 + 10 <= kept.record.ts < T0 + 20]
            assert await store.range(BOX, start, end, 100, False) == between

        run(open_store, scenario)

    def test_positions_never_go_back_nor_beyond_the_end(self, open_store: OpenStore) -> None:
        async def scenario(store: LogStore) -> None:
            await store.append(BOX, ONE, records(1, 10, size=30), T0)
            for seq, synced in ((4, 4), (2, 4), (0, 4), (-1, 4), (9, 9), (99, 10), (5, 10)):
                await store.acknowledge(BOX, TWO, seq)
                assert (await store.positions(BOX))[TWO] == Position(0, synced, 0)
            assert (await store.positions(BOX))[ONE] == Position(10, 0, 300)
            await store.append(BOX, TWO, records(5, 1, size=7), T0)
            await store.acknowledge(BOX, ONE, 11)
            assert await store.positions(BOX) == {ONE: Position(10, 11, 300), TWO: Position(5, 10, 7)}
            assert await store.positions(OTHER_BOX) == {}
            await asyncio.gather(*(store.acknowledge(BOX, TWO, seq) for seq in (11, 3, 7)))
            assert (await store.positions(BOX))[TWO].synced == 11

        run(open_store, scenario)

    def test_ten_new_from_device_2_and_six_from_device_3(self, open_store: OpenStore) -> None:
        async def scenario(store: LogStore) -> None:
            await store.append(BOX, ONE, records(1, 3), T0)
            await store.append(BOX, TWO, records(1, 4), T0)
            await store.acknowledge(BOX, ONE, 7)
            await store.append(BOX, ONE, records(4, 2), T0)
            await store.append(BOX, TWO, records(5, 4), T0)
            await store.append(BOX, THREE, records(1, 6), T0)
            await store.append(BOX, TWO, records(9, 6), T0)
            synced = (await store.positions(BOX))[ONE].synced
            assert synced == 7
            assert dict(await store.news(BOX, ONE, synced)) == {TWO: 10, THREE: 6}
            assert dict(await store.news(BOX, THREE, 0)) == {ONE: 5, TWO: 14}
            assert await store.news(BOX, TWO, 25) == []

        run(open_store, scenario)

    def test_watchers_are_told_of_what_grew(self, open_store: OpenStore) -> None:
        async def scenario(store: LogStore) -> None:
            told: dict[bytes, list[Tip]] = {}
            store.watch(lambda mailbox, tip: told.setdefault(mailbox, []).append(tip))
            tip = (await store.append(BOX, ONE, records(1, 3), T0)).tip
            await settled(lambda: told.get(BOX, [Tip()])[-1] == tip)
            await store.append(BOX, ONE, records(1, 3), T0)
            await store.acknowledge(BOX, ONE, 2)
            await asyncio.gather(*(store.append(BOX, name(n), records(1, 2), T0) for n in range(9)))
            tip = (await store.append(OTHER_BOX, ONE, records(1, 1), T0)).tip
            await settled(lambda: told.get(OTHER_BOX, [Tip()])[-1] == tip)
            await settled(lambda: told[BOX][-1].length == 21)
            assert [one.length for one in told[BOX]] == sorted({one.length for one in told[BOX]})
            assert told[BOX][-1] == (await store.append(BOX, ONE, [], T0)).tip

        run(open_store, scenario)

    def test_old_records_go(self, open_store: OpenStore) -> None:
        async def scenario(store: LogStore) -> None:
            for day in range(6):
                content = records(1 + 5 * day, 5, scopes=CONTENT)
                await store.append(BOX, (ONE, TWO)[day % 2], content, T0 + day)
            await store.append(OTHER_BOX, ONE, records(1, 2, scopes=CONTENT), T0 + 5)
            await store.acknowledge(BOX, TWO, 12)
            before = await whole_log(store, BOX)
            assert await store.prune(Retention(age=3), T0 + 3) == Pruned(0, 0)  # none is older yet
            assert await store.prune(Retention(age=3), T0 + 5) == Pruned(10, 200)
            await _check_pruned(store, before, floor=10)
            assert (await store.positions(BOX))[TWO] == Position(30, 12, 200)
            assert dict(await store.news(BOX, ONE, 0)) == {TWO: 10}
            assert dict(await store.news(BOX, ONE, 12)) == {TWO: 10}
            assert dict(await store.news(BOX, ONE, 17)) == {TWO: 8}
            assert (await store.usage())[:3] == (2, 22, 440)
            assert await store.prune(Retention(age=1), T0 + 100) == Pruned(22, 440)
            tip = (await store.append(BOX, ONE, [], T0)).tip
            assert tip.length == 30
            assert await store.read(BOX, 0, 10, ALL) == Part(31, tip.chain, [], tip)
            assert await store.range(BOX, "", "~", 10, True) == []
            done = await store.append(BOX, ONE, records(26, 2), T0 + 200)  # an emptied log goes on as it was
            assert (done.had, done.taken, done.tip.length, done.size) == (25, 27, 32, 40)
            assert [kept.seq for kept in await whole_log(store, BOX)] == [31, 32]

        run(open_store, scenario)

    def test_what_is_no_content_stays_whatever_its_age(self, open_store: OpenStore) -> None:
        async def scenario(store: LogStore) -> None:
            for scope, box in (("friend", BOX), ("private", OTHER_BOX)):
                await store.append(box, ONE, records(1, 20, size=50, scopes=[scope]), T0)  # type: ignore[list-item]
                await store.append(box, TWO, records(1, 2, size=50, scopes=CONTENT), T0)
            assert await store.prune(Retention(age=1), T0 + 1_000) == Pruned(0, 0)
            assert await store.prune(Retention(age=1, lasting=900), T0 + 1_000) == Pruned(8, 400)
            assert await store.prune(Retention(age=1, lasting=900), T0 + 1_000) == Pruned(0, 0)
            assert [kept.seq for kept in await whole_log(store, BOX)] == list(range(5, 23))
            assert await store.prune(Retention(age=1, lasting=99), T0 + 1_000) == Pruned(36, 1_800)
            assert (await store.usage())[:3] == (2, 0, 0)

        run(open_store, scenario)

    def test_mailboxes_are_kept_to_a_size(self, open_store: OpenStore) -> None:
        async def scenario(store: LogStore) -> None:
            for part in range(6):
                await store.append(BOX, (ONE, TWO)[part % 2], records(1 + 5 * part, 5, size=50), T0)
            await store.append(OTHER_BOX, ONE, records(1, 5, size=50), T0)
            before = await whole_log(store, BOX)
            assert await store.prune(Retention(), T0 + 1_000) == Pruned(0, 0)
            assert await store.prune(Retention(size=1_500), T0) == Pruned(0, 0)
            assert await store.prune(Retention(size=999), T0) == Pruned(11, 550)
            await _check_pruned(store, before, floor=11)
            assert len(await whole_log(store, OTHER_BOX)) == 5
            assert (await store.append(BOX, ONE, [], T0)).size == 950
            assert (await store.usage())[:3] == (2, 24, 1_200)

        run(open_store, scenario)

    def test_opened_again_it_is_the_same(self, open_store: OpenStore) -> None:
        async def write(store: LogStore) -> None:
            await store.append(BOX, ONE, records(1, 50), T0)
            await store.append(BOX, TWO, records(3, 20), T0 + 9)
            await store.prune(Retention(size=1_000), T0)
            await store.acknowledge(BOX, TWO, 33)
            seen.append(await _all_of(store))

        async def again(store: LogStore) -> None:
            assert await _all_of(store) == seen[0]
            assert (await store.append(BOX, TWO, records(22, 2), T0)).tip.length == 71

        seen: list[list[Any]] = []
        run(open_store, write)
        run(open_store, again)

    def test_any_history_is_as_the_model_says(self, open_store: OpenStore) -> None:
        whole = settings(max_examples=self.examples, deadline=None, suppress_health_check=list(HealthCheck))
        model = Model()
        count = 0

        @whole
        @given(st.lists(ACTIONS, min_size=1, max_size=25))
        def try_one(actions: list[tuple[Any, ...]]) -> None:
            nonlocal count
            count += 1
            boxes = [name(count, "a"), name(count, "b")]

            async def scenario(store: LogStore) -> None:
                for groups in actions:
                    await _do(store, model, boxes, groups)
                await _compare(store, model, boxes)

            run(open_store, scenario)

        try_one()


#: Appends that are made at once (mailbox, device, first local number, count, size), or something else.
_APPEND = st.tuples(
    st.integers(0, 1), st.integers(0, 2), st.integers(1, 30), st.integers(0, 9), st.sampled_from((1, 40, 400))
)
_KEEPS = st.builds(
    Retention, st.sampled_from((0, 5, 20)), st.sampled_from((0, 300, 2_000)), st.sampled_from((200, 1_000))
)
ACTIONS = st.one_of(
    st.tuples(st.just("append"), st.lists(_APPEND, min_size=1, max_size=4), st.integers(0, 50)),
    st.tuples(st.just("acknowledge"), st.integers(0, 1), st.integers(0, 3), st.integers(-1, 60)),
    st.tuples(st.just("prune"), _KEEPS, st.integers(0, 50)),
    st.tuples(st.just("look"), st.integers(0, 1), st.integers(-1, 60), st.integers(1, 20), st.integers(0, 900)),
)  # fmt: skip


async def _do(store: LogStore, model: Model, boxes: list[bytes], action: tuple[Any, ...]) -> None:
    match action:
        case ("append", appends, now):
            calls = [
                (boxes[box], name("device", device), records(first, count, size, seed=device), T0 + now)
                for box, device, first, count, size in appends
            ]
            if len({call[:1] for call in calls}) == len(calls):  # else the store says what came first
                assert await asyncio.gather(*(store.append(*call) for call in calls)) == [
                    model.append(*call) for call in calls
                ]
            else:
                for call in calls:
                    assert await store.append(*call) == model.append(*call)
        case ("acknowledge", box, device, seq):
            await store.acknowledge(boxes[box], name("device", device), seq)
            model.acknowledge(boxes[box], name("device", device), seq)
        case ("prune", keep, now):
            assert await store.prune(keep, T0 + now) == model.prune(keep, T0 + now)
        case (_, box, after, most_records, most_bytes):
            got = await store.read(boxes[box], after, most_records, most_bytes)
            right = model.read(boxes[box], after, most_records, most_bytes)
            assert got._replace(records=[]) == right._replace(records=[])
            assert got.records == right.records[: len(got.records)]
            assert bool(got.records) == bool(right.records)
            news = await store.news(boxes[box], name("device", 0), after)
            assert dict(news) == model.news(boxes[box], name("device", 0), after)


async def _compare(store: LogStore, model: Model, boxes: list[bytes]) -> None:
    assert (await store.usage())[:3] == model.usage()
    for box in boxes:
        assert await whole_log(store, box) == model.read(box, 0, ALL, ALL).records
        for newest in (False, True):
            found = await store.range(box, sort_key(T0 + 3, 0, b""), "~", 7, newest)
            assert found == model.range(box, sort_key(T0 + 3, 0, b""), "~", 7, newest)
        assert _noted(await store.positions(box)) == _noted(model.positions(box))


def _noted(positions: dict[bytes, Position]) -> dict[bytes, Position]:
    return {device: position for device, position in positions.items() if position != Position()}


async def _check_pruned(store: LogStore, before: list[Kept], floor: int) -> None:
    """What is left is as it was, and what is gone is told by the chain alone."""
    assert await whole_log(store, BOX) == before[floor:]
    part = await store.read(BOX, 0, 5, ALL)
    assert part.first == floor + 1
    assert part.before == link(NO_CHAIN, [kept.digest for kept in before[:floor]])
    assert part.tip == Tip(len(before), link(NO_CHAIN, [kept.digest for kept in before]))
    assert (await store.read(BOX, floor + 2, 2, ALL)).records == before[floor + 2 : floor + 4]
    last = before[-1]
    assert await store.range(BOX, "", "~", 1, True) == [max(before[floor:], key=sorted_as)]
    again = await store.append(BOX, last.device, [last.record], T0)  # a local number outlives its record
    assert (again.had, again.taken, again.tip) == (last.record.local, last.record.local, part.tip)


async def _all_of(store: LogStore) -> list[Any]:
    return [
        await whole_log(store, BOX),
        await store.read(BOX, 0, 5, ALL),
        await store.positions(BOX),
        await store.news(BOX, ONE, 40),
        (await store.usage())[:3],
        await store.append(BOX, TWO, [], T0),
    ]
