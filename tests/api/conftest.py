from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.hosts import FakeHost


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[FakeHost]:
    """A home without an identity."""
    host = FakeHost(tmp_path)
    yield host
    host.home.close()


@pytest.fixture
def host(empty: FakeHost) -> FakeHost:
    """A home with Alice in one space."""
    empty.ask("createIdentity", name="alice")
    empty.ask("createSpace", name="garden")
    return empty
