from collections import Counter

import pytest

from quire.sim import scenario
from quire.sim.faults import DEATHS, FaultPlan
from quire.sim.ground import GroundTruth, SimEvent
from quire.sim.mixture import drawn
from quire.sim.workload import write_plan


def plan(name: str, seed: int) -> list[SimEvent]:
    ground = GroundTruth()
    write_plan(ground, drawn(scenario.load(name), seed), seed)
    found = ground.plan()
    ground.close()
    return found


def downtimes(events: list[SimEvent]) -> dict[str, list[tuple[int, int]]]:
    """When each device is down, as the plan tells."""
    found: dict[str, list[tuple[int, int]]] = {}
    began: dict[str, int] = {}
    for event in events:
        if event.action in DEATHS:
            assert event.actor not in began, "crashed twice"
            began[event.actor] = event.at_ms
        elif event.action == "restart":
            found.setdefault(event.actor, []).append((began.pop(event.actor), event.at_ms))
    assert not began, "some never come back"
    return found


@pytest.mark.parametrize("name", scenario.names())
@pytest.mark.parametrize("seed", range(5))
def test_plans_make_sense(name: str, seed: int) -> None:
    events = plan(name, seed)
    made = drawn(scenario.load(name), seed)
    assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
    assert events[-1].at_ms == made.writing.within_s * 1_000
    counts = Counter(event.action for event in events)
    assert counts["offline"] == counts["online"]
    faults = made.faults
    assert (
        counts["partition"] + counts["silence"]
        == counts["heal"]
        == faults.partitions + faults.parted_removals + faults.parted_rivals
    )
    assert (counts["silence"], counts["clog"], counts["shield"]) == (
        faults.one_way,
        faults.clogs,
        faults.shielded,
    )
    inviting = {event.detail["device"] for event in events if event.action == "invite"}
    assert not any(event.action == "shield" and event.detail["device"] in inviting for event in events)
    down = downtimes(events)
    for event in events:
        if event.action in ("found", "invite", "join"):
            windows = down.get(event.detail["device"], [])
            assert not any(start <= event.at_ms <= end for start, end in windows)
    in_commons = {e.actor for e in events if e.action in ("found", "join") and e.detail["space"] == "commons"}
    assert len(in_commons) == made.people.count


def test_liars_are_the_last_of_the_people_invite_nobody_and_lie_once_all_should_be_in() -> None:
    for seed in range(10):
        events, made = plan("liars", seed), scenario.load("liars")
        lying = {event.actor for event in events if event.action == "boot" and event.detail["lying"]}
        lies = [event for event in events if event.action == "lie"]
        assert lying == {f"device{n}" for n in range(4, 9)} == {event.actor for event in lies}
        assert not any(event.detail["device"] in lying for event in events if event.action == "invite")
        assert min(event.at_ms for event in lies) >= made.people.join_within_s * 1_000
        told = Counter(event.detail["how"] for event in lies)
        assert told.pop("withhold") == 1
        assert told == dict.fromkeys(("forge", "replay", "fork", "flood"), made.faults.lies)


@pytest.mark.parametrize("name", scenario.names())
def test_every_text_is_written_once(name: str) -> None:
    texts = [text for event in plan(name, 7) if event.action == "write" for text in event.detail["texts"]]
    assert len(texts) == len(set(texts)) >= 20


def test_who_has_invited_joins_no_other_space() -> None:
    for seed in range(20):
        invited: dict[str, str] = {}
        for event in plan("community", seed):
            if event.action == "invite":
                invited[event.actor] = event.detail["space"]
            assert event.action != "join" or event.actor not in invited


def test_inviters_do_not_move() -> None:
    for seed in range(20):
        events = plan("community", seed)
        inviting = {event.detail["device"] for event in events if event.action == "invite"}
        homes = {event.actor: event.detail["host"] for event in events if event.action == "boot"}
        moved = [e for e in events if e.action == "restart" and e.detail["host"] != homes[e.actor]]
        assert not any(event.actor in inviting for event in moved)


def test_the_seed_decides() -> None:
    assert plan("community", 1) == plan("community", 1)
    assert plan("community", 1) != plan("community", 2)


def test_a_device_is_up_right_after_its_downtime() -> None:
    from random import Random

    faults = FaultPlan(scenario.Faults(crashes=30), {"a": "1", "b": "2"}, 60_000, Random(1))
    assert faults.down["a"]
    for start, end in faults.down["a"]:
        assert not faults.is_up("a", start)
        assert faults.when_up("a", start) == end + 1
        assert faults.is_up("a", end + 1)
    assert faults.when_up("a", 70_000) == 70_000


def test_people_are_removed_while_the_network_is_divided_and_others_join_then() -> None:
    joined_parted = 0
    for seed in range(8):
        events = plan("removal", seed)
        [parted] = [event for event in events if event.action == "partition"]
        [healed] = [event for event in events if event.action == "heal"]
        joins = {event.actor: event.at_ms for event in events if event.action == "join"}
        removals = [event for event in events if event.action == "remove"]
        founders, others = parted.detail["groups"]
        for removal in removals:
            assert parted.at_ms < removal.at_ms < healed.at_ms
            assert joins[removal.detail["who"]] < parted.at_ms
        devices = {
            event.actor: event.detail["device"] for event in events if event.action in ("found", "join")
        }
        assert devices["ada"] in founders
        assert {devices[removal.detail["who"]] for removal in removals} <= set(others)
        late = [person for person, at_ms in joins.items() if at_ms >= parted.at_ms]
        assert late == ["fay"]
        joined_parted += joins["fay"] < healed.at_ms
    assert joined_parted > 0


def test_who_leaves_has_invited_nobody_and_says_goodbye_just_before() -> None:
    for seed in range(8):
        events = plan("comings-and-goings", seed)
        leaves = [event for event in events if event.action == "leave"]
        assert len({event.actor for event in leaves}) == len(leaves) == 2
        inviting = {event.actor for event in events if event.action in ("found", "invite")}
        for leave in leaves:
            assert leave.actor not in inviting
            assert leave.at_ms >= events[-1].at_ms * 2 // 3
            said = [
                event
                for event in events
                if event.action == "write"
                and event.detail["texts"][0].startswith("goodbye")
                and event.actor == leave.actor
                and event.at_ms <= leave.at_ms
            ]
            assert [event.detail["to"][0] for event in said] == ["#", "@"]
            assert said[-1].at_ms > leave.at_ms - 1_000
        assert any(e.action == "write" and e.at_ms > leaves[-1].at_ms for e in events), "others go on"


def test_rivals_come_by_one_link_on_two_sides_and_the_late_one_after_its_invite_has_expired() -> None:
    apart = 0
    for seed in range(8):
        events = plan("comings-and-goings", seed)
        invites = {event.detail["guest"]: event for event in events if event.action == "invite"}
        joins = {event.actor: event for event in events if event.action == "join"}
        gus, hana = joins["gus"], joins["hana"]
        assert gus.detail["by"] == hana.detail["by"] == "gus"
        assert "hana" not in invites
        [parted] = [event for event in events if event.action == "partition"]
        [healed] = [event for event in events if event.action == "heal"]
        sides = [
            next(n for n, group in enumerate(parted.detail["groups"]) if one.detail["device"] in group)
            for one in (gus, hana)
        ]
        assert sides == [0, 1]
        assert invites["gus"].at_ms < parted.at_ms < min(gus.at_ms, hana.at_ms)
        apart += max(gus.at_ms, hana.at_ms) < healed.at_ms
        assert joins["fay"].at_ms > invites["fay"].at_ms + 60_000
        writers = {event.actor for event in events if event.action == "write"}
        assert not writers & {"fay", "gus", "hana"}
    assert 0 < apart < 8
