"""Questions beside events: so many, of what the path carries, and some in any case."""

from random import Random

import pytest

from quire.core.cells import CELLS, PARTS
from quire.limits import ASKS_IN_VAIN, ASKS_PART, ASKS_WHILE_MOVING, FIRST_RTT_MS, FIRST_WINDOW, MAX_ROUND_MS
from quire.net import wire
from quire.net.comparing import Comparing
from quire.net.control import Control
from quire.net.flight import Flight
from quire.net.outbox import Outbox, Ref
from quire.sync.messages import WHOLE, Root, Sketch, encode_root, encode_sketch
from quire.sync.sketch import SketchStrategy
from tests.sync.conformance import KEY, ids, index_of

INDEX = index_of(ids(Random(1), 2_000))
DIFFERS = encode_root(Root(bytes(8), 2_000, b"differs!", False))


class Side:
    """One side of a session, which has something to send when it is `busy`."""

    def __init__(self) -> None:
        self.random = Random(2)
        strategy = SketchStrategy(KEY, self.random.randbytes)
        self.outbox = Outbox(INDEX, strategy)
        self.control = Control()
        self.comparing = Comparing(strategy, INDEX, self.outbox, self.control, 0)
        self.flight: Flight[Ref | bytes] = Flight()

    def take_what_asks_for_all_parts(self, now: int) -> None:
        noise = [self.random.getrandbits(96) for _ in range(CELLS)]
        self.comparing.take(encode_sketch(Sketch(WHOLE, noise)), self.flight, now)

    def asks(self, now: int, given: bool = True) -> int:
        """How many questions go at once, all that waits being sent."""
        self.comparing.ask(self.flight, now, given)
        return len(self.control.fill(10**6, False, now))

    def learns_how_long_it_takes(self, took: int) -> None:
        self.flight.sent(0, [], 0)
        self.flight.acked(0, 0, took)

    def asks_while_events_come(self, seconds: int) -> int:
        begin = 10**6
        count = 0
        for now in range(begin, begin + 1_000 * seconds, 50):
            self.comparing.came(now)
            self.take_what_asks_for_all_parts(now)
            count += self.asks(now)
        return count


def test_alone_on_the_path_questions_fill_the_window() -> None:
    side = Side()
    side.take_what_asks_for_all_parts(0)
    assert PARTS > FIRST_WINDOW
    assert side.asks(0) == FIRST_WINDOW


def test_what_waits_already_counts_as_sent() -> None:
    side = Side()
    side.take_what_asks_for_all_parts(0)
    side.control.say([wire.frame(wire.PING)] * FIRST_WINDOW)
    assert side.asks(0) == FIRST_WINDOW, "those alone"


def test_a_full_window_lets_no_question_through() -> None:
    side = Side()
    for counter in range(FIRST_WINDOW):
        side.flight.sent(counter, [], 0)
    side.take_what_asks_for_all_parts(0)
    assert side.asks(0) == 0


@pytest.mark.parametrize("took", [100, 400, 1_000])
def test_while_events_come_questions_take_a_part_of_what_the_path_carries(took: int) -> None:
    side = Side()
    side.learns_how_long_it_takes(took)
    carries = side.flight.window * 1_000 / took
    assert carries / ASKS_PART * 18 <= side.asks_while_events_come(20) <= carries / ASKS_PART * 22


def test_while_events_go_they_do_as_well() -> None:
    side = Side()
    side.outbox.push([INDEX.positions()[0][1]])
    second = round(1_000 * FIRST_WINDOW / FIRST_RTT_MS / ASKS_PART)
    asked = 0
    for now in (0, 1, 2):
        side.take_what_asks_for_all_parts(now)
        asked += side.asks(now)
    assert FIRST_WINDOW < asked == second < 3 * FIRST_WINDOW
    side.outbox.clear()
    assert side.asks(3) == FIRST_WINDOW


def test_however_slow_a_peer_seems_some_questions_go() -> None:
    """What comes without end, and is acknowledged as late as can be, keeps nobody from asking."""
    side = Side()
    side.learns_how_long_it_takes(60_000)
    assert ASKS_WHILE_MOVING * 18 <= side.asks_while_events_come(20) <= ASKS_WHILE_MOVING * 22


@pytest.mark.parametrize(("took", "waits"), [(400, 400), (60_000, MAX_ROUND_MS)])
def test_a_round_of_questions_begins_once_in_a_round_trip(took: int, waits: int) -> None:
    side = Side()
    side.learns_how_long_it_takes(took)
    asked = []
    for now in (0, waits - 1, waits):
        side.comparing.take(DIFFERS, side.flight, now)
        asked.append(side.asks(now))
    assert asked == [1, 0, 1]


def test_a_heartbeat_asks_nothing() -> None:
    side = Side()
    side.take_what_asks_for_all_parts(0)
    side.comparing.beat(0)
    (beat,) = side.control.fill(10**6, False, 0)
    assert not wire.is_question(beat[0], beat[wire.FRAME_BYTES :])


def test_who_gives_nothing_is_asked_little_and_without_end() -> None:
    side = Side()
    count = 0
    for now in range(0, 100_000, 50):
        side.take_what_asks_for_all_parts(now)
        count += side.asks(now, given=False)
    assert ASKS_IN_VAIN + 90 < count < ASKS_IN_VAIN + 110
    side.take_what_asks_for_all_parts(100_000)
    assert side.asks(100_000) == FIRST_WINDOW, "of who gives, as much as ever"


def test_nothing_is_asked_while_nothing_can_be_kept() -> None:
    side = Side()
    side.comparing.hold(5_000)
    side.take_what_asks_for_all_parts(0)
    assert [side.asks(now) for now in (0, 4_999)] == [0, 0]
    assert side.asks(5_000) == FIRST_WINDOW
