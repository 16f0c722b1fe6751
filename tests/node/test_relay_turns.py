"""Whose turn it is where there are more mailboxes than one connection opens."""

from random import Random

import pytest

from quire.limits import OLD_MAILBOX_MS
from quire.node.relay_turns import Turns, in_turn, shares

MOST = 8


class Desk:
    """What a connection has open; everything has old events, and is read to its end at once, unless it is `slow`."""

    def __init__(self, epochs: int) -> None:
        self.turns = Turns()
        self.epochs = range(1, epochs + 1)
        self.current = (epochs, epochs - 1)
        self.opened: set[int] = set()
        self.slow: set[int] = set()
        self.seen: set[int] = set()
        self.now = 1_000

    def tick(self, most: int = MOST) -> set[int]:
        """What was opened in this second."""
        idle = {epoch: epoch not in self.slow for epoch in self.opened}
        turn = self.turns.next(self.epochs, self.current, idle, most, self.now)
        assert all(idle[epoch] for epoch in turn.leave)
        self.opened -= set(turn.leave)
        for epoch in turn.leave:
            self.turns.left(epoch, self.now)
        assert not self.opened & set(turn.fresh)
        self.opened |= set(turn.fresh)
        assert len(self.opened) <= max(most, len(self.slow))
        for epoch in self.opened - self.slow:
            if epoch not in self.seen:
                self.turns.used(epoch, self.now)
            self.seen.add(epoch)
            self.turns.reached(epoch)
        self.now += 1_000
        return set(turn.fresh)

    def until_read(self) -> None:
        for _ in range(len(self.epochs)):
            if self.turns.all_read(self.epochs):
                return
            self.tick()
        raise AssertionError("some are never looked at")


def test_where_all_find_room_all_stay_open() -> None:
    desk = Desk(MOST)
    assert desk.tick() == set(desk.epochs)
    desk.now += 2 * OLD_MAILBOX_MS
    assert desk.tick() == set()
    assert desk.opened == set(desk.epochs)


@pytest.mark.parametrize("most", [1, 2, 3, MOST])
def test_all_are_read_in_turn_and_the_newest_stay_open(most: int) -> None:
    desk = Desk(100)
    stay = set(range(101 - (most - in_turn(most)), 101))
    seen: set[int] = set()
    for _ in range(100 // in_turn(most) + 1):
        seen |= desk.tick(most)
        assert stay <= desk.opened
    assert seen == set(desk.epochs)
    assert desk.turns.all_read(desk.epochs)


def test_what_was_left_is_looked_at_again_now_and_then_and_no_sooner() -> None:
    desk = Desk(100)
    desk.until_read()
    assert not any(desk.tick() for _ in range(OLD_MAILBOX_MS // 1_000 - 100))
    again: set[int] = set()
    for _ in range(200):
        again |= desk.tick()
    assert len(again) >= 100 - MOST


def test_where_something_happens_stays_open_and_what_is_new_is_opened_at_once() -> None:
    desk = Desk(100)
    desk.until_read()
    desk.turns.needed = {3}
    assert desk.tick() == {3}
    desk.turns.used(3, desk.now)
    desk.turns.needed = ()
    desk.now += OLD_MAILBOX_MS - 2_000
    for _ in range(50):
        desk.turns.used(3, desk.now)
        desk.tick()
        assert 3 in desk.opened
    desk.epochs, desk.current = range(1, 103), (102, 101)
    assert {101, 102} <= desk.tick()
    assert 3 in desk.opened


def test_what_is_not_read_yet_is_not_left() -> None:
    desk = Desk(100)
    desk.slow = {1, 100}
    for _ in range(200):
        desk.tick()
    assert {1, 100} <= desk.opened
    assert not desk.turns.all_read(desk.epochs)
    desk.slow = set()
    desk.until_read()


def test_fewer_are_open_once_others_want_room() -> None:
    desk = Desk(MOST)
    desk.tick()
    desk.tick(MOST // 2)
    assert len(desk.opened) == MOST // 2
    assert set(desk.current) <= desk.opened


def test_what_the_relay_does_not_open_rests_and_holds_up_nothing() -> None:
    desk = Desk(MOST)
    desk.tick()
    desk.opened.discard(5)
    desk.turns.refused(5, desk.now + 60_000)
    assert desk.turns.rests_until == desk.now + 60_000
    assert not desk.turns.all_read(desk.epochs)
    assert not desk.turns.awaited(desk.epochs)
    assert not any(desk.tick() for _ in range(60))
    assert desk.tick() == {5}
    assert desk.turns.all_read(desk.epochs)
    assert desk.turns.rests_until == 0


def test_what_there_is_is_shared_and_nobody_goes_without_for_another() -> None:
    assert shares([], 512) == []
    assert shares([2, 2, 1], 512) == [2, 2, 1]
    assert shares([1, 600, 2], 512) == [1, 509, 2]
    assert shares([600, 1, 600], 512) == [255, 1, 256]
    dice = Random(1)
    for _ in range(500):
        wanted = [dice.randrange(1, 40) for _ in range(dice.randrange(1, 12))]
        given = shares(wanted, 100)
        assert sum(given) == min(100, sum(wanted))
        least = min((got for got, asked in zip(given, wanted, strict=True) if got < asked), default=0)
        assert all(
            got <= asked and (got == asked or got >= max(given) - 1)
            for got, asked in zip(given, wanted, strict=True)
        )
        assert all(got == asked for got, asked in zip(given, wanted, strict=True) if asked <= least)
