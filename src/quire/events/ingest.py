"""Ingest: the only door into the store and the views.

Owns: the order of steps: known? → open → verify → dependencies met? → append → project → unblock what
waited. Each batch is one transaction (of the caller's, when it has one open); nothing is sent or told
before the commit. Must not know: any event type, any transport.

An event is genuine when its author's signature holds, or when a genuine event of the same log cites it
as `prev`: a run of one log needs one signature check, at its head, and a hash walk for the rest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from quire.core import event as core_event
from quire.core.event import Event
from quire.core.sealing import KEY_ID_BYTES, open_blob
from quire.errors import BadEvent
from quire.events.handler import Handler, Opened
from quire.events.home import Home
from quire.limits import INGEST_BATCH, MAX_BLOCKED, MAX_CLOCK_AHEAD_MS
from quire.store.blobs import BLOCKED, UNSUPPORTED, VALID, BlobRow, Held
from quire.store.memberships import Membership
from quire.store.waiting import TIME

#: Prefix of the need of an unsigned event that waits for a genuine successor.
VOUCH = "vouch "


class _Head(msgspec.Struct, gc=False):
    type: str
    v: int


_head_decoder = msgspec.json.Decoder(_Head)


class Candidate(NamedTuple):
    """An opened event that is not yet known to be genuine."""

    event_id: str
    event: Event
    handler: Handler | None
    data: bytes
    epoch: int
    blob: bytes


@dataclass
class Report:
    """What became of a batch, in event counts; `arrived` are the events that are valid now."""

    valid: int = 0
    blocked: int = 0
    known: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    arrived: list[Opened[Any]] = field(default_factory=list)

    def reject(self, reason: str, number: int = 1) -> None:
        """Count refused events."""
        self.rejected[reason] = self.rejected.get(reason, 0) + number


def ingest(home: Home, member: Membership, sealed: Sequence[bytes], source: str, now: int) -> Report:
    """Take in blobs (each `key_id ‖ blob`) that a peer or relay gave to one identity of one space.

    `source` names the giver in the counts of what was refused; `now` is the wall clock (ms).
    Raises HomeError when the disk is full or the database unusable; then nothing of the batch is kept.
    """
    report = Report()
    with home.store.transaction():
        candidates = _open(home, member, sealed, report)
        fresh, numbers = _unknown(home, member, candidates, report)
        passing = [c for c in fresh if c.handler is not None and not c.handler.lasting]
        lasting = [c for c in fresh if c.handler is None or c.handler.lasting] if passing else fresh
        genuine, unvouched = _genuine(home, member, lasting, report)
        _admit(home, member, genuine, unvouched, numbers, now, report)
        _project_passing(home, member, passing, now, report)
        for reason, number in report.rejected.items():
            home.store.rejections.count(member.account, source, reason, now, number)
    return report


def _open(home: Home, member: Membership, sealed: Sequence[bytes], report: Report) -> list[Candidate]:
    candidates: dict[str, Candidate] = {}
    keys = {home.store.names.key_id(epoch): (epoch, *secret) for epoch, secret in member.epochs.items()}
    for item in sealed:
        try:
            found = keys.get(item[:KEY_ID_BYTES])
            if found is None:
                raise BadEvent("unknown-key")
            epoch, key, context = found
            blob = item[KEY_ID_BYTES:]
            data = open_blob(key, blob, context)
            event, handler = decode(home, data)
        except BadEvent as error:
            report.reject(error.reason)
            continue
        event_id = core_event.event_id(data)
        candidates[event_id] = Candidate(event_id, event, handler, data, epoch, blob)
    return list(candidates.values())


def decode(home: Home, data: bytes) -> tuple[Event, Handler | None]:
    """The typed event in canonical bytes and its handler, or its header and None. Raises BadEvent."""
    try:
        head = _head_decoder.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return core_event.decode_unknown(data), None
    found = home.registry.decoder(head.type, head.v)
    if found is None:
        return core_event.decode_unknown(data), None
    handler, decoder = found
    return core_event.decode(data, decoder), handler


def _unknown(
    home: Home, member: Membership, candidates: list[Candidate], report: Report
) -> tuple[list[Candidate], dict[str, int]]:
    """Those that this identity does not hold, and the numbers of the blobs that others here hold."""
    known = home.store.blobs.known(member.account, member.space, [c.event_id for c in candidates])
    if not known:
        return candidates, {}
    fresh = [c for c in candidates if c.event_id not in known or known[c.event_id][1] is None]
    report.known += len(candidates) - len(fresh)
    return fresh, {event_id: number for event_id, (number, _) in known.items()}


def _genuine(
    home: Home, member: Membership, candidates: list[Candidate], report: Report
) -> tuple[list[Candidate], list[Candidate]]:
    """The genuine ones in the order given, and the unsigned ones that nobody has vouched for yet."""
    cited: dict[str, tuple[str, int]] = {}
    genuine: set[str] = set()
    unvouched: list[Candidate] = []
    raw_space = member.raw_space_id
    for candidate in sorted(candidates, key=lambda c: c.event.seq, reverse=True):
        event = candidate.event
        if cited.get(candidate.event_id) != (event.author, event.seq):
            unsigned = event.sig is msgspec.UNSET
            if (unsigned or not core_event.signature_holds(candidate.data, raw_space)) and not _vouched(
                home, member, candidate
            ):
                if unsigned:
                    unvouched.append(candidate)
                else:
                    report.reject("bad-signature")
                continue
        genuine.add(candidate.event_id)
        if event.prev is not None:
            cited[event.prev] = (event.author, event.seq - 1)
    return [c for c in candidates if c.event_id in genuine], unvouched


def _vouched(home: Home, member: Membership, candidate: Candidate) -> bool:
    """Whether a genuine event that this identity holds cites the candidate."""
    device = home.store.names.known_device(member.space, candidate.event.author)
    if device is None or home.store.blobs.head(device)[0] <= candidate.event.seq:
        return False
    return any(
        event.prev == candidate.event_id
        for event, _ in (
            open_row(home, member, row)
            for row in home.store.blobs.at(member.account, device, candidate.event.seq + 1)
        )
    )


def _clear_doubts(home: Home, rows: Sequence[BlobRow]) -> None:
    """Mark blobs as genuine that were stored before anyone vouched for them."""
    doubted = [row for row in rows if not row.genuine]
    if doubted:
        home.store.blobs.mark_genuine(doubted)


def open_row(home: Home, member: Membership, row: BlobRow) -> tuple[Event, Handler | None]:
    """The event in a stored blob. Raises BadEvent when the stored bytes are damaged."""
    key, context = member.epochs[row.epoch]
    return decode(home, open_blob(key, row.sealed, context))


def envelope(member: Membership, row: BlobRow, event: Event) -> Opened[Any]:
    """A stored event as this identity received it."""
    return Opened(member.account, member.space, member.account_id, row.n, row.device, row.event_id, event)


def _admit(
    home: Home,
    member: Membership,
    genuine: list[Candidate],
    unvouched: list[Candidate],
    numbers: dict[str, int],
    now: int,
    report: Report,
) -> None:
    room = MAX_BLOCKED - home.store.waiting.count(member.account, member.space)
    if len(unvouched) > room:
        report.reject("waiting-list-full", len(unvouched) - max(room, 0))
        unvouched = unvouched[: max(room, 0)]
    opened = _number(home, member, genuine, unvouched, numbers)
    trusted, waiting = opened[: len(genuine)], opened[len(genuine) :]
    write(home, member, trusted, [c.handler for c in genuine], now, report, waiting)


def _number(
    home: Home,
    member: Membership,
    genuine: list[Candidate],
    unvouched: list[Candidate],
    numbers: dict[str, int],
) -> list[Opened[Any]]:
    """Store the blobs that are new to this home; every candidate with its number."""
    names = home.store.names
    candidates = genuine + unvouched
    new_numbers = iter(home.store.blobs.take_numbers(sum(c.event_id not in numbers for c in candidates)))
    rows: list[BlobRow] = []
    doubted: list[int] = []
    opened: list[Opened[Any]] = []
    for place, (event_id, event, _, _, epoch, blob) in enumerate(candidates):
        is_genuine = place < len(genuine)
        device = names.device_number(member.space, event.author)
        number = numbers.get(event_id)
        if number is None:
            number = next(new_numbers)
            rows.append(
                BlobRow(number, event_id, member.space, epoch, device, event.seq, event.ts, is_genuine, blob)
            )
        elif is_genuine:
            doubted.append(number)
        opened.append(
            Opened(member.account, member.space, member.account_id, number, device, event_id, event)
        )
    home.store.blobs.insert(rows)
    _clear_doubts(home, home.store.blobs.read(doubted))
    return opened


def write(
    home: Home,
    member: Membership,
    trusted: list[Opened[Any]],
    handlers: Sequence[Handler | None],
    now: int,
    report: Report,
    unvouched: Sequence[Opened[Any]] = (),
) -> None:
    """Hold genuine events (whose blobs are stored), project those that are ready, unblock what waited."""
    account, space = member.account, member.space
    ready, waits = _decide(home, member, trusted, handlers, now)
    waits += [(VOUCH + opened.event_id, opened) for opened in unvouched]
    blocked = {opened.number for _, opened in waits}
    held: list[Held] = []
    uncounted: list[tuple[int, str]] = []
    for opened, handler in zip((*trusted, *unvouched), (*handlers, *[None] * len(unvouched)), strict=True):
        idle = UNSUPPORTED if handler is None else VALID
        state = BLOCKED if opened.number in blocked else idle
        held.append(Held(account, space, opened.event.ts, opened.number, state, now))
        if state != VALID:
            uncounted.append((opened.event.ts, opened.event_id))
    home.store.blobs.hold(held)
    home.store.buckets.add(account, space, uncounted)
    home.store.waiting.block(account, space, [(need, opened.number) for need, opened in waits])
    report.blocked += len(waits)
    project(home, member, ready, now, report, counted=False)


def _decide(
    home: Home,
    member: Membership,
    opened: Sequence[Opened[Any]],
    handlers: Sequence[Handler | None],
    now: int,
) -> tuple[list[tuple[Opened[Any], Handler | None]], list[tuple[str, Opened[Any]]]]:
    """Those whose needs are met (by what is held, or by one earlier in the batch), and the others' first need."""
    waiting = home.store.waiting
    latest = now + MAX_CLOCK_AHEAD_MS
    ready: list[tuple[Opened[Any], Handler | None]] = []
    waits: list[tuple[str, Opened[Any]]] = []
    for item, handler in zip(opened, handlers, strict=True):
        if item.event.ts > latest:
            waits.append((TIME, item))
            continue
        if handler is not None:
            unmet = [n for n in handler.needs(item) if not waiting.is_met(item.account, item.space, n)]
            if unmet:
                waits.append((unmet[0], item))
                continue
            waiting.provide(item.account, item.space, handler.provides(item))
        ready.append((item, handler))
    return ready, waits


def project(
    home: Home,
    member: Membership,
    ready: Sequence[tuple[Opened[Any], Handler | None]],
    now: int,
    report: Report,
    announce: bool = True,
    counted: bool = True,
) -> None:
    """Project events whose needs are met, and then, until nothing moves, those that waited for them.

    `announce`: they become valid only now; `counted`: their buckets know them already (they were blocked).
    """
    own = member.account_id
    clock = home.clock(member.account)
    while ready:
        by_handler: dict[str, list[Opened[Any]]] = {}
        for opened, handler in ready:
            if handler is not None:
                by_handler.setdefault(handler.type, []).append(opened)
            if opened.event.author != own:
                clock.observe(opened.event.ts)
        for type_, batch in by_handler.items():
            projector = home.registry.get(type_).project
            if projector is not None:
                projector(home.views[type_], batch)
        known = [opened for opened, handler in ready if handler is not None]
        if announce:
            home.store.blobs.arrive(member.account, [opened.number for opened in known], counted)
        report.valid += len(ready)
        report.arrived += known
        ready = _unblock(home, member, ready, now)
        announce = counted = True


def _unblock(
    home: Home, member: Membership, ready: Sequence[tuple[Opened[Any], Handler | None]], now: int
) -> list[tuple[Opened[Any], Handler | None]]:
    waiting = home.store.waiting
    if not waiting.count(member.account, member.space):
        return []
    needs: list[str] = []
    for opened, handler in ready:
        needs += handler.provides(opened) if handler is not None else ()
    released = waiting.release(member.account, member.space, needs)
    released += vouch(home, member, [opened for opened, _ in ready])
    return reconsider(home, member, released, now)


def vouch(home: Home, member: Membership, genuine: Sequence[Opened[Any]]) -> list[int]:
    """Walk back from genuine events through the unsigned ones before them; their numbers, released."""
    released: list[tuple[str, int]] = []
    done = {opened.event_id for opened in genuine}
    for opened in genuine:
        expected, before = opened.event.prev, opened.event.seq
        while expected is not None and expected not in done:
            page = home.store.blobs.doubtful(member.account, opened.device, before, INGEST_BATCH)
            links = {row.event_id: row for row in page}
            if expected not in links:
                break
            while expected in links:
                row = links[expected]
                if not row.genuine:
                    released.append((VOUCH + row.event_id, row.n))
                done.add(expected)
                before, expected = row.seq, open_row(home, member, row)[0].prev
    return home.store.waiting.remove(member.account, member.space, released)


def reconsider(
    home: Home, member: Membership, numbers: Iterable[int], now: int
) -> list[tuple[Opened[Any], Handler | None]]:
    """Events taken from the waiting list: those that are ready now; the others wait again for their next need."""
    opened: list[Opened[Any]] = []
    handlers: list[Handler | None] = []
    rows = home.store.blobs.read(list(numbers))
    _clear_doubts(home, rows)
    for row in rows:
        event, handler = open_row(home, member, row)
        opened.append(envelope(member, row, event))
        handlers.append(handler)
    ready, waits = _decide(home, member, opened, handlers, now)
    home.store.waiting.block(member.account, member.space, [(need, item.number) for need, item in waits])
    for state in (VALID, UNSUPPORTED):
        keys = [
            (item.space, item.event.ts, item.number)
            for item, handler in ready
            if (handler is None) == (state == UNSUPPORTED)
        ]
        home.store.blobs.set_state(member.account, state, keys)
    return ready


def release_held(home: Home, member: Membership, now: int) -> Report:
    """Let in the events that were held because their timestamp was too far ahead (ms)."""
    report = Report()
    with home.store.transaction():
        numbers = home.store.waiting.release_until(member.account, member.space, now + MAX_CLOCK_AHEAD_MS)
        project(home, member, reconsider(home, member, numbers, now), now, report)
    return report


def _project_passing(
    home: Home, member: Membership, candidates: Sequence[Candidate], now: int, report: Report
) -> None:
    """Project events that are requests, not facts: checked like others, never stored."""
    for event_id, event, handler, data, _, _ in candidates:
        if handler is None or handler.project is None:
            continue
        if not core_event.signature_holds(data, member.raw_space_id):
            report.reject("bad-signature")
        elif event.ts > now + MAX_CLOCK_AHEAD_MS:
            report.reject("clock-ahead")
        else:
            device = home.store.names.device_number(member.space, event.author)
            opened = Opened(member.account, member.space, member.account_id, 0, device, event_id, event)
            if all(home.store.waiting.is_met(member.account, member.space, n) for n in handler.needs(opened)):
                handler.project(home.views[handler.type], [opened])
                report.valid += 1
            else:
                report.reject("unknown-peer")
