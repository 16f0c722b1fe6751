"""Settle: what becomes of genuine events, and of those that waited for them.

Owns: needs, projection, and the general blocked/unblock mechanism. Callers hold the transaction.
Must not know: any event type, where events come from.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from quire.core.event import SealedEvent
from quire.events.audiences import needs, open_bodies, provides
from quire.events.forks import note_forks
from quire.events.handler import Handler, Opened, nothing
from quire.events.home import Home
from quire.events.keyring import read_early
from quire.events.opening import envelope, open_stored
from quire.events.standing import author_known, graph_of, take_in
from quire.limits import INGEST_BATCH, MAX_CLOCK_AHEAD_MS
from quire.store.blobs import BLOCKED, UNSUPPORTED, VALID, BlobRow, Held, as_run
from quire.store.memberships import Membership
from quire.store.waiting import time_need

#: The kind of need of an unsigned event that waits for a genuine successor, and the prefix of such a need.
UNSIGNED = "vouch"
VOUCH = UNSIGNED + " "
#: The need of an event whose stored bytes were found damaged when its turn came.
DAMAGED = "damaged"


@dataclass
class Report:
    """What became of a batch, in event counts; `arrived` are the events that are valid now."""

    valid: int = 0
    blocked: int = 0
    known: int = 0
    #: Kept unopened from now on, until their key comes; those that were kept before are `known`.
    locked: int = 0
    #: Left in the tail for the next batch.
    carried: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    arrived: list[Opened[Any]] = field(default_factory=list)

    def reject(self, reason: str, number: int = 1) -> None:
        """Count refused events."""
        self.rejected[reason] = self.rejected.get(reason, 0) + number


def write(
    home: Home,
    member: Membership,
    trusted: list[Opened[Any]],
    handlers: Sequence[Handler | None],
    now: int,
    report: Report,
    unvouched: Sequence[Opened[Any]] = (),
) -> None:
    """Hold genuine events (whose blobs are stored), project those that are ready, unblock what waited.

    Events of the graph go first, or a batch that brings a member and what it wrote would wait for itself.
    """
    pairs = list(zip(trusted, handlers, strict=True))
    of_graph = [pair for pair in pairs if pair[1] is not None and pair[1].change is not None]
    if of_graph:
        # The unsigned ones are held from here on: an event of the graph may be what vouches for them.
        _write(home, member, of_graph, now, report, unvouched)
        pairs, unvouched = [pair for pair in pairs if pair[1] is None or pair[1].change is None], ()
    if pairs or unvouched:
        _write(home, member, pairs, now, report, unvouched)


def _write(
    home: Home,
    member: Membership,
    pairs: Sequence[tuple[Opened[Any], Handler | None]],
    now: int,
    report: Report,
    unvouched: Sequence[Opened[Any]],
) -> None:
    trusted, handlers = [opened for opened, _ in pairs], [handler for _, handler in pairs]
    account, space = member.account, member.space
    _read_early(home, member, pairs)
    ready, waits = _decide(home, member, trusted, handlers, now)
    for _, opened in waits:  # ours come back to us after a loss: what we write next goes after them
        if opened.event.author == member.device:
            home.clock(account).remember(opened.event.ts)
    waits += [(VOUCH + opened.event_id, opened) for opened in unvouched]
    _hold(home, member, pairs, waits, unvouched, now)
    home.store.waiting.block(account, space, [(need, opened.number) for need, opened in waits])
    report.blocked += len(waits)
    came: dict[str, list[int]] = defaultdict(list)
    for opened in trusted:
        came[opened.event.author].append(opened.event.seq)
    note_forks(home, member, graph_of(home, member), came)
    project(home, member, ready, now, report, counted=False)
    if home.store.waiting.count(account, space):
        # Blocked ones vouch too: what comes before them may be the very thing that they wait for.
        vouched = vouch(home, member, trusted)
        project(home, member, reconsider(home, member, vouched, now), now, report)
        if vouched:
            note_forks(home, member, graph_of(home, member), dict.fromkeys(came))


def _hold(
    home: Home,
    member: Membership,
    pairs: Sequence[tuple[Opened[Any], Handler | None]],
    waits: Sequence[tuple[str, Opened[Any]]],
    unvouched: Sequence[Opened[Any]],
    now: int,
) -> None:
    """Hold events, and count those that do not arrive now: the others are counted in bulk."""
    account, space = member.account, member.space
    run = None
    if not waits and all(handler is not None for _, handler in pairs):
        run = as_run([opened.number for opened, _ in pairs])
    if run is not None:
        home.store.blobs.hold_run(account, run, VALID, now)
        return
    blocked = {opened.number for _, opened in waits}
    held: list[Held] = []
    uncounted: list[Opened[Any]] = []
    for opened, handler in (*pairs, *((opened, None) for opened in unvouched)):
        idle = UNSUPPORTED if handler is None else VALID
        state = BLOCKED if opened.number in blocked else idle
        held.append((account, space, opened.event.ts, opened.number, state, now))
        if state != VALID:
            uncounted.append(opened)
    home.store.blobs.hold(held)
    epochs = home.store.blobs.epochs([o.number for o in uncounted]) if member.apart else {}
    home.store.buckets.add(
        account, space, [(o.event.ts, o.event_id, epochs.get(o.number, 0)) for o in uncounted]
    )


def _read_early(home: Home, member: Membership, pairs: Iterable[tuple[Opened[Any], Handler | None]]) -> None:
    """Take keys out of genuine events that hand them out, whether or not they are ready."""
    boxes = [
        handler.box(opened) for opened, handler in pairs if handler is not None and handler.box is not None
    ]
    if boxes:
        read_early(home, member, graph_of(home, member), boxes)


def _decide(
    home: Home,
    member: Membership,
    opened: Sequence[Opened[Any]],
    handlers: Sequence[Handler | None],
    now: int,
) -> tuple[list[tuple[Opened[Any], Handler | None]], list[tuple[str, Opened[Any]]]]:
    """Those whose needs are met (by what is held, or by one earlier in the batch), and the others' first need."""
    # Asked once for each need of the batch, and once for each author where that is all, not for each event.
    met: set[str] = set()
    known: set[str] = set()
    ready: list[tuple[Opened[Any], Handler | None]] = []
    waits: list[tuple[str, Opened[Any]]] = []
    for item, handler in zip(opened, handlers, strict=True):
        author = item.event.author
        due = item.event.ts <= now
        if not (due and author in known and handler is not None and handler.needs is author_known):
            need = unmet(home, member, item, handler, now, met)
            if need is not None:
                waits.append((need, item))
                continue
            if handler is None or handler.needs is author_known:
                known.add(author)
        if handler is not None and handler.provides is not nothing:
            home.store.waiting.provide(member.account, member.space, provides(handler, item))
        ready.append((item, handler))
    return ready, waits


def unmet(
    home: Home, member: Membership, opened: Opened[Any], handler: Handler | None, now: int, met: set[str]
) -> str | None:
    """The first thing that an event waits for, besides what is `met` anyhow, to which what was found to be is added."""
    if opened.event.ts > now + MAX_CLOCK_AHEAD_MS and opened.event.author != member.device:
        return time_need(opened.event.ts)
    for need in needs(handler, opened) if handler is not None else author_known(opened):
        if need not in met:
            if not home.store.waiting.is_met(member.account, member.space, need):
                return need
            met.add(need)
    return None


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
    own = member.device
    clock = home.clock(member.account)
    while ready:
        _name_senders(home, member, [opened for opened, _ in ready])
        known = [(opened, handler) for opened, handler in ready if handler is not None]
        newest_own, newest_foreign = 0, -1
        for opened, _ in ready:
            event = opened.event
            if event.author != own:
                newest_foreign = max(newest_foreign, event.ts)
            elif event.ts > newest_own:  # ours, but perhaps come back to us after a loss
                newest_own = event.ts
        clock.remember(newest_own)
        clock.observe(newest_foreign)
        _show(home, member, known)
        of_graph = [(opened, handler) for opened, handler in known if handler.change is not None]
        met = take_in(home, member, of_graph) if of_graph else []
        home.store.waiting.provide(member.account, member.space, met)
        if announce:
            home.store.blobs.arrive(member.account, [opened.number for opened, _ in known], counted)
        report.valid += len(ready)
        report.arrived += [opened for opened, _ in known]
        ready = _unblock(home, member, ready, met, now)
        announce = counted = True


def _show(home: Home, member: Membership, known: Sequence[tuple[Opened[Any], Handler]]) -> None:
    """Run the projectors over events, and over what opens of those that are sealed."""
    by_handler: dict[str, list[Opened[Any]]] = defaultdict(list)
    sealed: list[tuple[Opened[Any], Handler]] = []
    for opened, handler in known:
        if type(opened.event) is SealedEvent:
            sealed.append((opened, handler))
        else:
            by_handler[handler.type].append(opened)
    for opened, handler in open_bodies(home, member, sealed) if sealed else ():
        by_handler[handler.type].append(opened)
    for type_, batch in by_handler.items():
        projector = home.registry.get(type_).project
        if projector is not None:
            projector(home.views[type_], batch)


def reopen(home: Home, member: Membership) -> None:
    """Show the bodies whose keys have come; to subscribers they arrive once more."""
    at = (member.account, member.space)
    while names := home.fresh_audience_keys.pop(at, None):
        numbers = home.store.audiences.take_unopened(*at, names)
        for start in range(0, len(numbers), INGEST_BATCH):
            rows = home.store.blobs.read(numbers[start : start + INGEST_BATCH])
            known = [
                (envelope(member, row, found[0]), found[1])
                for row in rows
                if (found := open_stored(home, member, row)) is not None and found[1] is not None
            ]
            _name_senders(home, member, [opened for opened, _ in known])
            _show(home, member, known)
            home.store.blobs.arrive(member.account, [opened.number for opened, _ in known], True)


def _name_senders(home: Home, member: Membership, opened: Sequence[Opened[Any]]) -> None:
    found: dict[int, str] = {}
    for item in opened:
        sender = found.get(item.device)
        if sender is None:
            sender = found[item.device] = home.sender(member.account, member.space, item.device)
        item.sender = sender


def _unblock(
    home: Home,
    member: Membership,
    ready: Sequence[tuple[Opened[Any], Handler | None]],
    met: Sequence[str],
    now: int,
) -> list[tuple[Opened[Any], Handler | None]]:
    waiting = home.store.waiting
    if not waiting.count(member.account, member.space):
        return []
    met_now = list(met)
    for opened, handler in ready:
        met_now += provides(handler, opened) if handler is not None else ()
    return reconsider(home, member, waiting.release(member.account, member.space, met_now), now)


def vouch(home: Home, member: Membership, genuine: Sequence[Opened[Any]]) -> list[int]:
    """Walk back from genuine events through the unsigned ones before them; their numbers, released.

    Each is looked for by its id: there may be any number of others that claim its place.
    """
    waiting, at = home.store.waiting, (member.account, member.space)
    released: list[tuple[str, int]] = []
    done = {opened.event_id for opened in genuine}
    for opened in genuine:
        expected, before = opened.event.prev, opened.event.seq
        while expected is not None and expected not in done:
            number = waiting.event(*at, VOUCH + expected)
            row = home.store.blobs.read([number])[0] if number is not None else None
            if row is None or (row.device, row.seq) != (opened.device, before - 1):
                break
            released.append((VOUCH + expected, row.n))
            done.add(expected)
            found = open_stored(home, member, row)
            before, expected = row.seq, found[0].prev if found else None
    return waiting.remove(*at, released)


def reconsider(
    home: Home, member: Membership, numbers: Iterable[int], now: int
) -> list[tuple[Opened[Any], Handler | None]]:
    """Events taken from the waiting list: those that are ready now; the others wait again for their next need."""
    opened: list[Opened[Any]] = []
    handlers: list[Handler | None] = []
    rows = home.store.blobs.read(list(numbers))
    clear_doubts(home, rows)
    damaged: list[tuple[str, int]] = []
    for row in rows:
        found = open_stored(home, member, row)
        if found is None:
            damaged.append((DAMAGED, row.n))
            continue
        home.doubtful.pop(row.n, None)
        opened.append(envelope(member, row, found[0]))
        handlers.append(found[1])
    _read_early(home, member, zip(opened, handlers, strict=True))
    ready, waits = _decide(home, member, opened, handlers, now)
    waits_again = [(need, item.number) for need, item in waits]
    home.store.waiting.block(member.account, member.space, waits_again + damaged)
    states: dict[int, list[tuple[int, int, int]]] = {VALID: [], UNSUPPORTED: [], BLOCKED: []}
    for item, handler in ready:
        state = UNSUPPORTED if handler is None else VALID
        states[state].append((item.space, item.event.ts, item.number))
    states[BLOCKED] += [(item.space, item.event.ts, item.number) for _, item in waits]
    states[BLOCKED] += [(row.space, row.ts, row.n) for row in rows if (DAMAGED, row.n) in damaged]
    for state, keys in states.items():
        home.store.blobs.set_state(member.account, state, keys)
    return ready


def clear_doubts(home: Home, rows: Sequence[BlobRow]) -> None:
    """Mark blobs as genuine that were stored before anyone vouched for them."""
    doubted = [row for row in rows if not row.genuine]
    if doubted:
        home.store.blobs.mark_genuine(doubted)
