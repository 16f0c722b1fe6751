"""`space-name`: the space is called otherwise from now on."""

from quire.core.text import is_name
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened, Operation
from quire.graph import changes
from quire.handlers import graph_events, identity, space
from quire.limits import MAX_NAME_CHARS


class SpaceNameEvent(GraphEvent):
    """The space is called `name`."""

    name: str


def change(o: Opened[SpaceNameEvent], _: bytes) -> changes.AnyChange:
    """A name, if it can be one."""
    return changes.Rename(o.event.name) if is_name(o.event.name, MAX_NAME_CHARS) else changes.Void()


def create(ctx: Context, name: str) -> space.Space:
    """Rename this space, for all its members (founder and admins)."""
    identity.check_name(name)
    ctx.change("space-name", {"name": name})
    member = ctx.member
    return space.Space(member.space_id, member.name, member.identity_name, member.kind)


HANDLER = Handler(
    type="space-name",
    event=SpaceNameEvent,
    change=change,
    needs=graph_events.needs,
    provides=graph_events.provides,
    operations=(Operation("renameSpace", create, ("space", "rename"), ("name",), writes=True),),
)
