from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.node.relayed import Relayed
from tests.node.world import Station, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path)) as made:
        yield made


@pytest.fixture
def relayed(tmp_path: Path) -> Iterator[Relayed]:
    """A world with a relay in it."""
    with closing(Relayed(tmp_path)) as made:
        yield made


@pytest.fixture
def pair(world: World) -> tuple[Station, Station]:
    """Two who are connected."""
    alice = world.founder()
    bob = world.guest("bob", alice)
    world.until(lambda: alice.connected() and bob.connected())
    return alice, bob
