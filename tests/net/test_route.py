from quire.limits import GREETING_GAP_MS, MAX_ADDRESSES
from quire.net.notices import Address
from quire.net.route import Route

HOME: Address = ("home", 1)
AWAY: Address = ("away", 2)


def test_the_newest_addresses_are_kept() -> None:
    route = Route()
    route.dial([("old", 1), ("old", 2)])
    route.dial([("new", number) for number in range(MAX_ADDRESSES - 1)] + [("old", 2)])
    assert len(route.targets) == MAX_ADDRESSES
    assert ("old", 1) not in route.targets
    assert route.targets[-1] == ("old", 2)


def test_dialled_or_greeted_addresses_are_open_at_adoption_others_are_not() -> None:
    route = Route()
    route.dial([HOME])
    route.adopt(HOME, 5)
    assert route.open
    route.adopt(AWAY, 5)
    assert not route.open
    assert route.probe
    assert route.may_greet(AWAY, 200, 124, 0)
    route.adopt(AWAY, 6)
    assert route.open


def test_a_new_address_has_only_the_credit_that_it_sent_until_it_acknowledges() -> None:
    route = Route()
    route.dial([HOME])
    route.adopt(HOME, 0)
    route.heard(AWAY, 150, True, 40)
    assert (route.address, route.open, route.room(1_200)) == (AWAY, False, 150)
    route.spend(120)
    assert not route.probe
    assert route.room(1_200) == 30
    route.heard(AWAY, 100, False, 41)
    assert route.room(1_200) == 130
    assert route.acked(39) is None
    assert not route.open
    assert route.acked(40) == AWAY
    assert route.open
    assert route.acked(41) is None  # told once
    assert route.room(1_200) == 1_200


def test_only_the_newest_packet_moves_the_address() -> None:
    route = Route()
    route.adopt(HOME, 0)
    route.heard(AWAY, 100, False, 1)
    assert route.address == HOME


def test_greetings_are_no_larger_than_what_they_answer_and_not_too_many() -> None:
    route = Route()
    route.dial([HOME])
    assert not route.may_greet(AWAY, 123, 124, 0)
    assert route.may_greet(AWAY, 124, 124, 0)
    assert not route.may_greet(("other", 3), 124, 124, GREETING_GAP_MS - 1)
    assert route.may_greet(HOME, 124, 124, GREETING_GAP_MS - 1)
    assert route.may_greet(AWAY, 124, 124, GREETING_GAP_MS)
