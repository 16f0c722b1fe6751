"""`invite-revoke`: an invite is taken back: nobody is let in by it any more, also not by who has not heard yet."""

from quire.core.encoding import is_key
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened, Operation
from quire.graph import changes
from quire.handlers import graph_events, invite, key, relay
from quire.handlers.invite import InviteEntry


class InviteRevokeEvent(GraphEvent):
    """The invite made by event `invite` admits nobody any more."""

    invite: str


def change(o: Opened[InviteRevokeEvent], _: bytes) -> changes.AnyChange:
    """Taking back an invite."""
    return changes.RevokeInvite(o.event.invite) if is_key(o.event.invite) else changes.Void()


def create(ctx: Context, invite_id: str) -> InviteEntry:
    """Take back an invite (its link; its id from `invite list`, or how that begins). Who came in by it stays.

    Where a welcome may have waited for it at a relay, what is written from now on is sealed with a new key.
    """
    found = invite.named(ctx, invite_id)
    with ctx.home.store.transaction():
        ctx.change("invite-revoke", {"invite": found.invite_id})
        if relay.used(ctx) and not ctx.member.from_join and not found.approve:
            key.rekey(ctx)
    return invite.named(ctx, found.invite_id)


HANDLER = Handler(
    type="invite-revoke",
    event=InviteRevokeEvent,
    change=change,
    needs=graph_events.needs,
    provides=graph_events.provides,
    operations=(Operation("revokeInvite", create, ("invite", "revoke"), ("invite_id",), writes=True),),
)
