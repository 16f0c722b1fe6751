from collections.abc import Iterator

import pytest

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
