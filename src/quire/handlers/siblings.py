"""Siblings: the devices of one identity, known to each other, so that a space of one becomes a space of all.

They meet in any space that they share, and at a door of their own (`memberships.SIBLINGS`), whose key linking
hands on, so that they find each other before they share any space. There each tells the others which spaces it
has, and hands on those that one lacks, once the space's graph knows that device. A device that was revoked is
given the proof of it, since nobody else speaks to it.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from quire.core.certificate import consent
from quire.core.encoding import from_text, to_text
from quire.core.keys import derive
from quire.core.relay_address import parse_relay
from quire.core.text import is_name
from quire.errors import BadEvent, UserError
from quire.events import keyring
from quire.events.context import Context
from quire.events.handler import Handler, Operation
from quire.events.standing import graph_of
from quire.graph.changes import NewKey
from quire.graph.state import current_key
from quire.handlers import device, identity, incoming, relay, relay_places
from quire.handlers.device import Sibling
from quire.handlers.letter import read_letter
from quire.limits import (
    ADDRESSES_HANDED,
    MAX_ADDRESS_CHARS,
    MAX_LETTER_BYTES,
    MAX_NAME_CHARS,
    MAX_TICKET_RELAYS,
    SIBLINGS_GAP_MS,
    SPACES_HANDED,
    SPACES_TOLD,
)
from quire.store.memberships import INVITED, JOINING, SIBLINGS, Membership

#: What an identity's first device is called until it is given a name.
FIRST_DEVICE = "first device"
HAVE, HAND, GONE, SELF = b"H", b"O", b"X", b"M"
_SHORT = 8


class Device(msgspec.Struct):
    """A device of this identity: its public key, since when (ms), whether it is this one, or revoked."""

    name: str
    key: str
    since: int
    here: bool
    revoked: bool


class SpaceKey(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A space's present key, and the key of the graph that it began with (see `Welcome`): 32 bytes each."""

    key: bytes
    first: bytes
    first_name: str


class Handed(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A space that a sibling lacks: 32 bytes of id and link key, and its key (none for the siblings' own door).

    `relays` are whole addresses, at most MAX_TICKET_RELAYS: where the rest is found while everybody sleeps.
    """

    space_id: bytes
    link_key: bytes
    key: SpaceKey | None
    name: str
    addresses: list[tuple[bytes, str]]
    relays: list[str] = []


# --- who they are


def own(ctx: Context) -> Sibling:
    """This device, as it is brought into spaces."""
    name, *_ = [known.name for known in _kept(ctx) if known.device == _own_key(ctx)] or [FIRST_DEVICE]
    key = ctx.home.store.memberships.device_key(ctx.account)
    wrap = identity.wrap_text(key)
    return Sibling(key.text, wrap, consent(key, device.account_id(ctx), wrap), name)


def _own_key(ctx: Context) -> str:
    return ctx.home.store.memberships.device_key(ctx.account).text


def known(ctx: Context) -> dict[str, Sibling]:
    """Device → what is known of the devices of this identity that are not revoked, this one among them."""
    gone = device.revoked(ctx)
    mine = own(ctx)
    every = device.linked(ctx) | {one.device: one for one in _kept(ctx)} | {mine.device: mine}
    return {key: one for key, one in every.items() if key not in gone}


def _kept(ctx: Context) -> list[Sibling]:
    rows = ctx.view("siblings").read(
        "SELECT device, wrap, consent, name FROM siblings WHERE account = ? ORDER BY since, device",
        (ctx.account,),
    )
    return [Sibling(*row) for row in rows]


def keep(ctx: Context, sibling: Sibling) -> None:
    """Remember a device that was linked, or this one's own name."""
    ctx.view("siblings").write(
        "INSERT INTO siblings VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET wrap = excluded.wrap, consent = excluded.consent, name = excluded.name",
        [(ctx.account, sibling.device, sibling.wrap, sibling.consent, sibling.name, ctx.now)],
    )


def forget(ctx: Context, gone: str) -> None:
    """A device is none of this identity's any more."""
    ctx.view("siblings").write("DELETE FROM siblings WHERE account = ? AND device = ?", [(ctx.account, gone)])


def is_sibling(ctx: Context, other: str) -> bool:
    """Whether a device is another one of this identity, as far as is known here, and not revoked."""
    if other == _own_key(ctx) or other in device.revoked(ctx):
        return False
    return any(other == one.device for one in _kept(ctx)) or any(
        (claim := graph.ledger.standing(other, graph.valid)) is not None and claim.member == member.account_id
        for member in ctx.home.store.memberships.of_account(ctx.account)
        for graph in (graph_of(ctx.home, member),)
    )


def list_(ctx: Context) -> list[Device]:
    """The devices of this identity, oldest first, with those that were revoked."""
    gone, names = device.revoked(ctx), known(ctx)
    since = dict(_since(ctx))
    for member in ctx.home.store.memberships.of_account(ctx.account):
        graph = graph_of(ctx.home, member)
        for one in graph.ledger.devices_ever(member.account_id):
            claims = graph.ledger.claims(one, graph.valid)
            if claims and claims[0].member == member.account_id:
                since[one] = min(claims[0].node.ts, since.get(one, claims[0].node.ts))
    called = _names(ctx) | {key: one.name for key, one in names.items()}
    found = [
        Device(called.get(one, FIRST_DEVICE), one, ts, one == _own_key(ctx), one in gone)
        for one, ts in since.items()
    ]
    return sorted(found, key=lambda one: (one.since, one.key))


def _since(ctx: Context) -> list[tuple[str, int]]:
    rows = ctx.view("siblings").read("SELECT device, since FROM siblings WHERE account = ?", (ctx.account,))
    here = [] if any(one == _own_key(ctx) for one, _ in rows) else [(_own_key(ctx), ctx.now)]
    return [*((str(one), int(ts)) for one, ts in rows), *here]


def _names(ctx: Context) -> dict[str, str]:
    """Names of all devices that any event named for this identity: revoked ones have theirs too."""
    found: dict[str, str] = {}
    for type_, table in (("device", "device_rows"), ("recovery", "recovery_rows")):
        for key, name in ctx.view(type_).read(
            f"SELECT pubkey, name FROM {table} WHERE account = ? AND member = ? ORDER BY ts DESC, event_id",
            (ctx.account, device.account_id(ctx)),
        ):
            if is_name(name, MAX_NAME_CHARS):
                found[key] = name
    return found


# --- where they meet


def door(ctx: Context) -> Membership:
    """The door at which the devices of this identity meet, opened if it is not there yet."""
    memberships = ctx.home.store.memberships
    for one in memberships.doors_of(ctx.account, SIBLINGS):
        return one
    root = memberships.root(ctx.account)
    # From the root where it is known, so that a recovered device finds those that are left.
    seed = derive(root, "quire siblings") if root is not None else ctx.home.entropy(32)
    return open_door(ctx, sha256(b"quire siblings 1" + seed).digest(), derive(seed, "quire sib. link"))


def open_door(ctx: Context, space_id: bytes, link_key: bytes) -> Membership:
    """Open the siblings' door with this id and link key (32 bytes each)."""
    memberships = ctx.home.store.memberships
    return memberships.add(ctx.account, to_text(space_id), link_key, SIBLINGS, SIBLINGS)


def _bring_in(ctx: Context) -> None:
    """Job: bring siblings into this space, and have a door for them."""
    if ctx.member.kind == SIBLINGS:
        return
    mark, seen = ("device", ctx.member.account, ctx.member.space), (device.extent(ctx), len(_kept(ctx)))
    if ctx.home.noted.get(mark) == seen or not device.stands(ctx):
        return
    every = known(ctx)
    device.bring_in(ctx, list(every.values()))
    if len(every) > 1:
        _remember_places(ctx, door(ctx), every)
    ctx.home.noted[mark] = device.extent(ctx), len(_kept(ctx))


def _remember_places(ctx: Context, at: Membership, siblings: dict[str, Sibling]) -> None:
    memberships = ctx.home.store.memberships
    for other in siblings:
        for address in memberships.addresses_of(ctx.account, other)[:ADDRESSES_HANDED]:
            memberships.remember_address(ctx.account, at.space, other, address, 0)


# --- letters


def greet(ctx: Context, other: str) -> Sequence[bytes]:
    """Tell a sibling which spaces this device has, and what it takes to bring it into others.

    When that changed, and now and then.
    """
    found = letters(ctx, other)
    have = found[0] if found else b""
    mark = ("siblings", ctx.member.account, ctx.member.space, other)
    said = ctx.home.noted.get(mark)
    if not found or (isinstance(said, tuple) and said[0] == have and ctx.now - said[1] < SIBLINGS_GAP_MS):
        return []
    ctx.home.noted[mark] = have, ctx.now
    return found


def letters(ctx: Context, other: str) -> Sequence[bytes]:
    """What a sibling should know: the spaces that this device has, and what it takes to bring it into others."""
    if ctx.member.kind == JOINING or not _concerns(ctx, other):
        return []
    have = HAVE + b"".join(from_text(one.space_id)[:_SHORT] for one in _mine(ctx)[:SPACES_TOLD])
    return [have, SELF + msgspec.msgpack.encode(own(ctx))]


def _concerns(ctx: Context, other: str) -> bool:
    """Whether a device that is met is, or was, a sibling."""
    if ctx.member.kind == SIBLINGS:
        return is_sibling(ctx, other)
    claim = ctx.graph.ledger.standing(other, ctx.graph.valid)
    return claim is not None and claim.member == ctx.member.account_id and is_sibling(ctx, other)


def _mine(ctx: Context) -> list[Membership]:
    memberships = ctx.home.store.memberships
    spaces = [one for one in memberships.of_account(ctx.account) if one.kind != JOINING]
    return [*memberships.doors_of(ctx.account, SIBLINGS), *spaces]


def answer(ctx: Context, other: str, letter: bytes) -> Sequence[bytes]:
    """Answer a sibling's letter. Raises BadEvent for what is none."""
    kind, body = letter[:1], letter[1:]
    if kind not in (HAVE, HAND, GONE, SELF) or ctx.member.kind == JOINING:
        return []
    if is_sibling(ctx, other):
        if kind == HAVE:
            return _hand_on(ctx, other, body)
        if kind == HAND:
            _take(ctx, _unpack(body))
        elif kind == SELF:
            _meet(ctx, other, body)
        else:
            _take_proof(ctx, other, body)
    elif kind == HAVE and other in device.revoked(ctx):
        return _proofs(ctx, other)
    return []


def _meet(ctx: Context, other: str, body: bytes) -> None:
    """Note what a sibling says of itself: of those that were not linked here, no event says all of it."""
    said = read_letter(body, Sibling)
    if said.device != other or not device.is_sound(device.account_id(ctx), said):
        raise BadEvent("bad-letter")
    if said not in _kept(ctx):
        with ctx.home.store.transaction():
            keep(ctx, said)


def _hand_on(ctx: Context, other: str, body: bytes) -> Sequence[bytes]:
    theirs = {body[at : at + _SHORT] for at in range(0, len(body), _SHORT)}
    found: list[bytes] = []
    for mine in _mine(ctx):
        if from_text(mine.space_id)[:_SHORT] not in theirs and len(found) < SPACES_HANDED:
            letter = _handed(ctx.within(mine), other)
            found += [] if letter is None else [letter]
    return found


def _handed(ctx: Context, other: str) -> bytes | None:
    """A space as it is handed to a sibling; None while its graph does not know the sibling, or no key is held."""
    member, key = ctx.member, None
    if member.kind != SIBLINGS:
        key = space_key(ctx) if ctx.graph.ledger.standing(other, ctx.graph.valid) is not None else None
        if key is None:
            return None
    memberships = ctx.home.store.memberships
    places = [(member.device, address) for address in ctx.addresses]
    places += [
        (one, address) for one, address, _ in memberships.addresses(member.account, member.space, SPACES_TOLD)
    ]
    others = [(from_text(one), address) for one, address in dict.fromkeys(places) if one != other]
    relays = [one.text for one in relay.to_hand_on(ctx)]
    handed = Handed(member.raw_space_id, member.link_key, key, member.name, others[:ADDRESSES_HANDED], relays)
    return HAND + msgspec.msgpack.encode(handed)


def _unpack(body: bytes) -> Handed:
    handed = read_letter(body, Handed)
    sizes = {len(handed.space_id), len(handed.link_key), *(len(key) for key, _ in handed.addresses)}
    if sizes != {32} or not is_name(handed.name, MAX_NAME_CHARS):
        raise BadEvent("bad-letter")
    if len(handed.addresses) > ADDRESSES_HANDED or any(
        len(a) > MAX_ADDRESS_CHARS for _, a in handed.addresses
    ):
        raise BadEvent("bad-letter")
    if len(handed.relays) > MAX_TICKET_RELAYS or not all(map(_is_relay, handed.relays)):
        raise BadEvent("bad-letter")
    return handed


def _is_relay(text: str) -> bool:
    try:
        return parse_relay(text).text == text
    except UserError:
        return False


def _take(ctx: Context, handed: Handed) -> None:
    """Come into a space that a sibling handed on: it and the others bring the rest by sync."""
    memberships = ctx.home.store.memberships
    space_id = to_text(handed.space_id)
    have = {one.space_id: one for one in (*_mine(ctx), *memberships.of_account(ctx.account))}
    mine = have.get(space_id)
    if mine is not None and mine.kind != JOINING:
        return
    with ctx.home.store.transaction():
        if handed.key is None:
            here = open_door(ctx, handed.space_id, handed.link_key)
        else:
            if mine is None:
                mine = memberships.add(ctx.account, space_id, handed.link_key, handed.name, INVITED)
            here = memberships.set_kind(mine, INVITED, handed.name)
            hold(ctx.within(here), handed.key)
            if handed.relays:
                relay_places.keep(ctx.within(here), handed.relays)
        for key, address in handed.addresses:
            memberships.remember_address(ctx.account, here.space, to_text(key), address, 0)


def space_key(ctx: Context) -> SpaceKey | None:
    """This space's present key, to be handed over by letter; None while it is not held."""
    current = current_key(ctx.graph, "")
    if current is None or not isinstance(current.change, NewKey):
        return None
    content = keyring.held_key(ctx.home, ctx.member, "", current.change.name)
    first = keyring.first_control(ctx.home, ctx.member, ctx.graph)
    if content is None or first is None:
        return None
    return SpaceKey(content, first.key, first.name)


def hold(ctx: Context, handed: SpaceKey) -> None:
    """Take a space's key that came by letter: this device reads and writes from now on. Raises BadEvent."""
    held = keyring.handed(handed.key, handed.first, handed.first_name)
    keyring.hold(ctx.home, ctx.member, ctx.graph, held)
    keyring.write_under(ctx.home, ctx.member, handed.key)


def _proofs(ctx: Context, gone: str) -> Sequence[bytes]:
    """The events by which a device was revoked, for itself: whom else would it hear them from?"""
    found = []
    for member in ctx.home.store.memberships.of_account(ctx.account):
        graph = graph_of(ctx.home, member)
        for node in graph.ledger.dag.each(graph.ledger.revocations(gone) & graph.valid):
            if node.author == member.account_id:
                number = ctx.home.store.graph.event_at(member.account, member.space, node.index)
                (row,) = ctx.home.store.blobs.read([number])
                blob = ctx.home.store.names.key_id(row.epoch) + row.sealed
                if len(blob) < MAX_LETTER_BYTES - 32:
                    found.append(GONE + member.raw_space_id + blob)
    return found[:SPACES_HANDED]


def _take_proof(ctx: Context, other: str, body: bytes) -> None:
    for member in ctx.home.store.memberships.of_account(ctx.account):
        if member.raw_space_id == body[:32]:
            incoming.receive(ctx.home, member, [body[32:]], other, ctx.now)


HANDLER = Handler(
    type="siblings",
    local=True,
    tables=("siblings", "own_transitions"),
    schema="""
CREATE TABLE siblings (
    account INTEGER NOT NULL, device TEXT NOT NULL, wrap TEXT NOT NULL, consent TEXT NOT NULL, name TEXT NOT NULL,
    since INTEGER NOT NULL, PRIMARY KEY (account, device)
) STRICT, WITHOUT ROWID;
CREATE TABLE own_transitions (
    account INTEGER NOT NULL, old TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, old)
) STRICT, WITHOUT ROWID;
""",
    greets=greet,
    answers=answer,
    reminds=True,
    doors=(SIBLINGS,),
    jobs=(_bring_in,),
    operations=(Operation("listDevices", list_, ("device", "list"), scope="identity"),),
)
