from collections.abc import Callable, Iterator
from contextlib import closing

import apsw
import pytest

from quire.errors import HomeError, UserError
from quire.limits import MAX_TROUBLES_NOTED, TELL_AGAIN_MS, TICK_MS
from quire.node.guard import Guard, Mistake, Trouble
from quire.store.database import Database


@pytest.fixture
def db() -> Iterator[Database]:
    with closing(Database(":memory:")) as made:
        made.execute("CREATE TABLE t (n INTEGER) STRICT")
        yield made


@pytest.fixture
def told() -> list[Trouble | Mistake]:
    return []


@pytest.fixture
def guard(db: Database, told: list[Trouble | Mistake]) -> Guard:
    return Guard(db, told.append, 0)


def _fail(error: Exception) -> Callable[[int], None]:
    def step(_: int) -> None:
        raise error

    return step


def _writing(db: Database) -> Callable[[int], None]:
    def step(now: int) -> None:
        db.execute("INSERT INTO t VALUES (?)", (now,))

    return step


def _nothing(_: int) -> None:
    pass


@pytest.mark.parametrize("error", [HomeError("The disk is full."), apsw.FullError("full")])
def test_the_disk_s_troubles_are_over_once_something_was_written(
    guard: Guard, db: Database, told: list[Trouble | Mistake], error: Exception
) -> None:
    assert not guard.run("a step", _fail(error), 5)
    assert told == [Trouble(guard.trouble)]
    assert "disk is full" in guard.trouble
    assert guard.rest_until == 5 + TICK_MS
    assert guard.run("a step", _nothing, 6)
    assert guard.trouble
    guard.run("a step", _writing(db), 7)
    assert guard.trouble == ""


def test_a_mistake_is_told_with_its_exception_and_shown_for_a_while(
    guard: Guard, db: Database, told: list[Trouble | Mistake]
) -> None:
    error = ValueError("not a usable public key")
    assert not guard.run("a job", _fail(error), 5)
    assert told == [Mistake(guard.trouble, error)]
    assert "a job failed (ValueError: not a usable public key)" in guard.trouble
    guard.run("a step", _writing(db), 6)
    assert guard.trouble, "the disk has nothing to do with it"
    guard.run("a step", _nothing, 5 + TELL_AGAIN_MS)
    assert guard.trouble == ""


def test_timers_rest_after_a_mistake_in_what_is_still_due_alone(guard: Guard) -> None:
    guard.run("a datagram", _fail(KeyError("x")), 5, due=False)
    assert guard.rest_until == 0
    guard.run("a timer", _fail(KeyError("x")), 5)
    assert guard.rest_until == 5 + TICK_MS


def test_a_mistake_in_a_part_ends_that_part_alone(guard: Guard, told: list[Trouble | Mistake]) -> None:
    done: list[int] = []

    def step(now: int) -> None:
        assert not guard.contain("a part", _fail(UserError("That is too long.")), now)
        assert guard.contain("a part", done.append, now)

    assert guard.run("a step", step, 5)
    assert done == [5]
    assert [type(one) for one in told] == [Mistake], "a person asked for nothing that could be refused"


@pytest.mark.parametrize("error", [HomeError("The disk is full."), apsw.FullError("full")])
def test_the_disk_s_troubles_are_the_whole_step_s(guard: Guard, error: Exception) -> None:
    with pytest.raises(HomeError):
        guard.contain("a part", _fail(error), 5)


def test_what_goes_wrong_without_end_is_told_less_and_less_often(
    guard: Guard, told: list[Trouble | Mistake]
) -> None:
    day = 24 * 60 * 60_000
    for n, now in enumerate(range(0, day, TICK_MS)):
        guard.run("a job", _fail(ValueError(f"with other words each time: {n}")), now)
    assert 20 < len(told) < 40
    guard.run("a job", _fail(ValueError("elsewhere")), day)
    assert len(told) < 40, "it is known by where it was raised"
    assert not guard.run("another", lambda _: [][day], day)
    assert isinstance(told[-1], Mistake)
    assert isinstance(told[-1].error, IndexError)


def test_trouble_that_comes_and_goes_is_told_less_and_less_often(
    guard: Guard, db: Database, told: list[Trouble | Mistake]
) -> None:
    for now in range(0, 24 * 60 * 60_000, TICK_MS):
        guard.run("a step", _fail(HomeError("The disk is full.")), now)
        guard.run("a step", _writing(db), now)
        assert guard.trouble == ""
    assert 20 < len(told) < 40


def test_only_so_much_of_what_was_told_is_kept_in_mind(guard: Guard, told: list[Trouble | Mistake]) -> None:
    for n in range(2 * MAX_TROUBLES_NOTED):
        guard.run("a step", _fail(HomeError(f"trouble {n}")), 0)
    assert len(told) == 2 * MAX_TROUBLES_NOTED
    assert len(guard._told) == MAX_TROUBLES_NOTED
