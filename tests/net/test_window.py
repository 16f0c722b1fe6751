import pytest

from quire.limits import FIRST_WINDOW, MAX_WINDOW, MIN_WINDOW
from quire.net.window import Window


def grown(rounds: int = 2) -> Window:
    window = Window()
    for _ in range(rounds):
        window.came(int(window.size), full=True)
        window.end_round(queued=False)
    return window


def test_doubles_until_something_is_lost_then_grows_by_one() -> None:
    window = grown()
    assert window.size == 4 * FIRST_WINDOW
    window.gone(1)
    window.end_round(queued=False)
    before = window.size
    window.came(int(before), full=True)
    assert before < window.size <= before + 1


def test_grows_by_what_was_sent_while_it_was_full_alone() -> None:
    window = Window()
    window.came(1_000, full=False)
    assert window.size == FIRST_WINDOW


def test_stops_doubling_where_datagrams_wait() -> None:
    window = grown()
    window.end_round(queued=True)
    before = window.size
    window.came(int(before), full=True)
    assert before < window.size <= before + 1


@pytest.mark.parametrize(("came", "gone", "queued"), [(0, 10, False), (90, 10, True), (0, 1_000, False)])
def test_is_halved_where_more_is_lost_than_comes_or_datagrams_wait(
    came: int, gone: int, queued: bool
) -> None:
    window = Window()
    for halved in (FIRST_WINDOW / 2, FIRST_WINDOW / 4, MIN_WINDOW):
        window.came(came, full=False)
        window.gone(gone)
        window.end_round(queued)
        assert window.size == max(MIN_WINDOW, halved)


def test_loss_of_some_takes_an_eighth_and_not_below_what_was_sent_at_first() -> None:
    window = grown()
    before = window.size
    window.came(70, full=False)
    window.gone(30)
    window.end_round(queued=False)
    assert window.size == before * 7 / 8
    for _ in range(20):
        window.came(7, full=False)
        window.gone(3)
        window.end_round(queued=False)
    assert window.size == FIRST_WINDOW


def test_few_that_are_lost_by_chance_do_not_halve_it() -> None:
    window = grown()
    window.came(2, full=False)
    window.gone(3)
    before = window.size
    window.end_round(queued=False)
    assert window.size == before * 7 / 8, "the round before brought much"


def test_cut_is_taken_back_when_what_was_lost_comes_late() -> None:
    window = grown()
    before = window.size
    window.gone(3)
    window.end_round(queued=False)
    window.came_late(2)
    assert window.size == before * 7 / 8
    window.came_late(1)
    assert window.size == before


def test_timeout_halves_it_and_is_judged_anew_by_what_comes_late() -> None:
    window = Window()
    window.gone(FIRST_WINDOW)
    window.time_out()
    assert window.size == FIRST_WINDOW / 2
    window.came_late(FIRST_WINDOW - 2)
    assert window.size == FIRST_WINDOW
    window.gone(4)
    window.time_out()
    window.gone(4)
    window.time_out()
    window.gone(4)
    window.time_out()
    assert window.size == MIN_WINDOW


def test_has_a_largest_size() -> None:
    assert grown(20).size == MAX_WINDOW
