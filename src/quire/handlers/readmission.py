"""`readmission`: somebody who lost every key and the phrase comes back as a new identity, in the old one's place.

It takes an admin's word, and everyone sees it: no quiet way leads from one identity to another's rights.
"""

import msgspec

from quire.core.encoding import is_key
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened, Operation
from quire.graph import changes
from quire.graph.ledger import has
from quire.handlers import graph_events, key, peer


class ReadmissionEvent(GraphEvent):
    """`new` stands in the place of member `old`; `marks`: device → [seq, id] of the last event of it that counts."""

    old: str
    new: str
    marks: dict[str, tuple[int, str]]


class Readmitted(msgspec.Struct):
    """`new` (a public key, called `name`) stands in the place of `old`, called `old_name`, as `role`."""

    old: str
    old_name: str
    new: str
    name: str
    role: str


def change(o: Opened[ReadmissionEvent], _: bytes) -> changes.AnyChange:
    """A readmission, if it names two keys."""
    if not (is_key(o.event.old) and is_key(o.event.new)):
        return changes.Void()
    return changes.Readmit(o.event.old, o.event.new, o.event.marks)


def readmit(ctx: Context, old: str, new: str) -> Readmitted:
    """Put a member (`new`, who has joined anew) in the place of one who lost every key and the phrase (`old`).

    Be sure who it is: meet, or call. The old identity's devices are out, and everyone sees what was done.
    """
    before, after = peer.find(ctx, old), peer.find(ctx, new)
    ledger = ctx.graph.ledger
    with ctx.home.store.transaction():
        role = ledger.role(before.pubkey, ctx.graph.valid)
        marks = graph_events.marks(ctx, before.pubkey)
        ctx.change("readmission", {"old": before.pubkey, "new": after.pubkey, "marks": marks})
        if ledger.role(after.pubkey, ctx.graph.valid) < role:
            given = {"member": after.pubkey, "role": graph_events.ROLE_NAMES[role]}
            ctx.change("role", {**given, "marks": graph_events.marks(ctx, after.pubkey)})
        key.renew(ctx, "")
    now = graph_events.ROLE_NAMES[ledger.role(after.pubkey, ctx.graph.valid)]
    return Readmitted(before.pubkey, before.name, after.pubkey, after.name, now)


def places(ctx: Context) -> dict[str, str]:
    """New identity → the one in whose place it stands."""
    graph = ctx.graph
    return {
        node.change.new: node.change.old
        for node in graph.ledger.dag.nodes
        if isinstance(node.change, changes.Readmit) and has(graph.valid, node)
    }


HANDLER = Handler(
    type="readmission",
    event=ReadmissionEvent,
    change=change,
    needs=graph_events.needs,
    provides=graph_events.provides,
    operations=(Operation("readmitMember", readmit, ("member", "readmit"), ("old", "new"), writes=True),),
)
