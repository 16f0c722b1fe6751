"""The JetStream store on three servers: the conformance suite, and several processes at one mailbox."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from quire.errors import HomeError
from quire.relay.log_store import LogStore
from quire.relay.stores import open_store
from quire.runtime.relay_config import RelayConfig
from quire.runtime.relay_server import serve_relay
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


def test_processes_that_share_a_store_have_one_key(emptied: Cluster, tmp_path: Path) -> None:
    def config(key: str) -> RelayConfig:
        return RelayConfig(listen="127.0.0.1:0", store=emptied.url, key=str(tmp_path / key))

    async def scenario() -> None:
        relays = [await serve_relay(config("right.key")) for _ in range(2)]
        assert len({relay.url.partition("#")[2] for relay in relays}) == 1
        with pytest.raises(HomeError, match="There is no key"):
            await serve_relay(config("typed.key"))
        assert not (tmp_path / "typed.key").exists()
        for relay in relays:
            await relay.close()
        await (await serve_relay(config("new.key"), new_key=True)).close()
        with pytest.raises(HomeError, match="under another"):
            await serve_relay(config("right.key"))

    asyncio.run(scenario())
