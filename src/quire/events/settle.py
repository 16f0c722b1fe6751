"""Settle: what becomes of genuine events, and of those that waited for them.

Owns: needs, projection, and the general blocked/unblock mechanism. Callers hold the transaction.
Must not know: any event type, where events come from.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from quire.events.handler import Handler, Opened
from quire.events.home import Home
from quire.events.opening import envelope, open_stored
from quire.limits import INGEST_BATCH, MAX_CLOCK_AHEAD_MS
from quire.store.blobs import BLOCKED, UNSUPPORTED, VALID, BlobRow, Held
from quire.store.memberships import Membership
from quire.store.waiting import TIME

#: Prefix of the need of an unsigned event that waits for a genuine successor.
VOUCH = "vouch "
#: The need of an event whose stored bytes were found damaged when its turn came.
DAMAGED = "damaged"
#: Places of a log looked at first when walking back: mostly the next one is held already, or missing.
_FIRST_WINDOW = 16


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
        held.append((account, space, opened.event.ts, opened.number, state, now))
        if state != VALID:
            uncounted.append((opened.event.ts, opened.event_id))
    home.store.blobs.hold(held)
    home.store.buckets.add(account, space, uncounted)
    home.store.waiting.block(account, space, [(need, opened.number) for need, opened in waits])
    report.blocked += len(waits)
    project(home, member, ready, now, report, counted=False)
    if home.store.waiting.count(account, space):
        # Blocked ones vouch too: what comes before them may be the very thing that they wait for.
        project(home, member, reconsider(home, member, vouch(home, member, trusted), now), now, report)


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
    met: set[str] = set()  # asked once for each need of the batch, not for each event
    ready: list[tuple[Opened[Any], Handler | None]] = []
    waits: list[tuple[str, Opened[Any]]] = []
    for item, handler in zip(opened, handlers, strict=True):
        if item.event.ts > latest and item.event.author != item.received_by:
            waits.append((TIME, item))
            continue
        if handler is not None:
            unmet = None
            for need in handler.needs(item):
                if need not in met:
                    if not waiting.is_met(member.account, member.space, need):
                        unmet = need
                        break
                    met.add(need)
            if unmet is not None:
                waits.append((unmet, item))
                continue
            if provided := handler.provides(item):
                waiting.provide(member.account, member.space, provided)
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
        newest_own, newest_foreign = 0, -1
        for opened, handler in ready:
            if handler is not None:
                by_handler.setdefault(handler.type, []).append(opened)
            event = opened.event
            if event.author != own:
                newest_foreign = max(newest_foreign, event.ts)
            elif event.ts > newest_own:  # ours, but perhaps come back to us after a loss
                newest_own = event.ts
        clock.remember(newest_own)
        clock.observe(newest_foreign)
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
    return reconsider(home, member, waiting.release(member.account, member.space, needs), now)


def vouch(home: Home, member: Membership, genuine: Sequence[Opened[Any]]) -> list[int]:
    """Walk back from genuine events through the unsigned ones before them; their numbers, released."""
    released: list[tuple[str, int]] = []
    done = {opened.event_id for opened in genuine}
    for opened in genuine:
        expected, before = opened.event.prev, opened.event.seq
        window = _FIRST_WINDOW
        while expected is not None and expected not in done:
            page = home.store.blobs.doubtful(member.account, opened.device, before, window)
            window = min(2 * window, INGEST_BATCH)
            links = {(row.event_id, row.seq): row for row in page}
            if (expected, before - 1) not in links:
                break
            while expected is not None and (expected, before - 1) in links:
                row = links[expected, before - 1]
                released.append((VOUCH + row.event_id, row.n))
                done.add(expected)
                found = open_stored(home, member, row)
                before, expected = row.seq, found[0].prev if found else None
    return home.store.waiting.remove(member.account, member.space, released)


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


def release_held(home: Home, member: Membership, now: int) -> Report:
    """Let in the events that were held because their timestamp was too far ahead (ms)."""
    report = Report()
    with home.store.transaction():
        numbers = home.store.waiting.release_until(member.account, member.space, now + MAX_CLOCK_AHEAD_MS)
        project(home, member, reconsider(home, member, numbers, now), now, report)
    return report


def clear_doubts(home: Home, rows: Sequence[BlobRow]) -> None:
    """Mark blobs as genuine that were stored before anyone vouched for them."""
    doubted = [row for row in rows if not row.genuine]
    if doubted:
        home.store.blobs.mark_genuine(doubted)
