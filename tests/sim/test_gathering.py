"""People who are members before anything goes wrong."""

from pathlib import Path

from quire.sim import evidence
from quire.sim.ground import DONE, GroundTruth
from quire.sim.scenario import Conditions, People, Scenario, Writing
from quire.sim.workload import write_plan
from quire.sim.world import World

SCENARIO = Scenario(
    about="x",
    settle_s=30,
    people=People(count=4, gathered=True),
    writing=Writing(writes=0, within_s=4, history=3),
    network=Conditions(loss=1.0),
)


def test_all_are_in_and_hold_the_same_though_nothing_passes_the_network(tmp_path: Path) -> None:
    ground = GroundTruth()
    write_plan(ground, SCENARIO, 1)
    world = World(ground, tmp_path, 1, "sketch", lambda _: None)
    world.run(1_000)
    outcomes, held, texts = ground.outcomes(), [], []
    joins = [event for event in ground.plan() if event.action in ("found", "join")]
    assert len(joins) == len(world.devices) == 4
    for event in joins:
        assert outcomes[event.n].action == DONE
        home, identity = world.devices[event.detail["device"]].home, outcomes[event.n].detail["pubkey"]
        held.append(evidence.held(home, identity))
        texts.append(sorted(shown.body_text for shown in evidence.messages(home, identity)))
    assert texts == [[f"long ago, no. {number}" for number in range(3)]] * 4
    assert held == [held[0]] * 4
    members = {
        world.devices[name].home.store.db.one("SELECT count(*) FROM members") for name in world.devices
    }
    assert members == {(4,)}
    world.stop()
    ground.close()
