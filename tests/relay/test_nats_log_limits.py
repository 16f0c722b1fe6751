"""The bounds of the JetStream store, each met on real servers; large appends, a full disk, wrong addresses."""

import asyncio
from collections.abc import Iterator

import pytest

import quire.relay.nats_log as nats_log_module
import quire.relay.nats_mailbox as nats_mailbox_module
from quire.errors import HomeError, UserError
from quire.limits import (
    ACK_DELAY_S,
    APPENDS_PER_PAGE,
    MAX_REMEMBERED_MAILBOXES,
    MAX_SPANS,
    MAX_WAITING_ACKS,
    MAX_WAITING_APPENDS,
    NATS_HEARTBEAT_S,
    NATS_PATIENCE_S,
    NATS_REQUEST_S,
    NATS_SWITCH_S,
    PAGES_PER_QUESTION,
    RELAY_PAGE_BYTES,
    REMEMBERED_PAGE_BYTES,
    SNAPSHOT_PAGES,
)
from quire.relay.log_store import Retention, StoreBusy, StoreGone, StoreUnavailable
from quire.relay.nats_log import NatsLog
from quire.relay.nats_mailbox import PageCache
from quire.relay.stores import nats_servers, open_store
from tests.relay.cluster import Cluster
from tests.relay.conformance import ALL, BOX, ONE, OTHER_BOX, TWO, settled, whole_log
from tests.relay.log_model import CONTENT, T0, name, records


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture
def url(cluster: Cluster) -> str:
    asyncio.run(cluster.empty())
    return cluster.url


async def opened(url: str) -> NatsLog:
    store = await open_store(url)
    assert isinstance(store, NatsLog)
    return store


def test_two_processes_append_to_one_mailbox_at_once(url: str) -> None:
    async def write(store: NatsLog, device: bytes) -> None:
        for n in range(40):
            done = await store.append(BOX, device, records(1 + 3 * n, 3), T0)
            assert (done.had, done.taken) == (3 * n, 3 * n + 3)

    async def scenario() -> None:
        stores = [await opened(url), await opened(url)]
        grown: list[list[int]] = [[], []]
        for store, lengths in zip(stores, grown, strict=True):
            store.watch(lambda mailbox, tip, lengths=lengths: lengths.append(tip.length))  # type: ignore[misc]
        await asyncio.gather(*(write(stores[n % 2], name(n)) for n in range(6)))
        assert len(await whole_log(stores[0], BOX)) == 720
        assert await whole_log(stores[0], BOX) == await whole_log(stores[1], BOX)
        await settled(lambda: all(lengths[-1] == 720 for lengths in grown))
        for lengths in grown:
            assert lengths == sorted(set(lengths))
        for _ in range(20):  # each sees at once what the other kept, also where it has nothing new to write
            tip = (await stores[0].append(BOX, ONE, records(1, _ + 1), T0)).tip
            assert (await stores[1].append(BOX, name(0), records(1, 3), T0)).tip == tip
            assert (await stores[1].append(BOX, TWO, [], T0)).tip == tip
            assert (await stores[1].read(BOX, 700, 1_000, ALL)).tip == tip
            assert (await stores[1].positions(BOX))[ONE].local == _ + 1
        await asyncio.gather(*(store.close() for store in stores))

    asyncio.run(scenario())


def test_an_append_larger_than_a_page_is_kept_whole(url: str) -> None:
    async def scenario() -> None:
        store, other = await opened(url), await opened(url)
        large = records(1, 20, size=120_000)
        assert sum(len(one.data) for one in large) > 4 * RELAY_PAGE_BYTES
        done = await asyncio.gather(
            store.append(BOX, ONE, large, T0),
            other.append(BOX, TWO, large, T0),
            store.append(BOX, name(3), records(1, 2), T0),
        )
        assert [one.taken for one in done] == [20, 20, 2]
        log = await whole_log(other, BOX)
        places = [kept.seq for kept in log if kept.device == ONE]
        assert places == list(range(places[0], places[0] + 20))
        assert len(log) == 42
        await store.close()
        await other.close()

    asyncio.run(scenario())


def test_many_pages_are_found_again_by_one_who_remembers_nothing(url: str) -> None:
    async def scenario() -> None:
        store = await opened(url)
        count = MAX_SPANS * 4 + SNAPSHOT_PAGES // 2  # more pages than spans and than one question gives
        assert count > 4 * PAGES_PER_QUESTION
        for n in range(1, count + 1):
            await store.append(BOX, (ONE, TWO)[n % 2], records(n, 1), T0)
        log = await whole_log(store, BOX)
        await store.close()
        for after in (0, 1, 77, count // 2, count - 40, count - 1):
            store = await opened(url)
            assert (await store.read(BOX, after, 5, ALL)).records == log[after : after + 5]
            newer = [kept for kept in log[after:] if kept.device == TWO]
            assert await store.news(BOX, ONE, after) == ([(TWO, len(newer))] if newer else [])
            await store.close()
        store = await opened(url)
        assert await store.range(BOX, "", "~", 1, True) == [log[-1]]
        assert await store.range(BOX, "", "~", 3, False) == log[:3]
        assert await store.prune(Retention(size=20 * 100), T0) == (count - 100, 20 * (count - 100))
        assert await whole_log(store, BOX) == log[-100:]
        for after in (count - 100, count - 90, count - 30):
            assert await store.news(BOX, ONE, after) == [(TWO, (count - after) // 2)]
        await store.close()

    asyncio.run(scenario())


def test_what_was_pruned_before_does_not_take_the_last_snapshot_with_it(url: str) -> None:
    async def scenario() -> None:
        store = await opened(url)
        await store.append(BOX, ONE, records(1, 3, scopes=CONTENT), T0)
        assert await store.prune(Retention(age=1), T0 + 9) == (3, 60)
        await store.append(BOX, ONE, records(4, 3, scopes=CONTENT), T0 + 9)
        assert await store.prune(Retention(age=1), T0 + 9) == (0, 0)
        await store.close()
        store = await opened(url)
        assert [kept.seq for kept in await whole_log(store, BOX)] == [4, 5, 6]
        assert (await store.append(BOX, ONE, [], T0)).taken == 6
        await store.close()

    asyncio.run(scenario())


def test_so_many_appends_to_one_mailbox_wait(url: str) -> None:
    async def scenario() -> None:
        store = await opened(url)
        calls = (store.append(BOX, name(n), records(1, 1), T0) for n in range(MAX_WAITING_APPENDS + 1))
        done = await asyncio.gather(*calls, return_exceptions=True)
        refused = [one for one in done if isinstance(one, BaseException)]
        assert [type(one) for one in refused] == [StoreBusy]
        assert len(await whole_log(store, BOX)) == MAX_WAITING_APPENDS > APPENDS_PER_PAGE
        await store.close()

    asyncio.run(scenario())


def test_mailboxes_and_pages_are_forgotten(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_REMEMBERED_MAILBOXES > 2
    assert REMEMBERED_PAGE_BYTES > RELAY_PAGE_BYTES
    monkeypatch.setattr(nats_log_module, "MAX_REMEMBERED_MAILBOXES", 2)
    monkeypatch.setattr(nats_mailbox_module, "REMEMBERED_PAGE_BYTES", 2_000)

    async def scenario() -> None:
        store = await opened(url)
        for again in range(3):
            for box in range(5):
                await store.append(name(box), ONE, records(1 + again, 1, size=1_500), T0)
        assert len(store._boxes) == 2
        for box in range(5):
            assert [kept.record.local for kept in await whole_log(store, name(box))] == [1, 2, 3]
        cache: PageCache = store._cache
        assert len(cache._pages) == 1
        await store.close()

    asyncio.run(scenario())


def test_acknowledgements_are_written_together_and_at_the_latest_at_the_end(url: str) -> None:
    async def scenario() -> None:
        store = await opened(url)
        await store.append(BOX, ONE, records(1, 50), T0)
        await store.append(OTHER_BOX, ONE, records(1, 50), T0)
        before = await _messages_written(store)
        for seq in range(1, 51):
            await store.acknowledge(BOX, TWO, seq)
            await store.acknowledge(OTHER_BOX, TWO, seq)
        assert (await store.positions(BOX))[TWO].synced == 50
        await asyncio.sleep(3 * ACK_DELAY_S)
        assert await _messages_written(store) - before <= 20
        await store.acknowledge(BOX, ONE, 7)
        await store.close()
        store = await opened(url)
        positions = await store.positions(BOX)
        assert (positions[ONE].synced, positions[TWO].synced) == (7, 50)
        await store.close()

    asyncio.run(scenario())


def test_it_closes_while_others_write(url: str) -> None:
    async def write(store: NatsLog) -> None:
        for n in range(1, 1_000_000):
            await store.append(BOX, ONE, records(n, 1), T0)

    async def scenario() -> None:
        other = await opened(url)
        writing = asyncio.create_task(write(other))
        for _ in range(20):  # news may come in the very moment in which it closes
            store = await opened(url)
            await store.append(BOX, TWO, records(1, 1), T0)
            await store.close()
            assert store._follower.done()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await other.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_so_many_acknowledgements_wait(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import quire.relay.nats_synced as module

    assert MAX_WAITING_ACKS > 3
    monkeypatch.setattr(module, "MAX_WAITING_ACKS", 3)
    monkeypatch.setattr(module, "ACK_DELAY_S", 60)

    async def scenario() -> None:
        store = await opened(url)
        await store.append(BOX, ONE, records(1, 5), T0)
        for device in range(4):
            await store.acknowledge(BOX, name(device), 5)
            assert len(store._synced._waiting) <= 3
        other = await opened(url)
        written = await other.positions(BOX)
        assert [written[name(device)].synced for device in range(3)] == [5, 5, 5]
        await store.close()
        await other.close()

    asyncio.run(scenario())


def test_a_process_that_knows_less_never_takes_a_device_back(url: str) -> None:
    async def scenario() -> None:
        store, other = await opened(url), await opened(url)
        await store.append(BOX, ONE, records(1, 9), T0)
        await store.acknowledge(BOX, ONE, 9)
        await other.acknowledge(BOX, ONE, 4)
        await asyncio.gather(store.close(), other.close())
        store = await opened(url)
        assert (await store.positions(BOX))[ONE].synced == 9
        await store.close()

    asyncio.run(scenario())


def test_a_full_stream_is_told_at_once_and_nothing_of_it_is_kept(cluster: Cluster, url: str) -> None:
    """An operator bounds the stream (`nats stream edit --max-bytes`) to less than the disk."""

    async def fill(store: NatsLog) -> int:
        for local in range(0, 3_000, 10):
            try:
                more = store.append(BOX, ONE, records(local + 1, 10, size=40_000), T0)
                await asyncio.wait_for(more, NATS_PATIENCE_S / 2)
            except StoreUnavailable:
                return local
        raise AssertionError("it took more than its bound")

    async def scenario() -> None:
        store = await opened(url)
        await _bound(cluster, 5_000_000)
        local = await fill(store)
        assert (await store.append(BOX, ONE, [], T0)).taken == local
        assert [kept.record.local for kept in await whole_log(store, BOX)] == list(range(1, local + 1))
        await _bound(cluster, 5_500_000)  # what is removed is noted first, which takes some room
        assert (await store.prune(Retention(size=1_000_000), T0)).records > 0
        await _bound(cluster, 5_000_000)
        assert (await store.append(BOX, ONE, records(local + 1, 10, size=40_000), T0)).taken == local + 10
        await store.close()

    asyncio.run(scenario())


def test_streams_that_are_gone_are_told_and_are_no_empty_mailboxes(cluster: Cluster, url: str) -> None:
    async def scenario() -> None:
        store = await opened(url)
        await store.append(BOX, ONE, records(1, 3), T0)
        await cluster.empty()
        for asked in (lambda: store.check(False), lambda: store.read(OTHER_BOX, 0, 10, 10_000)):
            with pytest.raises(StoreGone, match="start the relay's processes again"):
                await asked()
        with pytest.raises(StoreUnavailable):
            await store.append(BOX, ONE, records(4, 3), T0)
        await store.close()
        anew = await opened(url)
        assert (await anew.append(BOX, ONE, records(1, 6), T0)).taken == 6
        await anew.close()

    asyncio.run(scenario())


def test_no_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import quire.relay.nats_client as module

    assert NATS_REQUEST_S < NATS_PATIENCE_S
    assert NATS_HEARTBEAT_S < NATS_PATIENCE_S
    assert 2 * NATS_SWITCH_S < NATS_PATIENCE_S, "there is time for each of three servers"
    monkeypatch.setattr(module, "NATS_PATIENCE_S", 0.5)
    with pytest.raises(HomeError, match="None of the 2 NATS servers can be used: nothing listens there"):
        asyncio.run(open_store("nats://127.0.0.1:1,127.0.0.1:2"))


def test_addresses() -> None:
    assert nats_servers("nats://a,b:4222") == ["nats://a", "nats://b:4222"]
    assert nats_servers("tls://a:1, b:2,[::1]:3/") == ["tls://a:1", "tls://b:2", "tls://[::1]:3"]
    for wrong in ("nats://", "nats:///", "nats://a:b", "http://a", "nats://[", "tls://x:99999"):
        assert nats_servers(wrong) == []
        with pytest.raises(UserError):
            asyncio.run(open_store(wrong))


async def _bound(cluster: Cluster, size: int) -> None:
    async with cluster.connected() as client:
        jetstream = client.jetstream()
        config = (await jetstream.stream_info("QUIRE_LOG")).config
        await jetstream.update_stream(config, max_bytes=size)


async def _messages_written(store: NatsLog) -> int:
    answer = await store._link._ask("STREAM.INFO.QUIRE_SYNCED", {})
    return int(answer["state"]["last_seq"])
