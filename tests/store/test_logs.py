"""How far logs are held without a gap, and parts of them."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.events.home import Home
from quire.events.rebuild import rebuild
from quire.limits import LOG_PART, MAX_LOG_PARTS
from quire.store.logs import LogHeight
from quire.store.memberships import Membership
from tests.events.builders import NOW, Author, Made, Space, add_holder, digest, give, make_home, undone


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


def made_up(author: Author, seq: int, text: str = "never said", prev: str | None = None) -> Made:
    """An event for a place of somebody's log that anybody with the keys of the space can make: it is not signed."""
    cited = None if seq == 1 else prev or "A" * 43
    return Author(author.space, author.name).say(text, sign=False, seq=seq, prev=cited)


def vouched(signed: Sequence[bool], came: set[int]) -> int:
    """Up to which place of a log all is genuine, as a definition: signed, or followed by what is genuine."""
    genuine = [False] * (len(signed) + 1)
    for place in range(len(signed) - 1, -1, -1):
        genuine[place] = place in came and (signed[place] or genuine[place + 1])
    return genuine.index(False)


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


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.booleans(), min_size=1, max_size=8),
    st.integers(0, 10**6),
    st.lists(st.sampled_from(["ask", "undo", "restart", "rebuild"]), max_size=6),
)
def test_only_what_is_genuine_counts_in_any_order_of_arrival(
    signed: list[bool], seed: int, between: list[str]
) -> None:
    """Places are filled by who wrote the log alone: not by others, before or after the true event, which cite it or
    not; what was not signed counts from when its successor vouches for it.
    """
    random, there = Random(seed), Space()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quire.db"
        home = make_home(path)
        alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
        give(home, alice, carol.introduce())
        log = [carol.say(f"{place}", sign=sign) for place, sign in enumerate(signed)]
        false = [made_up(carol, place, prev=log[place - 2].event_id) for place in range(1, len(log) + 2)]
        false += [made_up(carol, place, "nor this") for place in range(1, len(log) + 2)]
        steps = [*enumerate(log), *((-1, one) for one in false)]
        random.shuffle(steps)
        came: set[int] = set()
        for place, made in steps:
            doing = random.choice([*between, "wait"])
            if doing == "undo":
                with undone(home.store.db):
                    give(home, alice, made)
                    assert_held(home, alice, carol, log, vouched(signed, came | {place}))
            give(home, alice, made)
            came.add(place)
            if doing == "restart":
                home.close()
                home = make_home(path)
            elif doing == "rebuild":
                rebuild(home, NOW)
            if doing != "wait":
                assert_held(home, alice, carol, log, vouched(signed, came))
        assert_held(home, alice, carol, log, vouched(signed, came))
        home.close()


def assert_held(home: Home, member: Membership, author: Author, log: Sequence[Made], far: int) -> None:
    """A log is held up to the place `far`, whoever asks."""
    logs = home.store.logs(member.account, member.space)
    reached = [logs.reaches(author.id, place) for place in range(len(log) + 2)]
    assert reached == [place <= far for place in range(len(log) + 2)]
    expected = [LogHeight(author.id, far, log[far - 1].event_id, born(log[0]))] if far else []
    assert heights(home, member, author) == expected


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


def test_a_log_with_two_histories_reaches_as_far_as_either() -> None:
    home, there = make_home(), Space()
    alice, carol, twin = add_holder(home, there, "alice"), Author(there, "carol"), Author(there, "carol")
    log = written(home, [alice], carol, 5)
    give(home, alice, *(twin.say(f"another {place}") for place in range(3)), *log)
    logs = home.store.logs(alice.account, alice.space)
    assert [logs.reaches(carol.id, seq) for seq in (5, 6)] == [True, False]
    home.close()


def test_logs_of_devices_that_are_no_members_are_told_of_once_they_are() -> None:
    """What an unknown device wrote waits, or is of a type that nobody knows; then it is somebody's."""
    home, there = make_home(), Space()
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    strangers = [Author(there, f"stranger {number}") for number in range(3)]
    log = [carol.write("of the future", {}), carol.say("a word")]
    give(home, alice, *log, *(one.write("of the future", {}, ts=0) for one in strangers))
    own = home.store.logs(alice.account, alice.space).heights()
    assert [at.device for at in own] == [there.founder.id]
    assert home.store.db.all("SELECT DISTINCT device FROM frontiers") == [
        (home.store.names.device_number(alice.space, there.founder.id),)
    ], "they were not even looked at"
    give(home, alice, carol.introduce())
    assert heights(home, alice, carol) == [LogHeight(carol.id, 2, log[1].event_id, born(log[0]))]
    home.close()


def test_what_nobody_vouches_for_is_given_to_nobody() -> None:
    home, there = make_home(), Space()
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    log = written(home, [alice], carol, 2)
    unsigned = carol.say("for which the next one vouches", sign=False)
    false = [
        made_up(carol, place, f"false {digest(str(n), 2).hex()}") for place in range(1, 5) for n in (1, 2)
    ]
    give(home, alice, *false[:4], *log, unsigned, *false[4:])
    logs = home.store.logs(alice.account, alice.space)
    groups, reached = logs.part(carol.id, 0, 9, 10**6)
    assert [key_id + blob for key_id, blobs in groups for blob in blobs] == [one.sealed for one in log]
    assert reached == 2
    assert [logs.id_at(carol.id, place) for place in (1, 2, 3)] == [log[0].event_id, log[1].event_id, ""]
    last = carol.say("the next one")
    give(home, alice, last)
    groups, reached = logs.part(carol.id, 2, 9, 10**6)
    assert [key_id + blob for key_id, blobs in groups for blob in blobs] == [unsigned.sealed, last.sealed]
    assert logs.id_at(carol.id, 3) == unsigned.event_id
    home.close()


def test_made_up_parts_of_a_log_hide_none_of_the_true_ones() -> None:
    home, there = make_home(), Space()
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    log = written(home, [alice], carol, 1)
    false = [made_up(carol, part * LOG_PART + 1) for part in range(1, MAX_LOG_PARTS + 1)]
    carol.seq = (MAX_LOG_PARTS + 1) * LOG_PART
    give(home, alice, *log, *false, carol.say("after many power cuts"))
    assert [at.seq for at in heights(home, alice, carol)] == [1, (MAX_LOG_PARTS + 1) * LOG_PART + 1]
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


def test_heights_that_a_program_of_before_noted_are_measured_anew(tmp_path: Path) -> None:
    """To it, what nobody vouched for was held."""
    home, there = make_home(tmp_path / "quire.db"), Space()
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    give(home, alice, *written(home, [alice], carol, 2))
    assert [at.seq for at in heights(home, alice, carol)] == [2]
    home.store.db.execute("UPDATE frontiers SET seq = 9")
    home.store.db.execute("DELETE FROM migrations WHERE name IN ('heights', 'times', 'claims')")
    home.close()
    home = make_home(tmp_path / "quire.db")
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
