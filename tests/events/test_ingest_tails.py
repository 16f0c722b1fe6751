"""Tails: what has no voucher yet and is not stored, since the next batch brings one."""

from collections.abc import Sequence

import pytest

from quire.events.home import Home
from quire.events.ingest import Tail, ingest
from quire.events.settle import Report
from quire.store.memberships import Membership
from tests.events.builders import NOW, Author, Made, bodies


def take(home: Home, member: Membership, tail: Tail, made: Sequence[Made], more: bool = True) -> Report:
    return ingest(home, member, [one.sealed for one in made], "there", NOW, tail, more)


@pytest.mark.parametrize("cut", range(1, 7))
def test_a_run_cut_in_two_is_whole_after_the_second_part(
    home: Home, alice: Membership, carol: Author, cut: int
) -> None:
    log, tail = carol.says(f"{n}" for n in range(7)), Tail()
    first = take(home, alice, tail, log[:cut])
    assert (first.valid, first.blocked, first.carried, len(tail)) == (0, 0, cut, cut)
    assert bodies(home, alice) == []
    second = take(home, alice, tail, log[cut:])
    assert (second.valid, second.carried, tail) == (7, 0, [])
    assert bodies(home, alice) == [f"{n}" for n in range(7)]


def test_what_was_carried_once_waits_in_the_store(home: Home, alice: Membership, carol: Author) -> None:
    log, tail = carol.says(["a", "b", "c"]), Tail()
    take(home, alice, tail, log[:1])
    report = take(home, alice, tail, log[1:2])
    assert (report.blocked, report.carried) == (1, 1)
    report = take(home, alice, tail, [], more=False)
    assert (report.blocked, tail) == (1, [])
    assert take(home, alice, tail, log[2:], more=False).valid == 3


def test_without_more_to_come_nothing_is_carried(home: Home, alice: Membership, carol: Author) -> None:
    tail = Tail()
    assert take(home, alice, tail, carol.says(["a", "b"])[:1], more=False).blocked == 1
    assert tail == []


def test_so_much_is_carried_and_the_rest_is_stored(
    home: Home, alice: Membership, carol: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quire.events.ingest.INGEST_BATCH", 3)
    log, tail = carol.says(f"{n}" for n in range(6)), Tail()
    report = take(home, alice, tail, log[:5])
    assert (report.blocked, report.carried) == (2, 3)
    assert take(home, alice, tail, log[5:]).valid == 6
