"""Drop every view and project it anew from the blobs.

Owns: `quire rebuild`. Must not know: any handler. Local facts (keys, memberships, addresses, what waits to
go out) are no views and stay.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from quire.core.event import Event
from quire.events.audiences import provides
from quire.events.handler import Handler, Opened
from quire.events.home import Home
from quire.events.opening import envelope, open_stored
from quire.events.settle import VOUCH, Report, project, reconsider, reopen
from quire.limits import INGEST_BATCH
from quire.store.blobs import VALID, BlobRow
from quire.store.database import Row
from quire.store.memberships import Membership


class Rebuilt(msgspec.Struct):
    """How many events were gone through, and how many of them are damaged and were set aside.

    What is set aside counts as not held, so that sync fetches it again from a peer that has it whole.
    """

    events: int
    set_aside: int


def rebuild(home: Home, now: int, progress: Callable[[int], None] = lambda _: None) -> Rebuilt:
    """Make all views anew in one transaction.

    `progress` is told how many events are done. On any failure the old views stay as they were.
    """
    done = set_aside = 0
    with home.store.transaction():
        for handler in home.registry.handlers:
            if not handler.local:
                home.views[handler.type].drop()
                home.views[handler.type].create()
        home.store.waiting.clear(keep_prefix=VOUCH)
        order = {
            (account, space): [row.event for row in home.store.graph.events(account, space)]
            for account, space in home.store.db.all("SELECT account, space FROM memberships")
        }
        home.store.graph.clear()
        home.store.audiences.clear()
        home.forget_graphs()
        home.search.create()
        rows: list[Row] = home.store.db.all("SELECT account, space FROM memberships ORDER BY account, space")
        for account, space in rows:
            member = home.store.memberships.get(account, space)
            replayed = _replay_graph(home, member, order[account, space], now)
            for count, damaged in _replay(home, member, replayed, now):
                done += count
                set_aside += damaged
                progress(done)
            reopen(home, member)
        home.store.buckets.recount_all()
        home.store.ids.make_anew()
    home.stale_views = False
    return Rebuilt(done, set_aside)


def _replay_graph(home: Home, member: Membership, events: Sequence[int], now: int) -> set[int]:
    """Take the events of the membership graph in again, causes first: what else there is depends on them.

    Gives those that are in: what builds on a damaged one is not.
    """
    replayed: set[int] = set()
    rows = {row.n: row for row in home.store.blobs.read(events)}
    for number in events:
        found = open_stored(home, member, rows[number]) if number in rows else None
        if found is not None and found[1] is not None and found[1].change is not None:
            missing = [
                need
                for need in found[1].needs(envelope(member, rows[number], found[0]))
                if not home.store.waiting.is_met(member.account, member.space, need)
            ]
            if not missing:
                replayed.add(number)
                project(
                    home,
                    member,
                    _settled(home, member, [(rows[number], found)]),
                    now,
                    Report(),
                    announce=False,
                )
    return replayed


def _replay(home: Home, member: Membership, replayed: set[int], now: int) -> Iterator[tuple[int, int]]:
    """Project one identity's events of one space again; yields the size of each page, and its damaged events.

    Events of the graph that were not `replayed` wait for what they lack, and come in with it.
    """
    after = 0
    waiting = home.store.waiting
    while page := home.store.blobs.held_after(member.account, member.space, after, INGEST_BATCH):
        after = page[-1][0].n
        opened = {row.n: open_stored(home, member, row) for row, _ in page}
        damaged = [row for row, _ in page if opened[row.n] is None]
        home.store.blobs.set_aside(member.account, damaged)
        waiting.forget(member.account, member.space, [row.n for row in damaged])
        page = [(row, state) for row, state in page if opened[row.n] is not None]
        settled = [
            (row, opened[row.n]) for row, state in page if state == VALID and not _of_graph(opened[row.n])
        ]
        others = [
            row.n
            for row, state in page
            if (state != VALID or (_of_graph(opened[row.n]) and row.n not in replayed))
            and not waiting.waits(member.account, member.space, VOUCH + row.event_id, row.n)
        ]
        project(home, member, _settled(home, member, settled), now, Report(), announce=False)
        project(home, member, reconsider(home, member, others, now), now, Report())
        yield len(page) + len(damaged), len(damaged)


def _of_graph(found: tuple[Event, Handler | None] | None) -> bool:
    return found is not None and found[1] is not None and found[1].change is not None


def _settled(
    home: Home, member: Membership, rows: list[tuple[BlobRow, tuple[Event, Handler | None] | None]]
) -> list[tuple[Opened[Any], Handler | None]]:
    """Events that had become valid before: valid again, whatever the order; what they provide is noted."""
    ready: list[tuple[Opened[Any], Handler | None]] = []
    for row, found in rows:
        assert found is not None  # damaged ones have been set aside
        event, handler = found
        opened = envelope(member, row, event)
        if handler is not None:
            home.store.waiting.provide(member.account, member.space, provides(handler, opened))
        ready.append((opened, handler))
    return ready
