from msgspec.structs import asdict, replace

from quire.sim.ground import GroundTruth
from quire.sim.mixture import drawn
from quire.sim.run import simulate
from quire.sim.scenario import Conditions, Faults, People, load
from quire.sim.workload import write_plan

MIXED = load("mixed")
SEEDS = range(300)


def test_every_seed_gives_a_scenario_of_its_own_that_can_be_carried_out() -> None:
    made = [drawn(MIXED, seed) for seed in SEEDS]
    assert len({str(one) for one in made}) == len(made)
    assert made == [drawn(MIXED, seed) for seed in SEEDS]
    for seed, one in zip(SEEDS, made, strict=True):
        ground = GroundTruth()
        write_plan(ground, one, seed)
        plan = ground.plan()
        if not one.people.too_late:  # who comes when the invite of a minute has expired
            late = [event for event in plan if event.at_ms > 1_000 * one.writing.within_s]
            assert not any(event.action == "join" for event in late), "nobody joins when all is over"
        ground.close()


def test_whatever_can_go_wrong_does_in_some_of_them() -> None:
    made = [drawn(MIXED, seed) for seed in SEEDS]
    for part, fields in (("people", People(2)), ("network", Conditions()), ("faults", Faults())):
        for field, default in asdict(fields).items():
            values = {getattr(getattr(one, part), field) for one in made}
            assert field in {"lies", "together_ms"} or values - {default}, (part, field)


def test_what_it_may_take_to_settle_is_not_drawn() -> None:
    short = replace(MIXED, settle_s=7)
    assert {drawn(short, seed).settle_s for seed in SEEDS} == {7}


def test_a_run_is_the_drawn_one() -> None:
    result = simulate("mixed", 2)
    assert result.faults == []
    made = drawn(MIXED, 2)
    assert len(result.devices) == max(1, made.people.count - made.people.housemates)
