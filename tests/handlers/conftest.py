from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.handlers.devices import Town
from tests.handlers.network import Network


@pytest.fixture
def net() -> Iterator[Network]:
    """A home without an identity."""
    network = Network()
    yield network
    network.home.close()


@pytest.fixture
def pair(net: Network) -> Network:
    """Alice founded a space and Bob joined it; nothing is delivered yet."""
    net.found("alice")
    net.join("alice", "bob")
    return net


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """Nodes of people with several devices, on a network in memory."""
    made = Town(tmp_path)
    yield made
    made.close()
