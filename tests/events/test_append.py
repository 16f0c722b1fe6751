"""Runs of own events: what they are given."""

from itertools import pairwise

from quire.events.append import append
from quire.limits import MAX_AT_ONE_TIME
from tests.handlers.network import Network


def test_a_long_run_is_given_several_timestamps_in_order() -> None:
    """Else one call makes a millisecond that everybody reads page by page."""
    net = Network()
    net.found("alice")
    bodies = [{"body": f"{number}", "channel": "general"} for number in range(2 * MAX_AT_ONE_TIME)]
    times = [one.event.ts for one in append(net.home, net.member("alice"), "message", bodies, net.now)]
    assert max(times.count(ts) for ts in set(times)) == MAX_AT_ONE_TIME
    assert all(before <= after <= before + 1 for before, after in pairwise(times))
    net.home.close()
