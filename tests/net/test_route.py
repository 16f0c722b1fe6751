from quire.limits import MAX_ADDRESSES, REPLAY_WINDOW
from quire.net.notices import Address
from quire.net.route import Route

HOME: Address = ("home", 1)
AWAY: Address = ("away", 2)


def away(since: int) -> Route:
    """Of a peer that was at HOME, and moved when our next counter was this."""
    route = Route()
    route.adopt(HOME, True, 0)
    route.heard(AWAY, 150, True, since)
    return route


def test_the_newest_addresses_are_kept() -> None:
    route = Route()
    route.dial([("old", 1), ("old", 2)])
    route.dial([("new", number) for number in range(MAX_ADDRESSES - 1)] + [("old", 2)])
    assert len(route.targets) == MAX_ADDRESSES
    assert ("old", 1) not in route.targets
    assert route.targets[-1] == ("old", 2)


def test_an_address_is_open_at_adoption_where_that_proves_it_and_not_for_being_dialled() -> None:
    route = Route()
    route.dial([HOME])
    route.adopt(HOME, False, 5)
    assert (route.open, route.probe, route.proven) == (False, True, None)
    route.adopt(AWAY, True, 5)
    assert (route.open, route.probe, route.proven) == (True, False, AWAY)


def test_an_address_that_has_not_answered_is_not_greeted_for_having_been_spoken_from() -> None:
    route = away(40)
    assert route.targets == []
    route.sent(40, 108)
    route.acked(40)
    assert route.targets == [AWAY]


def test_a_new_address_has_only_the_credit_that_it_sent_until_it_acknowledges_what_went_there() -> None:
    route = away(40)
    assert (route.address, route.open, route.room(1_200)) == (AWAY, False, 150)
    route.sent(44, 120)
    assert not route.probe
    assert route.room(1_200) == 30
    route.heard(AWAY, 100, False, 45)
    assert route.room(1_200) == 130
    assert route.acked(39) is route.acked(40) is route.acked(45) is None
    assert not route.open
    assert route.acked(44) == AWAY
    assert route.open
    assert route.acked(44) is None  # told once
    assert route.room(1_200) == 1_200


def test_what_was_sent_to_another_address_or_to_none_is_a_guess() -> None:
    route = away(40)
    route.sent(44, 108)
    route.sent(49, 30)
    assert [counter for counter in range(38, 52) if not route.guessed(counter)] == [38, 39, 44, 49]
    route.heard(HOME, 150, True, 50)
    assert not route.guessed(49), "it went to the address before this one"
    assert route.acked(49) is None
    route.sent(52, 108)
    assert route.acked(52) == HOME
    assert not route.guessed(51), "which is of no use now"


def test_an_address_that_answers_nothing_fills_no_memory() -> None:
    route = away(0)
    for counter in range(REPLAY_WINDOW + 1):
        route.sent(counter, 0)
    assert route.guessed(0)
    assert not route.guessed(1)


def test_only_the_newest_packet_moves_the_address() -> None:
    route = Route()
    route.adopt(HOME, False, 0)
    route.heard(AWAY, 100, False, 1)
    assert route.address == HOME
