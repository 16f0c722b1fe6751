import pytest

from quire.limits import DIALLED_TERM_MS, MAX_SESSIONS, MAX_UNKNOWN_SESSIONS, UNKNOWN_TERM_MS
from quire.net.places import Full, Place, beyond_share, giving_way

NOW = 10**6


def place(
    holder: int,
    unknown: bool = False,
    connected: bool = True,
    dialled: bool = False,
    made: int = NOW,
    heard: int = NOW,
) -> Place[int]:
    return Place(holder, unknown, connected, dialled, made, heard)


def members(count: int) -> list[Place[int]]:
    return [place(number) for number in range(count)]


def strangers(count: int, connected: bool = True, made: int = NOW) -> list[Place[int]]:
    return [place(1_000 + number, True, connected, made=made, heard=NOW - number) for number in range(count)]


def test_while_there_is_room_nobody_gives_way() -> None:
    assert giving_way(members(MAX_SESSIONS - 1), False, True, NOW) is None
    assert giving_way(members(5) + strangers(MAX_UNKNOWN_SESSIONS - 1), True, True, NOW) is None
    assert giving_way(members(5) + strangers(MAX_UNKNOWN_SESSIONS), False, True, NOW) is None


def test_unknown_ones_have_a_share_and_give_way_to_each_other_only() -> None:
    held = members(5) + strangers(MAX_UNKNOWN_SESSIONS, connected=False)
    assert giving_way(held, True, True, NOW) == 1_000 + MAX_UNKNOWN_SESSIONS - 1
    with pytest.raises(Full):
        giving_way(members(5) + strangers(MAX_UNKNOWN_SESSIONS), True, True, NOW)


def test_an_unknown_one_never_takes_a_members_place() -> None:
    silent = [place(number, connected=False, heard=0) for number in range(MAX_SESSIONS)]
    with pytest.raises(Full):
        giving_way(silent, True, True, NOW)
    assert giving_way([*silent[1:], *strangers(1, connected=False)], True, True, NOW) == 1_000


def test_an_unknown_one_that_stays_does_not_keep_out_the_next_for_ever() -> None:
    held = [*strangers(MAX_UNKNOWN_SESSIONS - 1), place(7, True, made=NOW - UNKNOWN_TERM_MS)]
    assert giving_way(held, True, True, NOW) == 7


def test_a_member_takes_the_place_of_an_unknown_one_even_of_one_that_is_connected() -> None:
    held = [place(number, connected=False, heard=0) for number in range(MAX_SESSIONS - 3)] + strangers(3)
    assert giving_way(held, False, True, NOW) == 1_002
    assert giving_way(held, False, False, NOW) == 1_002


def test_among_members_the_longest_silent_gives_way_and_dialled_ones_only_to_whoever_is_there() -> None:
    held = [*members(MAX_SESSIONS - 2), place(8, connected=False, dialled=True, heard=NOW - 1)]
    with pytest.raises(Full):
        giving_way([*held, place(9)], False, False, NOW)
    assert giving_way([*held, place(9)], False, True, NOW) == 8
    assert giving_way([*held, place(9, connected=False, heard=5)], False, True, NOW) == 9


def test_who_is_dialled_in_vain_gives_way_to_the_next_after_its_term() -> None:
    held = [place(n, connected=False, dialled=True, heard=NOW - n) for n in range(MAX_SESSIONS - 1)]
    late = place(MAX_SESSIONS, connected=False, dialled=True, heard=NOW - DIALLED_TERM_MS + 1)
    with pytest.raises(Full):
        giving_way([*held, late], False, False, NOW)
    assert giving_way([*held, late], False, False, NOW + 1) == MAX_SESSIONS
    there = place(MAX_SESSIONS, dialled=True, heard=NOW - DIALLED_TERM_MS)
    with pytest.raises(Full):
        giving_way([*held, there], False, False, NOW)


def test_members_that_became_unknown_share_the_places_of_the_unknown() -> None:
    held = members(3) + strangers(MAX_UNKNOWN_SESSIONS + 2)
    assert beyond_share(held) == [1_000 + MAX_UNKNOWN_SESSIONS + 1, 1_000 + MAX_UNKNOWN_SESSIONS]
    assert beyond_share(members(3)) == []
