"""How far logs are held without a gap, and parts of them."""

from random import Random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.events.home import Home
from quire.limits import LOG_PART, MAX_LOG_PARTS
from quire.store.logs import LogHeight
from quire.store.memberships import Membership
from tests.events.builders import Author, Made, Space, add_holder, give, make_home, undone


def heights(home: Home, member: Membership, author: Author) -> list[LogHeight]:
    return [at for at in home.store.logs(member.account, member.space).heights() if at.device == author.id]


def written(home: Home, holders: list[Membership], author: Author, count: int) -> list[Made]:
    """A log of an author whom the holders know; nothing of it has come to them yet."""
    made = author.introduce()
    for holder in holders:
        give(home, holder, made)
    return [author.say(f"{n}") for n in range(count)]


def born(made: Made) -> int:
    return int(orjson.loads(made.data)["ts"])


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10**6), st.lists(st.integers(0, 11), max_size=3))
def test_a_height_ends_at_the_first_gap_in_any_order_of_arrival(
    count: int, seed: int, asked_at: list[int]
) -> None:
    home, there = make_home(), Space()
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    log = written(home, [alice], carol, count)
    came: set[int] = set()
    for step, place in enumerate(Random(seed).sample(range(count), count)):
        give(home, alice, log[place])
        came.add(place)
        if step in asked_at or step == count - 1:
            far = next(n for n in range(count + 1) if n not in came)
            expected = [] if not far else [LogHeight(carol.id, far, log[far - 1].event_id, born(log[0]))]
            assert heights(home, alice, carol) == expected
    home.close()


def test_a_log_reaches_a_place_when_all_before_it_is_held() -> None:
    home, there = make_home(), Space()
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    log = written(home, [alice], carol, 3)
    logs = home.store.logs(alice.account, alice.space)
    assert not logs.reaches("stranger", 1)
    give(home, alice, log[0], log[2])
    assert [logs.reaches(carol.id, seq) for seq in range(4)] == [True, True, False, False]
    give(home, alice, log[1])
    assert [logs.reaches(carol.id, seq) for seq in (1, 3, 4, LOG_PART + 1)] == [True, True, False, False]
    home.close()


def test_heights_are_kept_apart_and_survive_what_is_undone() -> None:
    home, there = make_home(), Space()
    alice, bob, carol = (
        add_holder(home, there, "alice"),
        add_holder(home, there, "bob"),
        Author(there, "carol"),
    )
    log = written(home, [alice, bob], carol, 4)
    give(home, alice, *log[:2])
    give(home, bob, *log[:3])
    assert [at.seq for at in heights(home, alice, carol) + heights(home, bob, carol)] == [2, 3]
    with undone(home.store.db):
        give(home, alice, *log)
        assert [at.seq for at in heights(home, alice, carol)] == [4]
    assert [at.seq for at in heights(home, alice, carol)] == [2]
    home.close()


def test_a_log_with_two_histories_is_not_told_of() -> None:
    home, there = make_home(), Space()
    alice, carol, twin = add_holder(home, there, "alice"), Author(there, "carol"), Author(there, "carol")
    log = written(home, [alice], carol, 3)
    give(home, alice, *log)
    assert [at.seq for at in heights(home, alice, carol)] == [3]
    give(home, alice, twin.say("another"))
    assert heights(home, alice, carol) == []
    home.close()


def test_what_is_set_aside_is_held_no_more() -> None:
    home, there = make_home(), Space()
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    give(home, alice, *written(home, [alice], carol, 4))
    assert [at.seq for at in heights(home, alice, carol)] == [4]
    device = home.store.names.device_number(alice.space, carol.id)
    with home.store.transaction():
        home.store.blobs.set_aside(alice.account, home.store.blobs.at(alice.account, device, 3))
    assert [at.seq for at in heights(home, alice, carol)] == [2]
    home.close()


def test_parts_of_a_log_are_told_of_each_for_itself() -> None:
    """As a log is left by two power cuts; what was lost of a part may come back to it later."""
    home, there = make_home(), Space()
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    log = written(home, [alice], carol, 4)
    carol.seq = LOG_PART
    second = [carol.say("a"), carol.say("b")]
    carol.seq = 3 * LOG_PART
    third = carol.say("c")
    give(home, alice, *log[:2], log[3], second[1], third)
    assert [at.seq for at in heights(home, alice, carol)] == [2, 3 * LOG_PART + 1]
    give(home, alice, *second, log[2])
    assert heights(home, alice, carol) == [
        LogHeight(carol.id, 4, log[3].event_id, born(log[0])),
        LogHeight(carol.id, LOG_PART + 2, second[1].event_id, born(second[0])),
        LogHeight(carol.id, 3 * LOG_PART + 1, third.event_id, born(third)),
    ]
    logs = home.store.logs(alice.account, alice.space)
    assert logs.part(carol.id, LOG_PART, LOG_PART + 2_000, 10**6)[1] == LOG_PART + 2
    home.close()


def test_so_many_parts_are_told_of() -> None:
    home, there = make_home(), Space()
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    log = written(home, [alice], carol, 1)
    for part in range(1, MAX_LOG_PARTS + 3):
        carol.seq = part * LOG_PART
        log.append(carol.say(str(part)))
    give(home, alice, *log)
    assert [at.seq for at in heights(home, alice, carol)] == [n * LOG_PART + 1 for n in range(MAX_LOG_PARTS)]
    home.close()


@pytest.mark.parametrize(("after", "until", "places"), [(0, 9, (1, 2, 3, 4)), (1, 3, (2, 3)), (4, 9, ())])
def test_parts(after: int, until: int, places: tuple[int, ...]) -> None:
    home, there = make_home(), Space()
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    log = written(home, [alice], carol, 4)
    give(home, alice, *log)
    logs = home.store.logs(alice.account, alice.space)
    groups, reached = logs.part(carol.id, after, until, 10**6)
    assert [key_id + blob for key_id, blobs in groups for blob in blobs] == [
        log[n - 1].sealed for n in places
    ]
    assert reached == (places[-1] if places else after)
    assert [logs.id_at(carol.id, n) for n in (2, 9)] == [log[1].event_id, ""]
    home.close()


def test_a_part_is_as_large_as_asked() -> None:
    home, there = make_home(), Space()
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    log = written(home, [alice], carol, 4)
    give(home, alice, *log)
    logs = home.store.logs(alice.account, alice.space)
    groups, reached = logs.part(carol.id, 0, 9, 1)
    assert (len(groups), reached) == (1, 1)
    groups, reached = logs.part(carol.id, 0, 9, len(log[0].sealed) + 1)
    assert reached == 2
    assert [len(blobs) for _, blobs in logs.part(carol.id, 0, 9, 10**6)[0]] == [4], "all under one key"
    home.close()


def test_others_logs_are_not_given() -> None:
    home, there, elsewhere = make_home(), Space(), Space("elsewhere")
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    bob = add_holder(home, elsewhere, "bob")
    give(home, alice, *written(home, [alice], carol, 3))
    logs = home.store.logs(bob.account, bob.space)
    assert logs.part(carol.id, 0, 9, 10**6) == ([], 0)
    assert carol.id not in [at.device for at in logs.heights()]
    home.close()
