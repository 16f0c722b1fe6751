from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process import harness


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[harness.Lab]:
    """People in separate processes."""
    yield from harness.lab(tmp_path)
