"""Scenarios drawn from a seed, so that faults meet that no scenario brings together.

Owns: what is drawn, and what does not go together: what the ground truth cannot tell apart, such as two spaces that
people leave, or an invite that has expired by one clock and not by another. Must not know: how it is carried out.
"""

from random import Random

from msgspec.structs import replace

from quire.sim.scenario import Conditions, Faults, Lie, People, Scenario, Writing

#: Clocks may jump so far (s), and be so wrong at the start.
_JUMPS, _SKEWS = (30, 120), (10, 60, 140)
_LIES: tuple[Lie, ...] = ("forge", "fork", "withhold", "replay", "flood")


def drawn(scenario: Scenario, seed: int) -> Scenario:
    """Of a mixed scenario one of its own for each seed, but for what it is about, and how long it may take to settle;
    any other as it is.
    """
    if not scenario.mixed:
        return scenario
    random = Random(f"mixed {seed}")
    people = _people(random)
    made = replace(scenario, people=people, writing=_writing(random), network=_network(random))
    return replace(made, faults=_faults(random, people))


def _people(random: Random) -> People:
    count = random.randint(3, 7)
    latecomers = int(count > 4 and random.random() < 0.25)
    if random.random() < 0.15:
        return People(count, gathered=True, latecomers=latecomers)
    join_within_s, housemates = random.choice((1, 3, 6)), int(random.random() < 0.35)
    going = random.choice((0, 1, 2)) if count > 4 else 0
    leavers = random.randint(0, going)
    rivals = 2 if count > 5 and random.random() < 0.3 else 0
    stays = not going and not rivals
    return People(
        count,
        housemates=housemates,
        second_space=random.choice((0, 0, 2, 3)) if stays else 0,
        # Who leaves before it was let in was never there.
        join_within_s=1 if leavers else join_within_s,
        removals=going - leavers,
        leavers=leavers,
        rivals=rivals,
        too_late=int(rivals > 0 and random.random() < 0.5),
        latecomers=0 if leavers else latecomers,
    )


def _writing(random: Random) -> Writing:
    history = random.choice((0, 0, 0, 300, 600))
    within_s = random.choice((32, 36, 40))
    return Writing(random.randint(20, 45), within_s, direct=0.25, runs=0.15, history=history)


def _network(random: Random) -> Conditions:
    return Conditions(
        delay_ms=random.choice((1, 20, 40, 80)),
        jitter_ms=random.choice((0, 10, 60)),
        loss=random.choice((0, 0.02, 0.1, 0.2, 0.3)),
        duplicate=random.choice((0, 0, 0.05)),
        reorder=random.choice((0, 0.1, 0.2)),
        corrupt=random.choice((0, 0, 0.03)),
        uplink_kb=random.choice((0, 0, 0, 40, 100, 300)),
        together_ms=10,
    )


def _faults(random: Random, people: People) -> Faults:
    def some(share: float, most: int) -> int:
        return random.randint(1, most) if random.random() < share else 0

    stays = people.gathered and not people.latecomers and people.count > 4
    byzantine = tuple(random.sample(_LIES, 2)) if stays and random.random() < 0.5 else ()
    # A liar's own mistakes on a bad disk say nothing.
    partitions, disks = some(0.4, 3), 0 if byzantine else some(0.2, 2)
    # What is lost with power, and comes back, is older than what a clock that was set back dates meanwhile.
    power_cuts = 0 if people.leavers else some(0.3, 8)
    jumps = 0 if people.too_late or power_cuts else some(0.25, 3)
    return Faults(
        partitions=partitions,
        one_way=some(0.3, partitions) if partitions else 0,
        clogs=some(0.2, 4),
        shielded=some(0.15, 1),
        absences=some(0.4, 5),
        crashes=some(0.4, 6),
        power_cuts=power_cuts,
        moves=random.random() < 0.4,
        bad_disks=disks,
        disk_faults=3 * disks,
        tears=disks,
        parted_removals=people.removals > 0 and random.random() < 0.5,
        parted_rivals=people.rivals > 0 and random.random() < 0.7,
        byzantine=byzantine,
        skew_s=random.choice(_SKEWS) if jumps else 0,
        jumps=jumps,
        jump_s=random.choice(_JUMPS) if jumps else 0,
    )
