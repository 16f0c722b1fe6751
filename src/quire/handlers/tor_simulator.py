"""`tor-simulator`: the network between the identities of one node.

At every tick it turns outgoing envelopes into incoming ones, with the recipient as `received_by`, so that
a whole network can run, and be watched, in one process.
"""

from quire.events.context import Context
from quire.events.handler import Handler
from quire.handlers import incoming, outgoing
from quire.limits import INGEST_BATCH


def deliver(ctx: Context) -> int:
    """Deliver this identity's envelopes in this space; how many there were."""
    delivered = 0
    member = ctx.member
    recipients = {m.account_id: m for m in ctx.home.store.memberships.all() if m.space == member.space}
    with ctx.home.store.transaction():
        while envelopes := outgoing.take(ctx, INGEST_BATCH):
            for recipient, received_by in recipients.items():
                sealed = [e.sealed for e in envelopes if e.recipient == recipient]
                if sealed:
                    incoming.receive(ctx.home, received_by, sealed, member.device, ctx.now)
            delivered += len(envelopes)
    return delivered


def bring(ctx: Context) -> None:
    """Job: deliver what waits."""
    deliver(ctx)


HANDLER = Handler(type="tor-simulator", jobs=(bring,))
