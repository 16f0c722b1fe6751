"""The JetStream store while servers and relay processes are killed: nothing acknowledged is lost, nothing is twice."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import pytest

from quire.limits import NATS_PATIENCE_S, NATS_SILENT_S
from quire.relay.log_store import LogStore, StoreUnavailable
from quire.relay.stores import open_store
from tests.relay.cluster import Cluster
from tests.relay.conformance import BOX, ONE, TWO, whole_log
from tests.relay.log_model import T0, name, records
from tests.relay.nats_appender import DEVICES, SHARED

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as running:
        yield running


class Appender:
    """A run of `nats_appender`; `acknowledged` is (mailbox, device) and the last number."""

    def __init__(self, url: str, first: int) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
        command = [sys.executable, "-m", "tests.relay.nats_appender", url, str(first)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, cwd=ROOT, env=environment, text=True
        )
        self.acknowledged: dict[tuple[int, int], int] = {}
        self._reader = Thread(target=self._read)
        self._reader.start()

    def gets_on(self, records: int) -> None:
        """Wait until every device has so many more acknowledged in each of its mailboxes."""
        had = dict(self.acknowledged)
        until = monotonic() + 90
        while len(self.acknowledged) < 2 * DEVICES or any(
            local < had.get(pair, 0) + records for pair, local in list(self.acknowledged.items())
        ):
            assert monotonic() < until, "it does not get on"
            assert self._process.poll() is None, "it has ended by itself"
            sleep(0.05)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(30)
        self._reader.join(30)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):
                    mailbox, device, local = map(int, line.split())
                    self.acknowledged[mailbox, device] = local


async def examine(url: str, acknowledged: dict[tuple[int, int], int]) -> int:
    """Everything acknowledged is there once, in order, in a chain without a gap; how many records are."""
    store = await open_store(url)
    total = 0
    for mailbox in {pair[0] for pair in acknowledged}:
        log = await whole_log(store, name("mailbox", mailbox))  # checks places, digests and chain
        assert [kept.seq for kept in log] == list(range(1, len(log) + 1))
        total += len(log)
        for device in [pair[1] for pair in acknowledged if pair[0] == mailbox]:
            kept = [kept.record for kept in log if kept.device == name("device", device)]
            assert kept == records(1, len(kept), size=300, seed=device)
            assert len(kept) >= acknowledged[mailbox, device]
    await store.close()
    return total


def test_servers_and_a_relay_process_are_killed_under_load(cluster: Cluster) -> None:
    runs = [Appender(cluster.url, 1), Appender(cluster.url, 1 + DEVICES)]
    try:
        for server in range(3):  # whichever leads is among them
            for run in runs:
                run.gets_on(60)
            cluster.kill(server)
            for run in runs:
                run.gets_on(60)
            asyncio.run(cluster.heal())
        runs[0].kill()
        runs[1].gets_on(60)
        runs.append(
            Appender(cluster.url, 1)
        )  # its devices know nothing of what was kept, and hand all over again
        runs[2].gets_on(60)
    finally:
        for run in runs:
            run.kill()
    acknowledged = runs[1].acknowledged
    for pair, local in runs[0].acknowledged.items():
        acknowledged[pair] = max(local, runs[2].acknowledged.get(pair, 0))
    assert len({pair for pair in acknowledged if pair[0] == SHARED}) == 2 * DEVICES
    assert asyncio.run(examine(cluster.url, acknowledged)) >= sum(acknowledged.values())


NO_QUORUM = r"more than half|do not agree"


def test_without_a_quorum_it_says_so_and_goes_on_after(cluster: Cluster) -> None:
    async def refused(store: LogStore) -> None:
        start = monotonic()
        with pytest.raises(StoreUnavailable):
            await store.append(BOX, ONE, records(6, 5), T0)
        assert monotonic() - start >= NATS_PATIENCE_S / 2  # it did try
        with pytest.raises(StoreUnavailable):
            await _asked(store, 300)

    async def scenario() -> None:
        store = await open_store(cluster.url)
        grown: list[int] = []
        await store.append(BOX, ONE, records(1, 5), T0)
        cluster.kill(0)
        cluster.kill(2)
        with pytest.raises(StoreUnavailable, match=NO_QUORUM):
            await _looked_at(store, int(4 * NATS_SILENT_S / 0.2))
        await refused(store)
        with pytest.raises(StoreUnavailable, match=NO_QUORUM):
            await store.check(True)
        await cluster.heal()
        done = await _until_available(store)
        await store.check(True)
        assert done in (5, 10)  # kept after all, or not: the device's numbers tell
        assert [kept.record.local for kept in await whole_log(store, BOX)] == list(range(1, 16))
        other = await open_store(cluster.url)
        store.watch(lambda _mailbox, tip: grown.append(tip.length))
        await other.append(BOX, TWO, records(1, 2), T0)
        for _ in range(300):
            if grown:
                break
            await asyncio.sleep(0.1)
        assert grown == [17]  # it follows again
        await store.close()
        await other.close()

    asyncio.run(scenario())


async def _looked_at(store: LogStore, times: int) -> None:
    for _ in range(times):
        await store.check(False)
        await asyncio.sleep(0.2)


async def _asked(store: LogStore, times: int) -> None:
    """A server that led answers what only reads until it has noticed that it leads nobody."""
    for _ in range(times):
        await store.append(BOX, TWO, [], T0)
        await asyncio.sleep(0.1)


async def _until_available(store: LogStore) -> int:
    for _ in range(5):
        try:
            return (await store.append(BOX, ONE, records(6, 10), T0)).had
        except StoreUnavailable:
            continue
    raise AssertionError("it did not heal")
