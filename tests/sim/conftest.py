"""One real run with a witness, shared by the tests of what is drawn of it."""

from functools import cache

import pytest

from quire.sim.history import History, history
from quire.sim.run import Result, simulate
from quire.sim.witness import Witness

SCENARIO, SEED = "community", 7


@cache
def _witnessed() -> tuple[Result, Witness]:
    witness = Witness()
    return simulate(SCENARIO, SEED, None, witness), witness


@pytest.fixture
def witnessed() -> tuple[Result, Witness]:
    return _witnessed()


@pytest.fixture
def told() -> History:
    return history(SCENARIO, SEED, _witnessed()[1])
