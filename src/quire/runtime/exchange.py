"""What the identities of one home have for each other, exchanged without a node.

Owns: when it is enough. Must not know: how it is done; handlers' jobs do it, as at a node's ticks.
"""

from itertools import combinations

from quire.events.context import Context
from quire.events.history import index_for
from quire.events.home import Home
from quire.handlers import sync_peers
from quire.store.memberships import JOINING, Membership

#: One asks, the other answers, and what came is taken in; once more for what was written because of it.
_ROUNDS = 4


def exchange(home: Home, now: int) -> None:
    """Bring the home's own identities to the same events in each space where several are, as far as each may."""
    members = [one for one in home.store.memberships.all() if one.kind != JOINING]
    for _ in range(_ROUNDS):
        apart = [pair for pair in combinations(members, 2) if _differ(home, *pair)]
        if not apart:
            return
        for member in {(one.account, one.space): one for pair in apart for one in pair}.values():
            _take_turn(Context(home, now, member.account, member))


def _differ(home: Home, one: Membership, other: Membership) -> bool:
    if one.space != other.space:
        return False
    ours = index_for(home, one.account, one.space, other.device).whole()
    return ours != index_for(home, other.account, other.space, one.device).whole()


def _take_turn(ctx: Context) -> None:
    with ctx.home.store.transaction():
        for job in sync_peers.HANDLER.jobs:
            job(ctx)
