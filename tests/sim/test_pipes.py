from hypothesis import given
from hypothesis import strategies as st

from quire.sim.pipes import WINDOW, End, Pipes

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
