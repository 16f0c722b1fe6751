"""Recovering: an identity comes back on a new device, from its phrase or key file and a link to one of its spaces.

The link tells where members are found; no seat of an invite is used. By letter the new device shows a
certificate of the root key; a member that finds it to be the present root of a member hands over the space's
key, and says what the new device's own `recovery` event has to build on. The rest comes by sync.
"""

from collections.abc import Sequence

import msgspec

from quire.core.certificate import Certificate, certify
from quire.core.encoding import from_text, to_text
from quire.core.keys import DeviceKey
from quire.core.phrase import entropy_of, root_key
from quire.core.sealing import NONCE_BYTES
from quire.core.text import is_name
from quire.core.ticket import Ticket, decode_link
from quire.core.wrapping import WrapKey, open_from, seal_to
from quire.errors import BadEvent, UserError
from quire.events import keyring
from quire.events.append import append
from quire.events.context import Context
from quire.events.handler import Handler, Operation
from quire.graph.dag import Node
from quire.graph.ledger import has
from quire.graph.roles import Role
from quire.handlers import device, identity, key_file, recovery, rotation, siblings
from quire.handlers.device import Sibling
from quire.handlers.letter import read_letter
from quire.handlers.siblings import SpaceKey
from quire.limits import MAX_NAME_CHARS, PAIRING_GAP_MS, RECOVERY_PARENTS
from quire.store.memberships import DOORS, INVITED, JOINING, Membership

#: new → member: who asks; member → new: the key; whose root it is; why not.
ASK, KEY, WHO, NO = b"R", b"K", b"I", b"U"
_DOMAIN = b"quire recovered 1"
_REASONS = {
    "not-there": "no member of this space has this root key: another phrase, or another space's link",
    "root": "this phrase was replaced by a newer one (`identity rotate`): use that one",
}


class Recovering(msgspec.Struct):
    """An identity that comes back in the space `name`: `waiting` until a member has answered."""

    identity: str
    pubkey: str
    space_id: str
    name: str
    waiting: bool
    reason: str


class Ask(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A device that says it is the identity's: keys of 32 bytes, signatures of 64; `name` is the device's."""

    identity: bytes
    root: bytes
    wrap: bytes
    sig: bytes
    consent: bytes
    name: str


class Answer(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The space's name and present key, the events (32 bytes) to build on, and the latest of their times (ms)."""

    name: str
    key: SpaceKey
    after: list[bytes]
    ts: int


# --- what a person does


def recover(
    ctx: Context,
    link: str,
    name: str,
    phrase: str = "",
    key_file_text: str = "",
    passphrase: str = "",
    device_name: str = "recovered device",
) -> Recovering:
    """Bring an identity back on this device, from its phrase or an exported key file, with any link to its space.

    `name` is what it is called in this home. `key_file_text` is the file as base64url.
    """
    ticket = decode_link(link)
    if ticket.kind != "join":
        raise UserError(
            "A link to one of the identity's spaces is wanted: any member can make one (`quire invite`)."
        )
    identity.check_name(device_name)
    pubkey = ""
    if phrase:
        entropy = entropy_of(phrase)
    else:
        entropy, pubkey = key_file.read(key_file_text, passphrase)
    with ctx.home.store.transaction():
        account = _account(ctx, entropy, pubkey, name, device_name)
        here = ctx.within(_membership(ctx, account, ticket))
        for address in ticket.addresses:
            ctx.home.store.memberships.remember_address(
                account, here.member.space, to_text(ticket.inviter), address, 0
            )
    return _shown(here)


def _account(ctx: Context, entropy: bytes, pubkey: str, name: str, device_name: str) -> int:
    """The identity in this home, made if it is not here yet; under its root key until its members tell its first."""
    memberships = ctx.home.store.memberships
    root = root_key(entropy)
    for account in memberships.accounts():
        if memberships.root(account) == entropy:
            return account
        if ctx.home.store.names.account_name(account) in (pubkey, root.text):
            raise UserError("This identity is in this home already.")
    identity.check_name(name)
    given_up = next((one for one in memberships.accounts() if _is_only_asking(ctx, one, name)), 0)
    if given_up:
        memberships.set_root(given_up, entropy, ctx.home.entropy(NONCE_BYTES))
        _set_first(ctx, given_up, pubkey or root.text, entropy)
        return given_up
    if any(name == one.name for one in identity.list_(ctx)):
        raise UserError(f"There is already an identity called {name!r} here. Choose another name.")
    key = DeviceKey(ctx.home.entropy(32))
    first = pubkey or root.text
    chain = [certify(root, first, key.text, identity.wrap_text(key))]
    account = identity.add(ctx, first, key, chain, name, entropy)
    here = ctx.within(memberships.home(account))
    siblings.keep(here, msgspec.structs.replace(siblings.own(here), name=device_name))
    return account


def _is_only_asking(ctx: Context, account: int, name: str) -> bool:
    """Whether an identity of this name was to be recovered, and no member has let it: another phrase may be right."""
    memberships = ctx.home.store.memberships
    every = [ctx.within(one) for one in memberships.of_account(account)]
    asking = all(one.member.kind == JOINING and _row(one) is not None for one in every)
    return bool(every) and asking and memberships.home(account).name == name


def _set_first(ctx: Context, account: int, first: str, entropy: bytes) -> None:
    """Be the identity that first came with root key `first`, certified by the root that this entropy makes."""
    memberships = ctx.home.store.memberships
    own = memberships.home(account)
    key = own.device_key
    memberships.become(account, first)
    chain = [certify(root_key(entropy), first, key.text, identity.wrap_text(key))]
    memberships.set_chain(account, identity.chain_text(chain))
    ctx.within(memberships.home(account)).append("identity", {"pubkey": first, "name": own.name})


def _membership(ctx: Context, account: int, ticket: Ticket) -> Membership:
    memberships = ctx.home.store.memberships
    space_id = to_text(ticket.space_id)
    for member in memberships.of_account(account):
        if member.space_id == space_id:
            _note(ctx.within(member), "", 0)
            return member
    member = memberships.add(account, space_id, ticket.link_key, ticket.name, JOINING)
    ctx.view("recovering").write("INSERT INTO recovering VALUES (?, ?, '', 0)", [(account, member.space)])
    return member


def _shown(ctx: Context) -> Recovering:
    member, row = ctx.member, _row(ctx)
    reason = row[0] if row is not None else ""
    return Recovering(
        member.identity_name,
        member.account_id,
        member.space_id,
        member.name,
        member.kind == JOINING,
        _REASONS.get(reason, reason),
    )


def _row(ctx: Context) -> tuple[str, int] | None:
    """What a member last said, and when this device last asked; None for who is not being recovered."""
    rows = ctx.view("recovering").read(
        "SELECT reason, said FROM recovering WHERE account = ? AND space = ?",
        (ctx.member.account, ctx.member.space),
    )
    return (str(rows[0][0]), int(rows[0][1])) if rows else None


def _note(ctx: Context, reason: str, said: int) -> None:
    ctx.view("recovering").write(
        "UPDATE recovering SET reason = ?, said = ? WHERE account = ? AND space = ?",
        [(reason, said, ctx.member.account, ctx.member.space)],
    )


def _forget(ctx: Context) -> None:
    ctx.view("recovering").write(
        "DELETE FROM recovering WHERE account = ? AND space = ?", [(ctx.member.account, ctx.member.space)]
    )


def state(ctx: Context) -> str:
    """Where recovering stands, in words; "" for who is in."""
    row = _row(ctx)
    if row is None or device.stands(ctx):
        return ""
    if ctx.member.kind != JOINING:
        return "being recovered: a member has answered, and the space's history is to come"
    reason = _REASONS.get(row[0], row[0])
    return f"not recovered: {reason}" if reason else "being recovered: waiting for a member to answer"


# --- letters


def greet(ctx: Context, _: str) -> Sequence[bytes]:
    """What a device that is being recovered says to everyone that it reaches, until the graph knows it.

    The first who answers may be anybody who has the link, and the key be none.
    """
    row = _row(ctx)
    if row is not None and device.stands(ctx):
        _forget(ctx)
        return []
    if row is None or ctx.now - row[1] < PAIRING_GAP_MS:
        return []
    _note(ctx, row[0], ctx.now)
    return [_ask(ctx)]


def _ask(ctx: Context) -> bytes:
    own, link = siblings.own(ctx), identity.chain_of(ctx, ctx.account)[-1]
    keys = (ctx.member.account_id, link.signer, own.wrap, link.sig, own.consent)
    first, root, wrap, sig, agreed = (from_text(key) for key in keys)
    return ASK + msgspec.msgpack.encode(Ask(first, root, wrap, sig, agreed, own.name))


def answer(ctx: Context, other: str, letter: bytes) -> Sequence[bytes]:
    """Answer a letter from another device. Raises BadEvent for what is none."""
    kind, body = letter[:1], letter[1:]
    if kind == ASK and ctx.member.kind != JOINING and ctx.member.kind not in DOORS:
        return _answer_ask(ctx, other, body)
    if kind in (KEY, WHO, NO) and _row(ctx) is not None:
        with ctx.home.store.transaction():
            if kind == KEY:
                _enter(ctx, body)
            elif ctx.member.kind == JOINING and kind == WHO:
                return _be(ctx, body)
            elif ctx.member.kind == JOINING:
                _note(ctx, body[:64].decode("ascii", "replace"), ctx.now)
    return []


def _answer_ask(ctx: Context, other: str, body: bytes) -> Sequence[bytes]:
    """A key is handed over only once the certificate by the member's present root has been checked."""
    ask = read_letter(body, Ask)
    first, root, wrap, sig, agreed = (
        to_text(value) for value in (ask.identity, ask.root, ask.wrap, ask.sig, ask.consent)
    )
    certificate = Certificate(other, wrap, root, sig)
    if not recovery.is_sound(first, root, certificate, Sibling(other, wrap, agreed, ask.name)):
        raise BadEvent("bad-request")
    ledger, valid = ctx.graph.ledger, ctx.graph.valid
    member = recovery.roots(ctx).get(root)
    if member is None or ledger.role(member, valid) < Role.GUEST:
        return [NO + (b"root" if ledger.role(first, valid) >= Role.GUEST else b"not-there")]
    if member != first:
        return [WHO + from_text(member)]
    return _key(ctx, member, other, wrap)


def _key(ctx: Context, member: str, other: str, wrap: str) -> Sequence[bytes]:
    key = siblings.space_key(ctx)
    if key is None:
        return []
    after = _builds_on(ctx, member)
    said = Answer(
        ctx.member.name,
        key,
        [from_text(node.event_id) for node in after],
        max(node.ts for node in after),
    )
    context = _DOMAIN + ctx.member.raw_space_id + from_text(other)
    sealed = seal_to(from_text(wrap), msgspec.msgpack.encode(said), ctx.home.entropy(32), context)
    return [KEY + sealed]


def _builds_on(ctx: Context, member: str) -> list[Node]:
    """What gives the member its place and its root, and the latest of what else there is."""
    graph = ctx.graph
    ledger, valid = graph.ledger, graph.valid
    rights = ledger.dag.latest((ledger.rights(member, "") | ledger.rotations(member)) & valid)
    rights = rights[: RECOVERY_PARENTS // 2]
    latest = sorted(ledger.dag.latest(valid), key=lambda node: node.key)
    heads = latest[-(RECOVERY_PARENTS - len(rights)) :]
    covered = 0
    for node in heads:
        covered |= node.past | 1 << node.index
    return [*heads, *(node for node in rights if not has(covered, node))]


def _be(ctx: Context, body: bytes) -> Sequence[bytes]:
    """The root belongs to an identity that first came with another: be that one, and ask again."""
    memberships = ctx.home.store.memberships
    account, entropy = ctx.account, memberships.root(ctx.account)
    if len(body) != 32 or entropy is None or len(memberships.of_account(account)) > 1:
        raise BadEvent("bad-letter")
    first = to_text(body)
    if first in [one.pubkey for one in identity.list_(ctx)]:
        return []
    _set_first(ctx, account, first, entropy)
    return [_ask(ctx)]


def _enter(ctx: Context, body: bytes) -> None:
    """Take the key, and say in the space's graph that this device is the identity's."""
    member = ctx.member
    context = _DOMAIN + member.raw_space_id + from_text(member.device)
    said = read_letter(open_from(body, WrapKey(member.device_key.seed), context), Answer)
    if len(said.after) > RECOVERY_PARENTS or any(len(one) != 32 for one in said.after):
        raise BadEvent("bad-letter")
    known = keyring.held_key(ctx.home, member, "", keyring.name_of(said.key.key)) is not None
    if known and member.kind != JOINING:
        return  # said again
    name = said.name if is_name(said.name, MAX_NAME_CHARS) else member.name
    ctx.home.store.memberships.set_kind(member, INVITED, name)
    siblings.hold(ctx, said.key)
    own, link = siblings.own(ctx), identity.chain_of(ctx, ctx.account)[-1]
    ctx.home.clock(ctx.account).observe(said.ts)
    fields = {"identity": member.account_id, "root": link.signer, "wrap": own.wrap, "certificate": link}
    more = {"consent": own.consent, "name": own.name, "after": [to_text(one) for one in said.after]}
    # Not by `ctx.change`: what it builds on comes by sync, and only once this very event is known.
    append(ctx.home, ctx.member, "recovery", [{**fields, **more}], ctx.now)


def _complete_chain(ctx: Context) -> None:
    """Job: certificates from the first root key on, for spaces to come, once the changes of root are known."""
    mark, seen = ("recovering", ctx.member.account), device.extent(ctx)
    if ctx.home.noted.get(mark) == seen:
        return
    ctx.home.noted[mark] = seen
    own = identity.chain_of(ctx, ctx.account)
    if own[0].signer != device.account_id(ctx):
        before = rotation.chain(ctx, own[0].signer)
        if before:
            ctx.home.store.memberships.set_chain(ctx.account, identity.chain_text([*before, *own]))


HANDLER = Handler(
    type="recovering",
    local=True,
    tables=("recovering",),
    schema="""
CREATE TABLE recovering (
    account INTEGER NOT NULL, space INTEGER NOT NULL, reason TEXT NOT NULL, said INTEGER NOT NULL,
    PRIMARY KEY (account, space)
) STRICT, WITHOUT ROWID;
""",
    greets=greet,
    answers=answer,
    reminds=True,
    jobs=(_complete_chain,),
    operations=(Operation("recoverIdentity", recover, writes=True, scope="home"),),
)
