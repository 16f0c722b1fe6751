"""Network addresses: which of them a connection counts to, and how many are remembered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.limits import MAX_RELAY_ORIGINS, RELAY_CROWDED_TIMES, RELAY_HELLO_BURST_S
from quire.relay.origins import Origin, Origins, is_proxy, origin_of, proxies_of

OURS = proxies_of("10.0.0.0/8, 127.0.0.1,2001:db8:ffff::/48")


@pytest.mark.parametrize(
    ("peer", "forwarded", "origin"),
    [
        ("192.0.2.7", [], "192.0.2.7"),
        ("::ffff:192.0.2.7", [], "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        # This machine: nobody can be told from anybody.
        ("127.0.0.1", [], ""),
        ("::1", [], ""),
        ("127.0.0.2", [], "127.0.0.2"),
        ("", [], ""),
        # What somebody says who is no proxy of ours counts for nothing.
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7"),
        ("10.1.1.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        # Who is behind two of ours, and what the client itself put there.
        ("10.1.1.1", ["203.0.113.5, 198.51.100.1, 10.2.2.2"], "198.51.100.1"),
        ("10.1.1.1", ["203.0.113.5", "198.51.100.1"], "198.51.100.1"),
        ("10.1.1.1", ["198.51.100.1:443"], "198.51.100.1"),
        ("10.1.1.1", ["[2001:db8:1:2::9]:443"], "2001:db8:1:2::/64"),
        ("2001:db8:ffff::1", ["2001:db8:1:2::9"], "2001:db8:1:2::/64"),
        # A proxy that tells nothing, or nonsense, stands for itself.
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", ["unknown"], "10.1.1.1"),
        ("10.1.1.1", ["198.51.100.1, "], "10.1.1.1"),
    ],
)
def test_whose_a_connection_is(peer: str, forwarded: list[str], origin: str) -> None:
    assert origin_of(peer, forwarded, OURS) == origin


@given(st.lists(st.text(max_size=40), max_size=4))
def test_whatever_a_header_says_nothing_is_raised(forwarded: list[str]) -> None:
    assert isinstance(origin_of("10.1.1.1", forwarded, OURS), str)
    assert origin_of("192.0.2.7", forwarded, OURS) == "192.0.2.7"


def test_which_are_proxies() -> None:
    assert is_proxy("10.255.1.1", OURS)
    assert not is_proxy("11.0.0.1", OURS)
    assert not is_proxy("nonsense", OURS)
    assert proxies_of("") == []
    with pytest.raises(ValueError, match="nonsense"):
        proxies_of("10.0.0.0/8,nonsense")


def test_so_many_are_remembered_and_whoever_is_connected() -> None:
    origins = Origins(connections=1, hellos=1)
    here = origins.enter("here", 0)
    gone = origins.enter("gone", 0)
    for _ in range(RELAY_HELLO_BURST_S):
        assert gone.wait(0) == 0
    assert gone.wait(0) == 1_000
    origins.leave(gone)
    assert origins.enter("gone", 0) is gone, "coming again gives nobody a new pace"
    origins.leave(gone)
    for number in range(MAX_RELAY_ORIGINS):
        origins.leave(origins.enter(str(number), 0))
    assert len(origins) == MAX_RELAY_ORIGINS
    assert origins.enter("here", 0) is here
    assert origins.enter("gone", 0) is not gone


def _entered(origins: Origins, address: str, times: int) -> Origin:
    for _ in range(times - 1):
        origins.enter(address, 0)
    return origins.enter(address, 0)


def test_who_is_crowded() -> None:
    origins = Origins(connections=2, hellos=0)
    one = _entered(origins, "192.0.2.1", 2)
    assert not origins.crowded(one)
    origins.enter("192.0.2.1", 0)
    assert origins.crowded(one)
    assert not origins.crowded(one, RELAY_CROWDED_TIMES)
    assert one.wait(0) == 0
    here = _entered(origins, "", 9)
    assert not origins.crowded(here)
    unbounded = Origins(connections=0, hellos=0)
    assert not unbounded.crowded(_entered(unbounded, "192.0.2.1", 9))
