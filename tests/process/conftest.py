from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.process import harness
from tests.process.relays import Relays
from tests.process.small_disk import SmallDisk, small_disk
from tests.relay.cluster import Cluster


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[harness.Lab]:
    """People in separate processes."""
    yield from harness.lab(tmp_path)


@pytest.fixture
def relays(tmp_path: Path) -> Iterator[Relays]:
    """Relays in separate processes."""
    folder = tmp_path / "relays"
    folder.mkdir()
    with closing(Relays(folder)) as made:
        yield made


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three NATS servers."""
    folder = tmp_path / "nats"
    folder.mkdir()
    with Cluster(folder) as made:
        yield made


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    yield from small_disk(tmp_path / "disk")
