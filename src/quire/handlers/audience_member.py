"""`audience-member`: somebody is in an audience from now on, or is not; its key is renewed with it.

Everyone inside may bring others in; who made the audience takes others out, and everybody may leave. What a member
wrote up to `marks` stays shown in the audience; what it writes later with an old key does not.
"""

from quire.core.encoding import is_key
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened
from quire.graph import changes
from quire.handlers import graph_events, key


class AudienceMemberEvent(GraphEvent):
    """`member` (root key) is inside the audience made by event `audience`, or not; `marks` as in `role`."""

    audience: str
    member: str
    inside: bool
    marks: dict[str, tuple[int, str]]


def change(o: Opened[AudienceMemberEvent], _: bytes) -> changes.AnyChange:
    """A member more or less, if it can be one."""
    event = o.event
    if not is_key(event.member) or not is_key(event.audience):
        return changes.Void()
    return changes.SetAudience(event.audience, event.member, event.inside, event.marks)


def create(ctx: Context, audience: str, member: str, inside: bool) -> None:
    """Bring a member into an audience, or take it out. Raises Refused, naming the rule.

    Who leaves cannot renew the key: whoever writes next does.
    """
    with ctx.home.store.transaction():
        body = {
            "audience": audience,
            "member": member,
            "inside": inside,
            "marks": graph_events.marks(ctx, member),
        }
        ctx.change("audience-member", body)
        if inside or member != ctx.member.account_id:
            key.renew(ctx, audience)


HANDLER = Handler(
    type="audience-member",
    event=AudienceMemberEvent,
    change=change,
    needs=graph_events.needs,
    provides=graph_events.provides,
)
