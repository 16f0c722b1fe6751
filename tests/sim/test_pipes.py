from hypothesis import given
from hypothesis import strategies as st

from quire.sim.pipes import GIVE_UP_MS, WINDOW, End, Pipes

ANN, BOB = End("ann", 3), End("bob", 8)


def joined(bytes_per_ms: int = 0) -> Pipes:
    pipes = Pipes(bytes_per_ms)
    pipes.join(ANN, BOB)
    return pipes


@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=9), st.integers(0, 50)), max_size=20))
def test_each_way_all_arrives_in_order(said: list[tuple[bool, bytes, int]]) -> None:
    """However long some of it takes."""
    pipes = joined()
    for by_ann, data, arrives in said:
        pipes.write(ANN if by_ann else BOB, data, arrives)
    came: dict[End, bytes] = {ANN: b"", BOB: b""}
    while (due := pipes.due()) is not None:
        for end, came_in in pipes.arrived(due):
            came[end] += came_in or b"?"
    assert came[BOB] == b"".join(data for by_ann, data, _ in said if by_ann)
    assert came[ANN] == b"".join(data for by_ann, data, _ in said if not by_ann)


def test_who_closes_is_heard_of_after_what_it_wrote() -> None:
    pipes = joined()
    pipes.write(ANN, b"last", 50)
    pipes.close(ANN, 1)
    assert pipes.other(ANN) is None
    assert list(pipes.arrived(99)) == [(BOB, b"last"), (BOB, None)]
    assert pipes.ends("bob") == []
    pipes.close(BOB, 99)
    assert pipes.due() is None


def test_a_narrow_way_takes_its_time_and_fills() -> None:
    pipes = joined(bytes_per_ms=100)
    pipes.write(ANN, bytes(1_000), 5)
    pipes.write(ANN, bytes(WINDOW), 5)
    assert pipes.due() == 15
    assert not pipes.has_room(ANN)
    assert pipes.has_room(BOB)
    assert [len(data or b"") for _, data in pipes.arrived(10**9)] == [1_000, WINDOW]
    assert pipes.has_room(ANN)


def test_who_is_gone_is_told_of_and_gets_nothing_more() -> None:
    pipes = joined()
    pipes.write(ANN, b"lost", 5)
    pipes.write(BOB, b"from the grave", 5)
    pipes.drop("bob", 1)
    assert list(pipes.arrived(9)) == [(ANN, b"from the grave"), (ANN, None)]
    assert not pipes.has_room(ANN)


def test_the_next_stream_of_the_same_number_begins_anew() -> None:
    pipes = joined(bytes_per_ms=100)
    pipes.write(ANN, bytes(WINDOW), 5)
    pipes.drop("bob", 1)
    list(pipes.arrived(10**9))
    pipes.join(ANN, BOB)
    assert pipes.has_room(ANN)
    pipes.write(ANN, bytes(100), 5)
    assert pipes.due() == 6


def test_a_call_that_nobody_takes_and_a_way_that_is_cut() -> None:
    pipes = Pipes()
    pipes.refuse(ANN, 7)
    assert list(pipes.arrived(7)) == [(ANN, None)]
    pipes = joined()
    pipes.cut(lambda one, other: {one, other} != {"ann", "bob"}, 3)
    assert list(pipes.arrived(3)) == [(ANN, None), (BOB, None)]


class Way:
    """Between ann and bob, 7 ms long."""

    def __init__(self) -> None:
        self.open = True
        self.pipes = Pipes(reaches=lambda _, __: self.open, delay=lambda: 7)
        self.pipes.join(ANN, BOB)

    def until(self, end: int) -> list[tuple[int, End, bytes | None]]:
        """What arrives, and when."""
        found: list[tuple[int, End, bytes | None]] = []
        while (due := self.pipes.due()) is not None and due <= end:
            found += [(due, *one) for one in self.pipes.arrived(due)]
        return found


def test_what_meets_a_cut_way_is_sent_again_later_and_later() -> None:
    way = Way()
    way.open = False
    way.pipes.write(ANN, b"first", 5)
    assert way.until(3_000) == []
    way.pipes.write(ANN, b"second", 3_001)
    way.open = True
    assert way.until(10_000) == [(3_005, BOB, b"first"), (3_005, BOB, b"second")]
    way.pipes.write(ANN, b"third", 10_001)
    assert way.until(20_000) == [(10_001, BOB, b"third")]


def test_who_gets_nothing_through_is_told_after_a_quarter_of_an_hour() -> None:
    """Who writes nothing is never told."""
    way = Way()
    way.open = False
    way.pipes.write(ANN, b"lost", 0)
    told = way.until(10**9)
    assert [one[1:] for one in told] == [(ANN, None)]
    assert GIVE_UP_MS <= told[0][0] < GIVE_UP_MS + 120_000
    assert way.pipes.ends("bob") == [BOB]


def test_an_end_that_does_not_get_through_is_forgotten_sooner() -> None:
    way = Way()
    way.open = False
    way.pipes.close(ANN, 0)
    assert way.until(10**9) == []
    assert way.pipes.ends("bob") == [BOB]


def test_a_machine_that_lost_power_tells_nobody_and_its_next_run_of_no_stream() -> None:
    way = Way()
    way.pipes.write(BOB, b"never sent on", 5)
    way.pipes.vanish("bob")
    assert way.until(10**9) == []
    way.open = False  # it is off
    way.pipes.write(ANN, b"is anybody there?", 20_000)
    assert way.until(40_000) == []
    way.open = True
    told = way.until(10**9)
    assert [one[1:] for one in told] == [(ANN, None)]
    assert 40_000 < told[0][0] < 60_000
    assert not way.pipes.has_room(ANN)


def test_a_word_that_nobody_knows_of_the_stream_can_be_lost() -> None:
    way = Way()
    way.pipes.vanish("bob")
    way.pipes.write(ANN, b"hello?", 10)
    assert way.until(16) == []
    way.open = False
    assert way.until(1_000) == []
    assert way.pipes.ends("ann") == [ANN]
    way.open = True
    assert [one[1:] for one in way.until(10_000)] == [(ANN, None)]


def test_a_machine_that_has_moved_is_written_to_in_vain() -> None:
    way = Way()
    way.pipes.drop("bob", 50)
    way.pipes.move("bob")
    assert way.until(1_000) == [], "the last word is lost as well"
    way.pipes.write(ANN, b"hello?", 1_001)
    told = way.until(10**9)
    assert told[0][0] > GIVE_UP_MS
    way.pipes.join(ANN, BOB)
    way.pipes.write(ANN, b"hello!", told[0][0] + 1)
    assert [one[1:] for one in way.until(10**9)] == [(BOB, b"hello!")]


def test_a_call_that_was_refused_is_no_word_to_the_next_run() -> None:
    pipes = Pipes()
    pipes.refuse(ANN, 3_000)
    pipes.drop("ann", 1)
    assert pipes.due() is None
