"""`invite-revoke`: an invite is taken back: nobody is let in by it any more, also not by who has not heard yet."""

from quire.core.encoding import is_key
from quire.errors import Refused
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

    By its link all of that key are taken back which this member may: others who have it can have made more.
    Where a welcome may have waited for it at a relay, what is written from now on is sealed with a new key.
    """
    named = invite.every_named(ctx, invite_id)
    found = [one for one in named if one.state != "revoked"] or named
    with ctx.home.store.transaction():
        refused = [error for one in found if (error := _take_back(ctx, one)) is not None]
        if len(refused) == len(found):
            raise refused[0]
        if relay.used(ctx) and not ctx.member.from_join and not all(one.approve for one in found):
            key.rekey(ctx)
    return invite.named(ctx, invite_id)


def _take_back(ctx: Context, found: InviteEntry) -> Refused | None:
    """Take back one invite; gives the refusal where it is another's."""
    try:
        ctx.change("invite-revoke", {"invite": found.invite_id})
    except Refused as refused:
        return refused
    return None


HANDLER = Handler(
    type="invite-revoke",
    event=InviteRevokeEvent,
    change=change,
    needs=graph_events.needs,
    provides=graph_events.provides,
    operations=(Operation("revokeInvite", create, ("invite", "revoke"), ("invite_id",), writes=True),),
)
