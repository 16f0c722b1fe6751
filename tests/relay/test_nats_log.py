"""The JetStream store on three servers: the conformance suite, and several processes at one mailbox."""

import asyncio
from collections.abc import Iterator

import pytest

from quire.relay.log_store import LogStore
from quire.relay.stores import open_store
from tests.relay.cluster import Cluster
from tests.relay.conformance import Conformance, OpenStore


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture
def emptied(cluster: Cluster) -> Cluster:
    asyncio.run(cluster.empty())
    return cluster


class TestNatsLog(Conformance):
    examples = 40

    @pytest.fixture
    def open_store(self, emptied: Cluster) -> OpenStore:
        async def opened() -> LogStore:
            return await open_store(emptied.url)

        return opened
