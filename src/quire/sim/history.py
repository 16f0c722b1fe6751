"""A run as a history: who wrote what, when it reached each device, and what went wrong meanwhile.

Owns: the step from `sim_events` and a witness's notes to what pictures show. Must not know: how it is drawn.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec

from quire.sim.faults import DEATHS
from quire.sim.ground import CRASHED, DONE, REFUSED, SimEvent
from quire.sim.witness import Held, Witness

#: Actions of a device that last until another one, and what they are called meanwhile.
_LASTING = {
    "offline": ("online", "offline"),
    **dict.fromkeys(DEATHS, ("restart", "down")),
    "disk": ("disk", "bad disk"),
}
#: Actions of the network that last until it heals, or until something else takes their place.
_DIVIDING = ("partition", "silence")
#: Rows of the plan that are no news, or are told of elsewhere.
_UNTOLD = frozenset(
    {
        "boot",
        "conditions",
        "rest",
        "heal",
        "invite",
        "gather",
        "write",
        *(end for end, _ in _LASTING.values()),
    }
)
#: Of what is written at once so many texts are kept, and of each so many characters.
MAX_TEXTS, MAX_TEXT = 25, 300


class Lane(msgspec.Struct):
    """One device: who lives there, in which spaces, since when (ms; None: never), and its events held by time."""

    device: str
    people: list[str]
    spaces: list[str]
    since_ms: int | None
    #: (virtual ms, events held from then on), for each time at which it changed.
    held: list[tuple[int, int]]


class Band(msgspec.Struct):
    """Something that lasted; `sides` are the groups of devices that it kept apart, `device` is "" when it was all's."""

    kind: str
    device: str
    start_ms: int
    end_ms: int
    words: str
    sides: list[list[str]] = []


class Mark(msgspec.Struct):
    """Something that happened on a device ("": to all) at one time."""

    kind: str
    device: str
    at_ms: int
    words: str


class Written(msgspec.Struct):
    """`count` texts that somebody wrote at once, the first of them, and when (ms) each device first held all."""

    at_ms: int
    writer: str
    device: str
    space: str
    to: str
    count: int
    texts: list[str]
    reached: dict[str, int]


class History(msgspec.Struct):
    """One run; times in virtual ms since its start. Nothing goes wrong, and nobody writes, after `calm_ms`."""

    scenario: str
    seed: int
    calm_ms: int
    end_ms: int
    lanes: list[Lane]
    bands: list[Band]
    marks: list[Mark]
    writes: list[Written]


def history(scenario: str, seed: int, witness: Witness) -> History:
    """What happened in a run that has ended."""
    plan, outcomes, end_ms = witness.plan, witness.outcomes, witness.now
    return History(
        scenario=scenario,
        seed=seed,
        calm_ms=min(end_ms, plan[-1].at_ms),
        end_ms=end_ms,
        lanes=_lanes(plan, outcomes, witness),
        bands=_bands(plan, outcomes, end_ms),
        marks=_marks(plan, outcomes),
        writes=_writes(plan, outcomes, witness),
    )


def _lanes(plan: list[SimEvent], outcomes: dict[int, SimEvent], witness: Witness) -> list[Lane]:
    people: dict[str, dict[str, None]] = {event.actor: {} for event in plan if event.action == "boot"}
    spaces: dict[str, dict[str, None]] = {device: {} for device in people}
    since: dict[str, int] = {}
    for event in plan:
        if event.action in ("found", "join"):
            device, outcome = event.detail["device"], outcomes.get(event.n)
            people[device][event.actor] = None
            if outcome is not None and outcome.action == DONE:
                since.setdefault(device, outcome.at_ms)
                spaces[device][event.detail["space"]] = None
    return [
        Lane(device, list(who), list(spaces[device]), since.get(device), _steps(witness.held.get(device, [])))
        for device, who in people.items()
    ]


def _steps(held: Iterable[Held]) -> list[tuple[int, int]]:
    steps = [(0, 0)]
    for at, arrived in groupby(held, key=lambda one: one.at_ms):
        steps.append((at, steps[-1][1] + sum(1 for _ in arrived)))
    return steps


def _bands(plan: list[SimEvent], outcomes: dict[int, SimEvent], end_ms: int) -> list[Band]:
    bands = [*_divided(plan, end_ms)]
    for place, event in enumerate(plan):
        outcome = outcomes.get(event.n)
        mended = event.action == "disk" and not any(event.detail.values())
        if event.action in _LASTING and not mended:
            end, kind = _LASTING[event.action]
            begun = outcome.at_ms if outcome is not None and outcome.action == CRASHED else event.at_ms
            ended = _next(plan[place + 1 :], end, event.actor, end_ms)
            bands.append(Band(kind, event.actor, begun, max(begun, ended), f"{event.actor}: {kind}"))
        elif "until_ms" in event.detail:
            device = event.detail.get("device", event.actor)
            until = min(end_ms, event.detail["until_ms"])
            bands.append(Band(event.action, device, event.at_ms, until, f"{event.action}: {device}"))
        elif event.action == "shield":
            bands.append(Band("nat", event.detail["device"], event.at_ms, end_ms, "behind a NAT"))
        elif event.action in ("remove", "leave") and outcome is not None and outcome.action == DONE:
            who = event.detail.get("who", event.actor)
            device = next(e.detail["device"] for e in plan if e.action == "join" and e.actor == who)
            words = f"{who} is removed by {event.actor}" if event.action == "remove" else f"{who} left"
            bands.append(Band("removed", device, outcome.at_ms, end_ms, words))
    return sorted(bands, key=lambda band: band.start_ms)


def _divided(plan: list[SimEvent], end_ms: int) -> Iterable[Band]:
    """Partitions, of both ways or one; each lasts until the network heals."""
    for place, event in enumerate(plan):
        if event.actor == "network" and event.action in _DIVIDING:
            groups: list[list[str]] = event.detail["groups"]
            end = _next(plan[place + 1 :], "heal", "network", end_ms)
            between = " | " if event.action == "partition" else " is not heard by "
            words = f"{event.action}: " + between.join(", ".join(group) for group in groups)
            yield Band(event.action, "", event.at_ms, end, words, groups)


def _next(plan: list[SimEvent], action: str, actor: str, end_ms: int) -> int:
    return next((e.at_ms for e in plan if e.action == action and e.actor == actor), end_ms)


def _marks(plan: list[SimEvent], outcomes: dict[int, SimEvent]) -> list[Mark]:
    marks = []
    for event in plan:
        outcome = outcomes.get(event.n)
        told = "" if outcome is None else outcome.detail.get("words", "")
        device = event.detail.get("device", "" if event.actor == "network" else event.actor)
        if outcome is not None and outcome.action in (REFUSED, CRASHED) and event.action not in _LASTING:
            why = f"was refused: {told}" if outcome.action == REFUSED else "was cut off by a crash"
            words = f"{event.actor}: {event.action} {why}"
            marks.append(Mark(outcome.action, device, outcome.at_ms, words))
        elif event.action == "clock":
            words = f"{event.actor}'s clock is {event.detail['ahead_ms'] / 1000:+.1f} s off from here on"
            marks.append(Mark("clock", event.actor, event.at_ms, words))
        elif event.action in ("found", "join", "remove", "leave"):
            at = event.at_ms if outcome is None else outcome.at_ms
            words = f"{event.actor}: {event.action} {event.detail.get('who', event.detail['space'])}"
            marks.append(Mark(event.action, device, at, words))
        elif (
            event.action not in (*_UNTOLD, *_LASTING, *_DIVIDING, "shield") and "until_ms" not in event.detail
        ):
            words = f"{device}: {event.action} {event.detail.get('how', '')}".rstrip()
            marks.append(Mark(event.action, device, event.at_ms, words))
    return sorted(marks, key=lambda mark: mark.at_ms)


def _writes(plan: list[SimEvent], outcomes: dict[int, SimEvent], witness: Witness) -> list[Written]:
    first = {device: _first(held) for device, held in witness.held.items()}
    writes = []
    for event in plan:
        outcome = outcomes.get(event.n)
        if event.action == "write" and outcome is not None and outcome.action == DONE:
            detail, ids = event.detail, outcome.detail["event_ids"]
            reached = {device: _whole(ids, times) for device, times in first.items()}
            # A crash right after may have kept the witness from looking until the restart.
            reached[detail["device"]] = outcome.at_ms
            writes.append(
                Written(
                    at_ms=outcome.at_ms,
                    writer=event.actor,
                    device=detail["device"],
                    space=detail["space"],
                    to=detail["to"],
                    count=len(detail["texts"]),
                    texts=[_short(text) for text in detail["texts"][:MAX_TEXTS]],
                    reached={device: at for device, at in reached.items() if at is not None},
                )
            )
    return writes


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text):,} characters)"


def _first(held: Iterable[Held]) -> dict[str, int]:
    """When each event was first held by anyone on the device."""
    first: dict[str, int] = {}
    for one in held:
        first.setdefault(one.event_id, one.at_ms)
    return first


def _whole(ids: Sequence[str], times: dict[str, int]) -> int | None:
    """When all of these were there; None when some never were."""
    return max(times[one] for one in ids) if all(one in times for one in ids) else None
