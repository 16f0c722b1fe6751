"""Pairing: a further device of an identity is linked, by a link and six digits that a person compares.

The old device makes the link, which opens a door for some minutes, for one device. The new one comes through it
with a fresh key; by commitment, nonce and revelation (`core.sas`) both come to show six digits. Only when the
person confirms on the old device that they are the same does it certify the new one: who has the link, and
stands between, gets nothing. The spaces follow through the siblings' door.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from quire.core.certificate import Certificate, certify, chain_holds, consent
from quire.core.encoding import from_text, to_text
from quire.core.keys import DeviceKey
from quire.core.sas import commitment, commitment_holds, short_string
from quire.core.sealing import NONCE_BYTES
from quire.core.text import is_name
from quire.core.ticket import Ticket, decode_link, encode_link, encode_web_link
from quire.errors import BadEvent, NotFound, Refused, UserError
from quire.events.context import Context
from quire.events.handler import Handler, Operation
from quire.handlers import device, identity, pairing_letter, siblings
from quire.handlers.device import Sibling
from quire.handlers.pairing_letter import (
    CERTIFICATE,
    COMMIT,
    IDENTITY,
    NONCE,
    REVEAL,
    VOID,
    Introduction,
    Nonce,
    Reveal,
)
from quire.limits import MAX_ADDRESSES, MAX_CHAIN, MAX_NAME_CHARS, PAIRING_GAP_MS, PAIRING_MS
from quire.store.memberships import PAIRING

#: States of a side: nobody came yet; compare the digits; confirmed here, the rest is under way; linked; given up.
WAITING, COMPARE, CONFIRMED, DONE, GIVEN_UP = "waiting", "compare", "confirmed", "done", "void"


class Pairing(msgspec.Struct):
    """How linking a device stands: `state` is `none`, `waiting`, `compare`, `confirmed`, `done` or `void`.

    `side` is `old` where the identity is, `new` on the device that is linked; `code` the six digits that both
    show from `compare` on; `device` the new device's name; `reason` says why it is void.
    """

    side: str
    state: str
    code: str
    identity: str
    device: str
    expires: int
    reason: str
    link: str = ""
    web: str = ""


@dataclass(frozen=True)
class Side:
    """One side's state, as it is kept. `secret` is the link's; `nonce` our own; `links` certificates that came."""

    account: int
    space: int
    side: str
    state: str
    secret: bytes
    nonce: bytes
    expires: int
    peer: str = ""
    #: Of the other side: the commitment on the old one, the nonce on the new one.
    theirs: bytes = b""
    identity: str = ""
    code: str = ""
    name: str = ""
    wrap: str = ""
    consent: str = ""
    introduction: bytes = b""
    links: str = "{}"
    reason: str = ""
    said: int = 0


_FIELDS = tuple(Side.__dataclass_fields__)
_NONE = Pairing("", "none", "", "", "", 0, "")


# --- what a person does


def link(ctx: Context, name: str = "") -> Pairing:
    """A link for a further device of this identity, good for ten minutes and one device: give it to `device join`.

    `name` is what this device is called from now on. An earlier link is void.
    """
    _needs_node(ctx)
    home, memberships = ctx.home, ctx.home.store.memberships
    called = identity.name_of(ctx)
    key = memberships.device_key(ctx.account)
    with home.store.transaction():
        if name:
            identity.check_name(name)
            siblings.keep(ctx, msgspec.structs.replace(siblings.own(ctx), name=name))
        _close_all(ctx, ctx.account)
        fresh = [home.entropy(32) for _ in range(4)]
        member = memberships.add(ctx.account, to_text(fresh[0]), fresh[1], called, PAIRING)
        ours = device.account_id(ctx)
        side = Side(
            ctx.account, member.space, "old", WAITING, fresh[2], fresh[3], ctx.now + PAIRING_MS, identity=ours
        )
        _write(ctx, side)
    addresses = list(ctx.addresses[:MAX_ADDRESSES])
    ticket = Ticket("link", fresh[0], fresh[1], fresh[2], key.public, addresses, called)
    shown = _shown(ctx, side)
    shown.link, shown.web = encode_link(ticket), encode_web_link(ticket)
    return shown


def join(ctx: Context, link: str, name: str = "further device") -> Pairing:
    """Link this home to the identity that a link of `device link` is for; `name` is what this device is called."""
    ticket = decode_link(link)
    if ticket.kind != "link":
        raise UserError("That link is an invite to a space: give it to `quire join`.")
    identity.check_name(name)
    _needs_node(ctx)
    home, memberships = ctx.home, ctx.home.store.memberships
    key = DeviceKey(home.entropy(32))
    inviter, space_id = to_text(ticket.inviter), to_text(ticket.space_id)
    if any(one.space_id == space_id and one.device == inviter for one in memberships.doors()):
        raise UserError("That link was made in this very home: give it to the new device.")
    with home.store.transaction():
        _close_all(ctx, 0)
        # Until it is linked the device has no identity: it stands under its own key.
        account = memberships.add_account(key.text, key, "[]", home.entropy(2 * NONCE_BYTES))
        member = memberships.add(account, space_id, ticket.link_key, ticket.name, PAIRING)
        for address in ticket.addresses:
            memberships.remember_address(account, member.space, inviter, address, 0)
        nonce = home.entropy(32)
        side = Side(
            account,
            member.space,
            "new",
            WAITING,
            ticket.secret,
            nonce,
            ctx.now + PAIRING_MS,
            inviter,
            name=name,
        )
        _write(ctx, side)
    return _shown(ctx, side)


def state(ctx: Context) -> Pairing:
    """How linking a device stands, on either side."""
    sides = _sides(ctx)
    return _shown(ctx, sides[-1]) if sides else _NONE


def confirm(ctx: Context, code: str) -> Pairing:
    """Say on the old device that both devices show these six digits: now the new one is linked.

    Other digits make the link void.
    """
    side = next((one for one in _sides(ctx) if one.side == "old" and one.account == ctx.account), None)
    if side is None or side.state != COMPARE:
        raise NotFound(_NOTHING_TO_CONFIRM.get(side.state if side else "", _NO_LINK))
    if "".join(code.split()) != "".join(side.code.split()):
        # Told in the answer: an error would take back that the link is void.
        void = replace(side, state=GIVEN_UP, reason=_DIFFERENT)
        _write(ctx, void)
        return _shown(ctx, void)
    with ctx.home.store.transaction():
        confirmed = replace(side, state=CONFIRMED)
        _certify(ctx, confirmed)
        _write(ctx, confirmed)
    return _shown(ctx, confirmed)


def cancel(ctx: Context) -> Pairing:
    """Give up linking a device, on either side: the digits differ, or it was not wanted."""
    with ctx.home.store.transaction():
        for side in _sides(ctx):
            if side.state not in (CONFIRMED, DONE, GIVEN_UP):
                _write(ctx, replace(side, state=GIVEN_UP, reason="It was given up here."))
    return state(ctx)


_NO_LINK = "No device is being linked. Begin with `quire device link`."
_NOTHING_TO_CONFIRM = {
    WAITING: "The new device has not come yet: run `quire device join LINK` there, and compare the digits first.",
    CONFIRMED: "It is confirmed already.",
    GIVEN_UP: "That link is void. Begin anew with `quire device link`.",
}
_DIFFERENT = (
    "The digits on the two devices differ: somebody may stand between them. The link is void, and nothing was "
    "given away. Begin anew with `quire device link`, and hand the link on in another way."
)


def _needs_node(ctx: Context) -> None:
    if not ctx.addresses:
        raise UserError(
            "Linking a device takes a running node on both sides, and none runs here. "
            "Start `quire up` in another window, then try again."
        )


# --- what is kept


def _sides(ctx: Context) -> list[Side]:
    rows = ctx.view("pairing").read(f"SELECT {', '.join(_FIELDS)} FROM pairing ORDER BY expires, account")
    return [Side(*row) for row in rows]


def _side(ctx: Context) -> Side | None:
    key = (ctx.member.account, ctx.member.space)
    return next((side for side in _sides(ctx) if (side.account, side.space) == key), None)


def _write(ctx: Context, side: Side) -> None:
    marks = ", ".join("?" * len(_FIELDS))
    ctx.view("pairing").write(
        f"INSERT OR REPLACE INTO pairing ({', '.join(_FIELDS)}) VALUES ({marks})",
        [tuple(getattr(side, name) for name in _FIELDS)],
    )


def _shown(ctx: Context, side: Side) -> Pairing:
    called = ctx.home.store.memberships.get(side.account, side.space).name
    return Pairing(side.side, side.state, side.code, called, side.name, side.expires, side.reason)


def _close_all(ctx: Context, account: int) -> None:
    """Close the doors of earlier links: an identity's, or with 0 those of devices that are not linked yet."""
    for side in _sides(ctx):
        if side.account == account or (account == 0 and side.side == "new"):
            _close(ctx, side)


def _close(ctx: Context, side: Side) -> None:
    ctx.view("pairing").write(
        "DELETE FROM pairing WHERE account = ? AND space = ?", [(side.account, side.space)]
    )
    ctx.home.store.memberships.remove(ctx.home.store.memberships.get(side.account, side.space))


def _expire(ctx: Context) -> None:
    """Job: close a door whose time is over."""
    side = _side(ctx) if ctx.member.kind == PAIRING else None
    if side is not None and ctx.now >= side.expires:
        _close(ctx, side)


# --- letters


def greet(ctx: Context, other: str) -> Sequence[bytes]:
    """What the new device says, and says again until it is linked; answers may have been lost."""
    side = _side(ctx) if ctx.member.kind == PAIRING else None
    if side is None or side.side != "new" or side.peer != other or ctx.now - side.said < PAIRING_GAP_MS:
        return []
    if side.state == DONE or ctx.now >= side.expires:
        return []
    _write(ctx, replace(side, said=ctx.now))
    if side.state == GIVEN_UP:
        return [VOID]
    return [_reveal(ctx, side) if side.state == COMPARE else COMMIT + _commitment(ctx, side)]


def answer(ctx: Context, other: str, letter: bytes) -> Sequence[bytes]:
    """Answer the other side. Raises BadEvent for what is none of its letters."""
    if ctx.member.kind != PAIRING:
        return []
    side = _side(ctx)
    if side is None or ctx.now >= side.expires:
        return []
    with ctx.home.store.transaction():
        if side.side == "old":
            return _answer_new(ctx, side, other, letter[:1], letter[1:])
        return _answer_old(ctx, side, letter[:1], letter[1:]) if side.peer == other else []


def _answer_new(ctx: Context, side: Side, other: str, kind: bytes, body: bytes) -> Sequence[bytes]:
    """The old device's part. The first who comes is the one who can be linked."""
    if kind == VOID and side.peer == other and side.state in (WAITING, COMPARE):
        _write(ctx, replace(side, state=GIVEN_UP, reason=_GIVEN_UP_THERE))
    if kind not in (COMMIT, REVEAL):
        return []
    if side.state == GIVEN_UP or side.peer not in ("", other):
        return [VOID]
    if kind == COMMIT:
        if not side.peer:
            if len(body) != 32:
                raise BadEvent("bad-letter")
            side = replace(side, peer=other, theirs=body)
            _write(ctx, side)
        return [NONCE + pairing_letter.pack(Nonce(side.nonce, from_text(side.identity)))]
    if side.state == WAITING:
        return _compare(ctx, side, pairing_letter.unpack_reveal(body))
    return _welcome(ctx, side) if side.state in (CONFIRMED, DONE) else []


def _compare(ctx: Context, side: Side, said: Reveal) -> Sequence[bytes]:
    asked = Sibling(side.peer, to_text(said.wrap), to_text(said.consent), said.name)
    if not commitment_holds(side.theirs, said.nonce, from_text(side.peer)) or not device.is_sound(
        side.identity, asked
    ):
        _write(ctx, replace(side, state=GIVEN_UP, reason=_DIFFERENT))
        return [VOID]
    code = _code(ctx, side, side.theirs, side.peer, ctx.member.device, said.nonce, side.nonce)
    asked_for = replace(side, name=asked.name, wrap=asked.wrap, consent=asked.consent)
    _write(ctx, replace(asked_for, state=COMPARE, code=code))
    return []


def _code(
    ctx: Context, side: Side, committed: bytes, new: str, old: str, nonce_new: bytes, nonce_old: bytes
) -> str:
    """The six digits of everything that was said."""
    keys = from_text(new), from_text(side.identity), from_text(old)
    door = ctx.member.raw_space_id, ctx.member.link_key, side.secret
    return short_string(b"quire link device 1", *door, committed, *keys, nonce_new, nonce_old)


def _certify(ctx: Context, side: Side) -> None:
    """The person has confirmed: the device is one of this identity, here and in every space."""
    new = Sibling(side.peer, side.wrap, side.consent, side.name)
    if len(identity.chain_of(ctx, ctx.account)) >= MAX_CHAIN:
        raise Refused(
            "This device was linked by one that was linked, and so on, too many times. "
            "Link the new one from an older device."
        )
    siblings.keep(ctx, new)
    siblings.door(ctx)
    for member in ctx.home.store.memberships.of_account(ctx.account):
        here = ctx.within(member)
        if device.stands(here):
            device.bring_in(here, [new])


def _welcome(ctx: Context, side: Side) -> Sequence[bytes]:
    """What makes the new device one of this identity."""
    own, chain = siblings.own(ctx), identity.chain_of(ctx, ctx.account)
    last = certify(ctx.member.device_key, side.identity, side.peer, side.wrap)
    door = siblings.door(ctx)
    said = Introduction(
        ctx.member.identity_name,
        len(chain) + 1,
        door.raw_space_id,
        door.link_key,
        from_text(own.wrap),
        from_text(own.consent),
        own.name,
    )
    letters = [CERTIFICATE + body for body in pairing_letter.pack_certificates([*chain, last])]
    if side.state != DONE:
        _write(ctx, replace(side, state=DONE))
    return [IDENTITY + pairing_letter.pack(said), *letters]


def _commitment(ctx: Context, side: Side) -> bytes:
    return commitment(side.nonce, ctx.member.device_key.public)


def _reveal(ctx: Context, side: Side) -> bytes:
    key = ctx.member.device_key
    wrap = identity.wrap_text(key)
    agreed = from_text(consent(key, side.identity, wrap))
    return REVEAL + pairing_letter.pack(Reveal(side.nonce, from_text(wrap), agreed, side.name))


def _answer_old(ctx: Context, side: Side, kind: bytes, body: bytes) -> Sequence[bytes]:
    """The new device's part."""
    if kind == VOID and side.state in (WAITING, COMPARE):
        _write(ctx, replace(side, state=GIVEN_UP, reason=_GIVEN_UP_THERE))
    elif kind == NONCE and side.state == WAITING:
        said = pairing_letter.unpack_nonce(body)
        side = replace(side, identity=to_text(said.identity), theirs=said.nonce, said=ctx.now)
        if side.identity in [one.pubkey for one in identity.list_(ctx)]:
            _write(ctx, replace(side, state=GIVEN_UP, reason="This identity is in this home already."))
            return []
        code = _code(ctx, side, _commitment(ctx, side), ctx.member.device, side.peer, side.nonce, side.theirs)
        _write(ctx, replace(side, state=COMPARE, code=code))
        return [_reveal(ctx, side)]
    elif kind in (IDENTITY, CERTIFICATE) and side.state == COMPARE:
        _collect(ctx, side, kind, body)
    return []


_GIVEN_UP_THERE = (
    "The other device has given up this link, or it was used by another device. "
    "Make a new one there with `quire device link`."
)


def _collect(ctx: Context, side: Side, kind: bytes, body: bytes) -> None:
    """Take one of the letters that make this device one of the identity; once all are there, it is."""
    if kind == IDENTITY:
        pairing_letter.unpack_introduction(body)
        side = replace(side, introduction=body)
    else:
        place, link = pairing_letter.unpack_certificate(body)
        links = msgspec.json.decode(side.links, type=dict[int, tuple[str, str, str]])
        if 0 <= place < MAX_CHAIN:
            side = replace(side, links=msgspec.json.encode(links | {place: link}).decode())
    _write(ctx, side)
    if side.introduction:
        said = pairing_letter.unpack_introduction(side.introduction)
        links = msgspec.json.decode(side.links, type=dict[int, tuple[str, str, str]])
        if set(range(said.links)) <= set(links):
            _become(ctx, side, said, [links[place] for place in range(said.links)])


def _become(ctx: Context, side: Side, said: Introduction, links: Sequence[tuple[str, str, str]]) -> None:
    """Be a device of the identity from now on."""
    chain: list[Certificate] = []
    for key, wrap, sig in links:
        chain.append(Certificate(key, wrap, chain[-1].device if chain else side.identity, sig))
    own_key = ctx.member.device_key
    old = Sibling(side.peer, to_text(said.wrap), to_text(said.consent), said.device_name)
    own_wrap = identity.wrap_text(own_key)
    if not (
        is_name(said.name, MAX_NAME_CHARS)
        and chain_holds(side.identity, own_key.text, own_wrap, chain)
        and device.is_sound(side.identity, old)
    ):
        _write(ctx, replace(side, state=GIVEN_UP, reason="What the other device sent does not hold."))
        return
    memberships = ctx.home.store.memberships
    memberships.become(side.account, side.identity)
    memberships.set_chain(side.account, identity.chain_text(chain))
    identity.open_log(ctx, side.account, own_key, side.identity, said.name)
    siblings.keep(ctx, old)
    mine = Sibling(own_key.text, own_wrap, consent(own_key, side.identity, own_wrap), side.name)
    siblings.keep(ctx, mine)
    door = siblings.open_door(ctx, said.door_id, said.door_key)
    for key, address, reached in memberships.addresses(side.account, side.space, MAX_ADDRESSES):
        memberships.remember_address(side.account, door.space, key, address, reached)
    _write(ctx, replace(side, state=DONE))


HANDLER = Handler(
    type="pairing",
    local=True,
    tables=("pairing",),
    schema="""
CREATE TABLE pairing (
    account INTEGER NOT NULL, space INTEGER NOT NULL, side TEXT NOT NULL, state TEXT NOT NULL, secret BLOB NOT NULL,
    nonce BLOB NOT NULL, expires INTEGER NOT NULL, peer TEXT NOT NULL, theirs BLOB NOT NULL, identity TEXT NOT NULL,
    code TEXT NOT NULL, name TEXT NOT NULL, wrap TEXT NOT NULL, consent TEXT NOT NULL, introduction BLOB NOT NULL,
    links TEXT NOT NULL, reason TEXT NOT NULL, said INTEGER NOT NULL, PRIMARY KEY (account, space)
) STRICT, WITHOUT ROWID;
""",
    greets=greet,
    answers=answer,
    reminds=True,
    doors=(PAIRING,),
    jobs=(_expire,),
    operations=(
        Operation("linkDevice", link, writes=True, scope="identity"),
        Operation("joinDevice", join, writes=True, scope="home"),
        Operation("getPairing", state, ("device", "pairing"), scope="home"),
        Operation("confirmDevice", confirm, ("device", "confirm"), ("code",), writes=True, scope="identity"),
        Operation("cancelPairing", cancel, ("device", "cancel"), writes=True, scope="home"),
    ),
)
