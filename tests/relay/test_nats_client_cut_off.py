"""The JetStream store while servers are cut off from each other, from the relay, or slow: nothing is lost or twice."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from quire.relay.log_store import LogStore, StoreUnavailable
from quire.relay.stores import open_store
from tests.relay.cluster import SERVERS
from tests.relay.conformance import BOX, ONE, TWO, whole_log
from tests.relay.log_model import T0, records
from tests.relay.partitions import Partitioned, Wire

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Partitioned]:
    with Partitioned(tmp_path) as running:
        yield running


class Device:
    """Appends a batch after the other until it is told to stop; `acknowledged` is its last number that was."""

    def __init__(self, store: LogStore, key: bytes, size: int = 300) -> None:
        self.key = key
        self.size = size
        self.acknowledged = self.refusals = 0
        self._store = store
        self._over = False
        self._task = asyncio.ensure_future(self._append())

    async def _append(self) -> None:
        while not self._over:
            added = records(self.acknowledged + 1, 5, size=self.size)
            try:
                done = await self._store.append(BOX, self.key, added, T0)
            except StoreUnavailable:
                self.refusals += 1
                continue
            assert done.taken == self.acknowledged + 5
            self.acknowledged = done.taken

    async def gets_on(self, more: int = 25) -> None:
        """Wait until so many more are acknowledged."""
        wanted = self.acknowledged + more
        async with asyncio.timeout(90):
            while self.acknowledged < wanted:
                assert not self._task.done(), self._task
                await asyncio.sleep(0.05)

    async def end(self) -> None:
        self._over = True
        await self._task


async def _whole(url: str, *devices: Device) -> None:
    """What was acknowledged is there once, in order, in a chain without a gap; else there is a last batch at most."""
    store = await open_store(url)
    log = await whole_log(store, BOX)  # checks places, digests and chain
    assert [kept.seq for kept in log] == list(range(1, len(log) + 1))
    for device in devices:
        kept = [one.record for one in log if one.device == device.key]
        assert kept == records(1, len(kept), size=device.size)
        assert device.acknowledged <= len(kept) <= device.acknowledged + 5
    assert len(log) == sum(1 for one in log if one.device in {device.key for device in devices})
    await store.close()


@pytest.mark.parametrize("leads", [True, False])
def test_a_server_that_is_cut_off_acknowledges_nothing_and_others_go_on(
    cluster: Partitioned, leads: bool
) -> None:
    async def scenario() -> None:
        await (await open_store(cluster.url)).close()
        leader = await cluster.leader("QUIRE_LOG")
        server = leader if leads else (leader + 1) % SERVERS
        inside, everywhere = await open_store(cluster.url_of(server)), await open_store(cluster.url)
        alone, free = Device(inside, ONE), Device(everywhere, TWO)
        await alone.gets_on()
        await free.gets_on()
        with cluster.cut_off(server):
            before = alone.acknowledged
            while not alone.refusals:  # told, after it was tried for long
                await free.gets_on()
            # What was under way when it was cut off may have been kept before.
            assert alone.acknowledged <= before + 5
        await alone.gets_on()
        await free.gets_on()
        for device in (alone, free):
            await device.end()
        await _whole(cluster.url, alone, free)
        await inside.close()
        await everywhere.close()

    asyncio.run(scenario())


def test_a_relay_leaves_a_server_that_is_cut_off_for_another(cluster: Partitioned) -> None:
    async def scenario() -> None:
        stores = [await open_store(cluster.url) for _ in range(2)]
        devices = [Device(stores[0], ONE), Device(stores[1], TWO)]
        for server in range(SERVERS):
            for device in devices:
                await device.gets_on()
            with cluster.cut_off(server):
                for device in devices:
                    await device.gets_on()
        for device in devices:
            await device.end()
        await _whole(cluster.url, *devices)
        for store in stores:
            await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("size", [300, 100_000])
def test_a_connection_that_is_dead_without_a_word_is_left(cluster: Partitioned, size: int) -> None:
    """The server lives; not a byte gets through to it, and nothing says that the connection is over."""

    async def scenario() -> None:
        store = await open_store(cluster.url)
        device = Device(store, ONE, size)
        other = Device(store, TWO, size)
        await device.gets_on()
        for wire in cluster.clients:
            wire.frozen.set()
            for one in (device, other):
                await one.gets_on()
            wire.frozen.clear()
        for one in (device, other):
            await one.end()
        await _whole(cluster.url, device, other)
        await store.close()

    asyncio.run(scenario())


def test_a_server_that_is_slow_keeps_everybody_no_longer_than_that(cluster: Partitioned) -> None:
    async def scenario() -> None:
        store = await open_store(cluster.url)
        device = Device(store, ONE)
        await device.gets_on()
        for server in range(SERVERS):
            slow = _wires_of(cluster, server)
            for wire in slow:
                wire.delay_s = 0.1
            await device.gets_on()
            for wire in slow:
                wire.delay_s = 0.0
        assert not device.refusals
        await device.end()
        await _whole(cluster.url, device)
        await store.close()

    asyncio.run(scenario())


def _wires_of(cluster: Partitioned, server: int) -> list[Wire]:
    routes = [wire for pair, wire in cluster.routes.items() if server in pair]
    return [*routes, cluster.clients[server]]
