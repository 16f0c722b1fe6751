from hypothesis import given
from hypothesis import strategies as st

from quire.net.agenda import Agenda

WHO = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("plan"), WHO, st.integers(0, 50)),
        st.tuples(st.just("stir"), WHO, st.just(0)),
        st.tuples(st.just("drop"), WHO, st.just(0)),
        st.tuples(st.just("busy"), WHO, st.integers(0, 50)),
    ),
    max_size=300,
)


@given(STEPS)
def test_it_tells_what_a_walk_over_all_would(steps: list[tuple[str, int, int]]) -> None:
    agenda: Agenda[int] = Agenda()
    due: dict[int, int] = {}
    stirred: set[int] = set()
    for what, who, time in steps:
        if what == "plan":
            agenda.plan(who, time)
            due[who] = time
            stirred.discard(who)
        elif what == "stir":
            agenda.stir(who)
            stirred.add(who)
        elif what == "drop":
            agenda.drop(who)
            due.pop(who, None)
            stirred.discard(who)
        else:
            stirred |= {one for one, at in due.items() if at <= time}
            due = {one: at for one, at in due.items() if at > time}
            assert set(agenda.busy(time)) == stirred
        assert agenda.next() == min(due.values(), default=None)
        assert set(agenda.stirred) == stirred
        assert len(agenda) == len(due.keys() | stirred)


def test_who_was_not_planned_for_is_named_again() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.plan("a", 10)
    agenda.plan("b", 5)
    agenda.stir("c")
    assert agenda.busy(10) == ["c", "b", "a"]
    assert agenda.busy(0) == ["c", "b", "a"]
    agenda.plan("b", 20)
    assert agenda.busy(10) == ["c", "a"]
    assert agenda.next() == 20


def test_times_that_hold_no_more_do_not_pile_up() -> None:
    agenda: Agenda[str] = Agenda()
    for time in range(10_000):
        agenda.plan("a", time)
        assert len(agenda._times) < 100
    assert agenda.next() == 9_999
