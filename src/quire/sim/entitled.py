"""Who should see what: the ground truth, worked out for each identity.

Owns: the step from `sim_events` to expected messages. Must not know: devices, stores, how it is compared.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import NamedTuple

from quire.sim.ground import ANYONE, DONE, REFUSED, GroundTruth, SimEvent, guest_of


class Shown(NamedTuple):
    """A message as one identity should see it."""

    space_id: str
    channel_id: str
    sender: str
    body_text: str


@dataclass(frozen=True)
class Write:
    """What somebody wrote at once (one text or many), or tried to. Identities are public keys."""

    at_ms: int
    writer: str
    device: str
    texts: list[str]
    #: Who should see it, and the channel that each sees it in.
    seen_by: dict[str, str]
    space_id: str
    #: In the order of the texts; none when the writer was not told that it is written.
    event_ids: list[str]
    #: None: the device crashed on it, so that it may be there, whole, or not at all.
    happened: bool | None
    #: Why it was refused, when it was.
    why: str = ""
    #: Whether whoever removed its writer later had not all of it by then: what that had is what counts.
    doubtful: bool = False

    def shown_to(self, identity: str) -> list[Shown]:
        """How one identity should see it."""
        if identity not in self.seen_by:
            return []
        return [Shown(self.space_id, self.seen_by[identity], self.writer, text) for text in self.texts]

    def left_of(self, held: Set[str]) -> "Write":
        """What can be shown of it where these events are all that is somewhere: one signature at its end is for all,
        by each to the one before, so that what comes before a gap waits for ever.
        """
        whole = list(takewhile(held.__contains__, reversed(self.event_ids)))
        first = len(self.event_ids) - len(whole)
        return replace(self, texts=self.texts[first:], event_ids=self.event_ids[first:])


#: Why somebody is no member who was not removed: it left; it came too late; somebody else had the last seat.
LEFT, EXPIRED, USED = "left", "invite-expired", "invite-used"
#: How long an invite holds (ms) if nothing else is planned.
_WEEK_MS = 7 * 86_400_000


class Rivals(NamedTuple):
    """Those who came by one invite that has fewer `seats`, by which each of them was to be let in."""

    space_id: str
    seats: int
    people: list[str]


class Removal(NamedTuple):
    """`by` removed somebody from a space, when its keys were `keys` (ids).

    Or, with a `why` (one of the above), they went by themselves or were never to be in; `by` is one who is.
    """

    at_ms: int
    by: str
    space_id: str
    keys: frozenset[str]
    why: str = ""
    #: The ids of messages by the removed that `by` had then.
    held: frozenset[str] = frozenset()

    def lacks(self, write: Write) -> bool:
        """Whether something of a write was not there when its writer was removed."""
        return self.space_id == write.space_id and not (
            write.event_ids and self.held.issuperset(write.event_ids)
        )


@dataclass
class Truth:
    """What `sim_events` says came of the plan so far."""

    #: Of each identity: its name, and the device it lives on.
    names: dict[str, str] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    #: Device key → the identity that it signs for.
    owners: dict[str, str] = field(default_factory=dict)
    #: Space id → identities, in order of joining.
    members: dict[str, list[str]] = field(default_factory=dict)
    #: Who was removed: its view is what it had until then, and some of what came before the others knew.
    removed: dict[str, Removal] = field(default_factory=dict)
    #: Who of them is in, what the founder's device holds tells: all others were `removed` as USED.
    rivals: list[Rivals] = field(default_factory=list)
    #: Names of devices that lie, the identities on them, the ids of the events that they made, and texts of those that
    #: nobody must ever be shown.
    lying: set[str] = field(default_factory=set)
    liars: set[str] = field(default_factory=set)
    lies: set[str] = field(default_factory=set)
    forged: set[str] = field(default_factory=set)
    writes: list[Write] = field(default_factory=list)
    #: By device: when it lost power, and up to when its disk had all that was written (ms).
    cuts: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    #: People who could not found, invite, join, remove or leave, and why.
    shut_out: list[str] = field(default_factory=list)

    def spaces_of(self, identity: str) -> list[str]:
        """The spaces that an identity is in."""
        return [space for space, members in self.members.items() if identity in members]

    def may_be_gone(self, write: Write) -> bool:
        """Whether a write may be lost, though its device has acknowledged it: if nobody else had received it."""
        return write.doubtful or any(
            at_ms >= write.at_ms >= kept_ms for at_ms, kept_ms in self.cuts.get(write.device, ())
        )


def work_out(ground: GroundTruth) -> Truth:
    """The truth as the table tells it now."""
    truth = Truth()
    plan, outcomes = ground.plan(), ground.outcomes()
    keys: dict[str, str] = {}
    spaces: dict[str, str] = {}
    invites: dict[tuple[str, str], Invited] = {}
    for event in plan:
        if event.action not in ("found", "invite", "join", "remove", "leave", "restart"):
            continue
        outcome = outcomes.get(event.n)
        if event.action == "restart":
            if outcome is not None and outcome.action == REFUSED:
                truth.shut_out.append(f"{event.actor} cannot start again: {outcome.detail['words']}")
        elif outcome is None or outcome.action != DONE:
            why = "the run never came to it" if outcome is None else outcome.detail["words"]
            truth.shut_out.append(
                f"{event.actor} could not {event.action} at {event.at_ms / 1000:.1f} s: {why}"
            )
        elif event.action in ("remove", "leave"):
            left, space = event.action == "leave", spaces[event.detail["space"]]
            by = truth.members[space][0] if left else keys[event.actor]
            had, held = frozenset(outcome.detail["keys"]), frozenset(outcome.detail.get("held", ()))
            why = LEFT if left else ""
            truth.removed[outcome.detail["pubkey"]] = Removal(outcome.at_ms, by, space, had, why, held)
        elif event.action == "invite":
            expires = outcome.at_ms + event.detail.get("lasts_ms", _WEEK_MS)
            made = Invited(event.detail.get("uses", 1), expires, [])
            invites[event.detail["space"], event.detail["guest"]] = made
        else:
            key, space = outcome.detail["pubkey"], outcome.detail["space_id"]
            keys[event.actor], spaces[event.detail["space"]] = key, space
            truth.names[key], truth.devices[key] = event.actor, event.detail["device"]
            truth.owners[outcome.detail["device_key"]] = key
            truth.members.setdefault(space, []).append(key)
            if event.action == "join":
                _work_out_guest(truth, invites, event, key, outcome)
    truth.rivals = [
        Rivals(spaces[name], made.seats, made.guests)
        for (name, _), made in invites.items()
        if len(made.guests) > made.seats
    ]
    for event in plan:
        if event.action == "power" and event.n in outcomes:
            cut = outcomes[event.n]
            truth.cuts.setdefault(event.actor, []).append((cut.at_ms, cut.detail["kept_ms"]))
    _work_out_lies(truth, plan, outcomes)
    for event in plan:
        if event.action == "write" and event.actor in keys and event.detail["space"] in spaces:
            space = spaces[event.detail["space"]]
            write = _write(event, outcomes.get(event.n), keys, space, truth.members[space])
            truth.writes.append(_as_removed(write, truth.removed))
    return truth


class Invited(NamedTuple):
    """An invite: for how many, until when (virtual ms), and who came by it in time."""

    seats: int
    expires_ms: int
    guests: list[str]


def _work_out_guest(
    truth: Truth, invites: Mapping[tuple[str, str], Invited], event: SimEvent, guest: str, outcome: SimEvent
) -> None:
    """Note by which invite somebody came, and who came too late."""
    name, space = event.detail["space"], outcome.detail["space_id"]
    made = invites.get((name, guest_of(event))) or invites[name, ANYONE]
    if outcome.at_ms > made.expires_ms:
        founder = truth.members[space][0]
        truth.removed[guest] = Removal(outcome.at_ms, founder, space, frozenset(), EXPIRED)
    else:
        made.guests.append(guest)


def _work_out_lies(truth: Truth, plan: list[SimEvent], outcomes: Mapping[int, SimEvent]) -> None:
    truth.lying = {event.actor for event in plan if event.action == "boot" and event.detail.get("lying")}
    truth.liars = {identity for identity, device in truth.devices.items() if device in truth.lying}
    for event in plan:
        outcome = outcomes.get(event.n)
        if event.action == "lie" and outcome is not None and outcome.action == DONE:
            truth.lies.update(outcome.detail["event_ids"])
            truth.forged.update(outcome.detail["texts"])


def _as_removed(write: Write, removed: Mapping[str, Removal]) -> Write:
    """What was removed people's, from then on, is for themselves; and others' is not for them.

    Who leaves knows of it at once: what it had written before is all for the others, and nothing is after it.
    """
    gone = {who for who, removal in removed.items() if removal.at_ms <= write.at_ms}
    if write.writer in gone and removed[write.writer].why != LEFT:
        return replace(write, seen_by={write.writer: write.seen_by[write.writer]})
    late = removed.get(write.writer)
    return replace(
        write,
        seen_by={who: where for who, where in write.seen_by.items() if who not in gone},
        doubtful=late is not None and not late.why and late.lacks(write),
    )


def _write(
    event: SimEvent, outcome: SimEvent | None, keys: dict[str, str], space: str, members: list[str]
) -> Write:
    writer, to = keys[event.actor], event.detail["to"]
    if to[0] == "@":
        other = keys.get(to[1:], "")
        seen_by = {writer: other, other: writer}
    else:
        seen_by = dict.fromkeys(members, to[1:])
    happened = None if outcome is None else outcome.action == DONE
    told = {} if outcome is None else outcome.detail
    return Write(
        at_ms=event.at_ms,
        writer=writer,
        device=event.detail["device"],
        texts=event.detail["texts"],
        seen_by=seen_by,
        space_id=space,
        event_ids=told.get("event_ids", []),
        happened=happened,
        why=told.get("why", ""),
    )
