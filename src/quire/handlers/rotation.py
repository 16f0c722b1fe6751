"""`rotation`: an identity's root key gives way to a new one; each has signed the other.

Peers lose nothing: the member stays who it was, under the public key it first came with. From then on only
the new phrase recovers. Where it is not known yet, in spaces joined since, every device of the identity says it.
"""

from collections.abc import Sequence

import msgspec

from quire.core.certificate import Certificate, certificate_holds, certify, transition, transition_holds
from quire.core.phrase import phrase_of, root_key
from quire.core.sealing import NONCE_BYTES
from quire.errors import Refused
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened, Operation
from quire.events.standing import graph_of
from quire.graph import changes
from quire.handlers import device, graph_events, identity
from quire.handlers.identity import Phrase
from quire.store.views import View


class RotationEvent(GraphEvent):
    """`root` takes the place of `old`; `certificate` is `old`'s for `root`, for spaces that know `old` alone."""

    old: str
    root: str
    sig_old: str
    sig_new: str
    certificate: Certificate


class Transition(msgspec.Struct):
    """What a rotation says, as it is said in every space."""

    old: str
    root: str
    sig_old: str
    sig_new: str
    certificate: Certificate


def change(o: Opened[RotationEvent], _: bytes) -> changes.AnyChange:
    """A new root, if both keys agree."""
    event = o.event
    if (event.certificate.signer, event.certificate.device) == (event.old, event.root) and transition_holds(
        event.old, event.root, event.sig_old, event.sig_new
    ):
        return changes.Rotate(event.old, event.root)
    return changes.Void()


def project(view: View, batch: Sequence[Opened[RotationEvent]]) -> None:
    """Keep transitions; whether they count is for the graph."""
    view.write(
        "INSERT OR IGNORE INTO rotation_rows VALUES (?, ?, ?, ?, ?, ?)",
        [(o.account, o.space, o.event_id, o.event.old, o.event.ts, _body(o.event)) for o in batch],
    )


def _body(event: RotationEvent) -> str:
    said = Transition(event.old, event.root, event.sig_old, event.sig_new, event.certificate)
    return msgspec.json.encode(said).decode()


def rotate(ctx: Context) -> Phrase:
    """Make a new root key and phrase for this identity: the old phrase and key files recover nothing any more.

    Write the new phrase on paper, and destroy the old one.
    """
    memberships = ctx.home.store.memberships
    entropy = memberships.root(ctx.account)
    if entropy is None:
        raise Refused(
            "Only the device where this identity was made or recovered has its root key, and this is another one."
        )
    fresh = ctx.home.entropy(32)
    old, new = root_key(entropy), root_key(fresh)
    with ctx.home.store.transaction():
        sigs = transition(old, new)
        own = certify(old, device.account_id(ctx), new.text, identity.wrap_text(new))
        said = Transition(old.text, new.text, *sigs, own)
        # Kept beside the events: an identity may be in no space yet.
        ctx.view("siblings").write(
            "INSERT INTO own_transitions VALUES (?, ?, ?)",
            [(ctx.account, old.text, msgspec.json.encode(said).decode())],
        )
        memberships.set_root(ctx.account, fresh, ctx.home.entropy(NONCE_BYTES))
        for member in memberships.of_account(ctx.account):
            _say(ctx.within(member))
    return Phrase(phrase_of(fresh))


def transitions(ctx: Context) -> list[Transition]:
    """This identity's changes of root, from the first on: those that some space of it takes for true."""
    memberships = ctx.home.store.memberships
    own = ctx.view("siblings").read("SELECT body FROM own_transitions WHERE account = ?", (ctx.account,))
    found = {said.old: said for (body,) in own for said in (msgspec.json.decode(body, type=Transition),)}
    for space, event_id, body in ctx.view("rotation").read(
        "SELECT space, event_id, body FROM rotation_rows WHERE account = ? ORDER BY ts, event_id",
        (ctx.account,),
    ):
        said = msgspec.json.decode(body, type=Transition)
        graph = graph_of(ctx.home, memberships.get(ctx.account, space))
        node = graph.ledger.node(event_id)
        if node is not None and node.author == device.account_id(ctx) and graph.counts(event_id):
            found[said.old] = said
    steps, at = [], device.account_id(ctx)
    while at in found:
        steps.append(found.pop(at))
        at = steps[-1].root
    return steps


def chain(ctx: Context, root: str) -> list[Certificate] | None:
    """The certificates from the identity's first root key to `root`; None while they are not known."""
    found: list[Certificate] = []
    if root == device.account_id(ctx):
        return found
    for step in transitions(ctx):
        found.append(step.certificate)
        if not certificate_holds(device.account_id(ctx), step.certificate):
            return None
        if step.root == root:
            return found
    return None


def _say(ctx: Context) -> None:
    """Job: tell this space of changes of root that it does not know yet."""
    if not device.stands(ctx):
        return
    for step in transitions(ctx):
        if ctx.graph.ledger.root(ctx.member.account_id, ctx.graph.valid) == step.old:
            ctx.change("rotation", msgspec.structs.asdict(step))


def _say_when_due(ctx: Context) -> None:
    mark, seen = ("rotation", ctx.member.account, ctx.member.space), device.extent(ctx)
    if ctx.home.noted.get(mark) != seen:
        _say(ctx)
        ctx.home.noted[mark] = device.extent(ctx)


HANDLER = Handler(
    type="rotation",
    event=RotationEvent,
    tables=("rotation_rows",),
    schema="""
CREATE TABLE rotation_rows (
    account INTEGER NOT NULL, space INTEGER NOT NULL, event_id TEXT NOT NULL, old TEXT NOT NULL, ts INTEGER NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (account, space, event_id)
) STRICT, WITHOUT ROWID;
""",
    project=project,
    change=change,
    needs=graph_events.needs,
    provides=graph_events.provides,
    jobs=(_say_when_due,),
    operations=(Operation("rotateIdentity", rotate, ("identity", "rotate"), writes=True, scope="identity"),),
)
