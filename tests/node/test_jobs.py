from collections.abc import Callable
from itertools import pairwise

import pytest

from quire.errors import HomeError, UserError
from quire.events.context import Context
from quire.limits import MAX_JOB_REST_MS, TICK_MS
from quire.node.jobs import Jobs
from tests.node.relayed import Relayed
from tests.node.world import Station, World


@pytest.fixture
def two(world: World) -> Station:
    """Somebody in two spaces, and a node that bears mistakes."""
    alice = world.founder()
    alice.ask("createSpace", name="other")
    alice.committed()
    alice.bears_mistakes = True
    return alice


def _set(patch: pytest.MonkeyPatch, *jobs: Callable[[Context], None]) -> None:
    patch.setattr(Jobs, "_jobs", lambda *_: list(jobs))


def test_a_job_that_fails_keeps_no_other_job_and_no_other_space_from_its_turn(
    world: World, two: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def before(ctx: Context) -> None:
        ran.append(f"before {ctx.member.name}")

    def failing(ctx: Context) -> None:
        if ctx.member.name == "club":
            raise UserError("That is too long.")
        ran.append(f"in {ctx.member.name}")

    def after(ctx: Context) -> None:
        ran.append(f"after {ctx.member.name}")

    _set(monkeypatch, before, failing, after)
    world.run(TICK_MS + 10)
    assert {"before club", "after club", "before other", "in other", "after other"} <= set(ran)
    assert "in club" not in ran
    assert [str(one.error) for one in two.mistakes] == ["That is too long."]
    assert "the job test_jobs.failing failed" in two.running.trouble
    assert two.troubles() == []


def test_what_comes_after_the_jobs_is_done_when_they_fail(
    relayed: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = relayed.founder()
    alice.bears_mistakes = True

    def failing(_: Context) -> None:
        raise ValueError("not a usable public key")

    _set(monkeypatch, failing)
    relayed.run(2 * TICK_MS)
    assert alice.mistakes
    alice.ask("addRelay", address=relayed.address)
    relayed.run(3 * TICK_MS)
    assert alice.space()["relays"][0]["state"] == "in-sync"
    assert alice.running._next_dial > relayed.now, "peers are dialled too"


def test_a_job_that_fails_keeps_nothing_of_what_it_wrote(
    world: World, two: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = two.home.store.db
    db.execute("CREATE TABLE notes (text TEXT) STRICT")

    def writing(ctx: Context) -> None:
        db.execute("INSERT INTO notes VALUES (?)", (f"kept of {ctx.member.name}",))

    def failing(ctx: Context) -> None:
        db.execute("INSERT INTO notes VALUES ('half')")
        if ctx.member.name == "club":
            raise KeyError("x")

    _set(monkeypatch, writing, failing)
    two.running._jobs.run(two.home.store.memberships.all(), world.now)
    assert sorted(text for (text,) in db.all("SELECT text FROM notes")) == [
        "half",
        "kept of club",
        "kept of other",
    ]


def test_a_job_that_fails_without_end_costs_less_and_less(
    world: World, two: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    others: list[int] = []

    def failing(ctx: Context) -> None:
        if ctx.member.name == "club":
            tries.append(world.now)
            raise ValueError(f"the {len(tries)}th time")

    def other(ctx: Context) -> None:
        others.append(world.now)

    _set(monkeypatch, failing, other)
    world.run(20 * MAX_JOB_REST_MS)
    # Twice each time: with the others, and alone.
    assert 2 * 20 <= len(tries) <= 2 * 28
    assert max(b - a for a, b in pairwise(tries)) <= MAX_JOB_REST_MS + 2 * TICK_MS
    assert len(others) >= 2 * 20 * MAX_JOB_REST_MS // TICK_MS - 10
    assert len(two.mistakes) < 15


def test_a_job_that_is_mended_has_its_turn_at_each_tick_again(
    world: World, two: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def failing(ctx: Context) -> None:
        tries.append(world.now)
        if len(tries) < 20:
            raise ValueError("not yet")

    _set(monkeypatch, failing)
    world.run(4 * MAX_JOB_REST_MS)
    tries.clear()
    tries += [0] * 20
    world.run(10 * TICK_MS + 10)
    assert len(tries) - 20 >= 2 * 10


def test_a_mistake_that_does_not_show_in_a_job_alone_is_told_all_the_same(
    world: World, two: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def first(_: Context) -> None:
        ran.append("first")

    def second(_: Context) -> None:
        if ran[-2:] == ["first"]:
            ran.append("second")
            raise RuntimeError("after the first alone")
        ran.append("second")

    _set(monkeypatch, first, second)
    two.running._jobs.run(two.home.store.memberships.all()[:1], world.now)
    two.hear_out()
    assert [type(one.error) for one in two.mistakes] == [RuntimeError]


def test_the_disk_s_troubles_make_no_job_rest(
    world: World, two: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def failing(_: Context) -> None:
        tries.append(world.now)
        raise HomeError("The disk is full.")

    _set(monkeypatch, failing)
    world.run(10 * TICK_MS + 10)
    assert 2 * 8 <= len(tries) <= 2 * 12
    assert two.troubles() == ["The disk is full."]
