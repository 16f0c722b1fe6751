"""Drop every view and project it anew from the blobs.

Owns: `quire rebuild`. Must not know: any handler. Local facts (keys, memberships, addresses, what waits to
go out) are no views and stay.
"""

from collections.abc import Callable, Iterator
from typing import Any

from quire.events.handler import Handler, Opened
from quire.events.home import Home
from quire.events.opening import envelope, open_stored
from quire.events.settle import VOUCH, Report, project, reconsider
from quire.limits import INGEST_BATCH
from quire.store.blobs import VALID, BlobRow
from quire.store.database import Row
from quire.store.memberships import Membership


def rebuild(home: Home, now: int, progress: Callable[[int], None] = lambda _: None) -> int:
    """Make all views anew in one transaction; gives the number of events projected.

    `progress` is told how many events are done. On any failure the old views stay as they were.
    """
    done = 0
    with home.store.transaction():
        for handler in home.registry.handlers:
            if not handler.local:
                home.views[handler.type].drop()
                home.views[handler.type].create()
        home.store.waiting.clear(keep_prefix=VOUCH)
        home.search.create()
        home.store.buckets.recount_all()
        rows: list[Row] = home.store.db.all("SELECT account, space FROM memberships ORDER BY account, space")
        for account, space in rows:
            for count in _replay(home, home.store.memberships.get(account, space), now):
                done += count
                progress(done)
    home.stale_views = False
    return done


def _replay(home: Home, member: Membership, now: int) -> Iterator[int]:
    """Project one identity's events of one space again; yields the size of each page."""
    after = 0
    waiting = home.store.waiting
    while page := home.store.blobs.held_after(member.account, member.space, after, INGEST_BATCH):
        after = page[-1][0].n
        settled = [row for row, state in page if state == VALID]
        others = [
            row.n
            for row, state in page
            if state != VALID and not waiting.waits(member.account, member.space, VOUCH + row.event_id, row.n)
        ]
        project(home, member, _settled(home, member, settled), now, Report(), announce=False)
        project(home, member, reconsider(home, member, others, now), now, Report())
        yield len(page)


def _settled(home: Home, member: Membership, rows: list[BlobRow]) -> list[tuple[Opened[Any], Handler | None]]:
    """Events that had become valid before: valid again, whatever the order; what they provide is noted."""
    ready: list[tuple[Opened[Any], Handler | None]] = []
    for row in rows:
        found = open_stored(home, member, row)
        if found is None:
            continue  # damaged: `quire verify` tells of it, and the others are shown without it
        event, handler = found
        opened = envelope(member, row, event)
        if handler is not None:
            home.store.waiting.provide(member.account, member.space, handler.provides(opened))
        ready.append((opened, handler))
    return ready
