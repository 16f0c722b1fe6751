import msgspec
import pytest

from quire.errors import UserError
from quire.sim import scenario
from quire.sync import STRATEGIES

SMALLEST = 'about = "x"\nsettle_s = 1\n[people]\ncount = 2\n[writing]\nwrites = 1\nwithin_s = 1\n'


def test_every_scenario_reads() -> None:
    wanted = {"two-peers", "five-peers-lossy", "partition-and-merge", "crash-and-restart", scenario.DEFAULT}
    assert wanted <= set(scenario.names())
    for name in scenario.names():
        loaded = scenario.load(name)
        assert loaded.about.endswith(".")
        assert loaded.strategy in ("", *STRATEGIES)


def test_heavy_ones_are_run_only_when_named() -> None:
    heavy = set(scenario.every()) - set(scenario.names())
    assert heavy == {"fifty-devices-churn", "newcomer-100k"}
    assert scenario.load("fifty-devices-churn").people.count == 50
    assert scenario.load("newcomer-100k").writing.history == 100_000


def test_defaults_are_a_good_network() -> None:
    found = scenario.parse(SMALLEST)
    assert found.network == scenario.Conditions()
    assert found.faults == scenario.Faults()


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("count = 2", "count = 1", "people.count"),
        ("writes = 1", "writes = 1\nrans = 3", "rans"),
        ("writes = 1", "writes = 1\nlarge = 1.5", "writing.large"),
        ("settle_s = 1", "", "settle_s"),
        ("[writing]", "[faults]\nbyzantine = ['nap']\n[writing]", "faults.byzantine"),
    ],
)
def test_mistakes_are_named(old: str, new: str, named: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=named):
        scenario.parse(SMALLEST.replace(old, new))


def test_an_unknown_scenario_is_told_with_those_there_are() -> None:
    with pytest.raises(UserError, match="two-peers"):
        scenario.load("../moon")
