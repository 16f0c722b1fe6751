"""`admit`: a member lets in a newcomer, whose signed request is in the event.

The request proves the invite's secret and certifies the newcomer's device. Whoever of the members is reached
first lets in; that the invite still holds is decided from what that member knew, and by the graph's rules
where two let in at the same time.
"""

from collections.abc import Sequence

import msgspec

from quire.core.certificate import (
    Certificate,
    ask,
    ask_holds,
    chain_holds,
    invite_key,
    proof_holds,
    prove,
    words,
)
from quire.core.encoding import is_key, to_text
from quire.core.keys import DeviceKey
from quire.core.text import is_name
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened
from quire.graph import changes
from quire.graph.contests import leaves
from quire.graph.roles import Role
from quire.handlers import graph_events, identity
from quire.limits import MAX_INTEGER, MAX_NAME_CHARS
from quire.store.views import View


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """What a newcomer's device says of itself: whose it is (`chain`) and that it holds an invite (`proof`).

    `seq` is how far its log in this space has come: 0 for who was never here. By `consent` the device itself says all
    of it, for this space and invite.
    """

    identity: str
    device: str
    wrap: str
    chain: list[Certificate]
    consent: str
    invite: str
    proof: str
    name: str
    seq: int


class AdmitEvent(GraphEvent):
    """`request` is granted: its proof holds for the key of the invite made by event `invite`."""

    invite: str
    request: Request


def may_let_in(ctx: Context) -> bool:
    """Whether this identity may let others in, as its graph tells: a guest may not."""
    return ctx.graph.ledger.role(ctx.member.account_id, ctx.graph.valid) >= Role.MEMBER


def log_height(ctx: Context) -> int:
    """How far this device's log in this space goes."""
    number = ctx.home.store.names.known_device(ctx.member.space, ctx.member.device)
    return ctx.home.store.blobs.head(number)[0] if number is not None else 0


def has_left_since(ctx: Context, asked: Request) -> bool:
    """Whether a device's identity left after the device had asked: letters can be long on their way."""
    changed = ctx.graph.ledger.role_changes(asked.identity, ctx.graph.valid)
    return any(leaves(node) and node.device == asked.device and node.seq > asked.seq for node, _ in changed)


def request(ctx: Context, secret: bytes, name: str, seq: int) -> Request:
    """This device's request to be let into a space by the invite with a secret of 32 bytes.

    What it wrote after place `seq` of its log counts once it is in.
    """
    member = ctx.member
    chain = identity.chain_of(ctx, member.account)
    return signed(member.device_key, chain, member.account_id, member.space_id, secret, name, seq)


def signed(
    device: DeviceKey,
    chain: list[Certificate],
    account_id: str,
    space_id: str,
    secret: bytes,
    name: str,
    seq: int,
) -> Request:
    """The request of an identity's device, which `chain` certifies, by the invite with this secret."""
    wrap, public, said = identity.wrap_text(device), invite_key(secret).text, words(name, seq)
    return Request(
        identity=account_id,
        device=device.text,
        wrap=wrap,
        chain=chain,
        consent=ask(device, space_id, account_id, wrap, public, said),
        invite=public,
        proof=prove(secret, space_id, device.text, said),
        name=name,
        seq=seq,
    )


def is_sound(asked: Request, space_id: str) -> bool:
    """Whether a request's signatures hold, and its other fields are such."""
    if not (is_name(asked.name, MAX_NAME_CHARS) and 0 <= asked.seq <= MAX_INTEGER and is_key(asked.device)):
        return False
    of, device, wrap, public = asked.identity, asked.device, asked.wrap, asked.invite
    said = words(asked.name, asked.seq)
    return (
        chain_holds(of, device, wrap, asked.chain)
        and ask_holds(device, space_id, of, wrap, public, said, asked.consent)
        and proof_holds(public, space_id, device, said, asked.proof)
    )


def change(o: Opened[AdmitEvent], space_id: bytes) -> changes.AnyChange:
    """Letting in, if the request's proofs hold; that it names the invite's own key is checked by `admit_event`."""
    asked = o.event.request
    if not is_sound(asked, to_text(space_id)):
        return changes.Void()
    return changes.Admit(asked.identity, asked.device, asked.wrap, o.event.invite, asked.seq, asked.invite)


def project(view: View, batch: Sequence[Opened[AdmitEvent]]) -> None:
    """Keep the names that newcomers asked to join as, by their own word: until they introduce themselves."""
    view.write(
        "INSERT INTO admit_rows VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET name = excluded.name, ts = excluded.ts WHERE (excluded.ts, excluded.name) > (ts, name)",
        [
            (o.account, o.space, o.event.request.identity, o.event.request.name, o.event.ts)
            for o in batch
            if is_sound(o.event.request, o.space_id)
        ],
    )


def create(ctx: Context, invite: str, asked: Request) -> Opened[AdmitEvent]:
    """Let in by the invite made by event `invite`. Raises Refused, naming the rule."""
    return ctx.change("admit", {"invite": invite, "request": asked})


HANDLER = Handler(
    type="admit",
    event=AdmitEvent,
    tables=("admit_rows",),
    schema="""
CREATE TABLE admit_rows (
    account INTEGER NOT NULL, space INTEGER NOT NULL, member TEXT NOT NULL, name TEXT NOT NULL,
    ts INTEGER NOT NULL, PRIMARY KEY (account, space, member)
) STRICT, WITHOUT ROWID;
""",
    project=project,
    change=change,
    needs=graph_events.needs,
    provides=graph_events.provides,
)
