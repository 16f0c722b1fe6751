"""`identity`: a person's root key and name in this home, and the device key that acts for them here.

The event holds the public root key and the name, in a log of its own which never leaves this home. Private
keys are kept apart from all events, so that no rebuild, sync or export can ever carry them.
"""

from collections.abc import Sequence

import msgspec

from quire.core.certificate import Certificate, certify, consent
from quire.core.encoding import to_text
from quire.core.event import Event
from quire.core.keys import DeviceKey, as_content, derive
from quire.core.phrase import phrase_of, root_key
from quire.core.sealing import NONCE_BYTES
from quire.core.text import is_name
from quire.core.wrapping import WrapKey
from quire.errors import NotFound, Refused, UserError
from quire.events.context import Context
from quire.events.handler import Handler, Opened, Operation
from quire.limits import MAX_NAME_CHARS
from quire.store.memberships import HOME, JOINING
from quire.store.views import View

_chain_decoder = msgspec.json.Decoder(list[Certificate])


class IdentityEvent(Event):
    """An identity of this home."""

    pubkey: str
    name: str


class Identity(msgspec.Struct):
    """An identity of this home: `pubkey` is its permanent address."""

    pubkey: str
    name: str


class Phrase(msgspec.Struct):
    """The 24 words that bring an identity back on a new device. Whoever has them is that person."""

    phrase: str


def project(view: View, batch: Sequence[Opened[IdentityEvent]]) -> None:
    """Keep the identity of this very home that an event in its own log names; the latest tells the name."""
    view.write(
        "INSERT INTO identity_rows VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET pubkey = excluded.pubkey, name = excluded.name, ts = excluded.ts, seq = excluded.seq"
        " WHERE (excluded.ts, excluded.seq, excluded.name) > (ts, seq, name)",
        [
            (o.account, o.event.pubkey, o.event.name, o.event.ts, o.event.seq)
            for o in batch
            if o.event.pubkey == o.received_by
        ],
    )


def create(ctx: Context, name: str) -> Identity:
    """Make an identity: a root key, a device key that it certifies, and a log of its own in this home."""
    check_name(name)
    if any(name == other.name for other in list_(ctx)):
        raise UserError(f"There is already an identity called {name!r} here. Choose another name.")
    entropy = ctx.home.entropy(32)
    root = root_key(entropy)
    device = DeviceKey(ctx.home.entropy(32))
    chain = [certify(root, root.text, device.text, wrap_text(device))]
    add(ctx, root.text, device, chain, name, entropy)
    return Identity(root.text, name)


def add(
    ctx: Context,
    pubkey: str,
    device: DeviceKey,
    chain: Sequence[Certificate],
    name: str,
    entropy: bytes | None,
) -> int:
    """Keep an identity in this home with its device key; `entropy` is that of its root, where it is here."""
    with ctx.home.store.transaction():
        nonces = ctx.home.entropy(2 * NONCE_BYTES)
        account = ctx.home.store.memberships.add_account(pubkey, device, chain_text(chain), nonces, entropy)
        open_log(ctx, account, device, pubkey, name)
    return account


def open_log(ctx: Context, account: int, device: DeviceKey, pubkey: str, name: str) -> None:
    """Begin an identity's own log in this home, which never leaves it."""
    memberships = ctx.home.store.memberships
    with ctx.home.store.transaction():
        space_id = to_text(derive(device.seed, "quire home log"))
        own = memberships.add(account, space_id, derive(device.seed, "quire home link"), name, HOME)
        epoch = memberships.add_key(own, as_content(derive(device.seed, "quire home key")), "")
        own = memberships.seal_under(own, epoch, epoch)
        ctx.within(own).append("identity", {"pubkey": pubkey, "name": name})


def chain_text(chain: Sequence[Certificate]) -> str:
    """Certificates as they are kept."""
    return msgspec.json.encode(chain).decode()


def wrap_text(device: DeviceKey) -> str:
    """The public key to wrap to a device, as text."""
    return to_text(WrapKey(device.seed).public)


def introduction(ctx: Context) -> dict[str, object]:
    """The fields by which a device shows whose it is: its certificates, and that it agrees."""
    member = ctx.member
    wrap = wrap_text(member.device_key)
    return {
        "identity": member.account_id,
        "wrap": wrap,
        "chain": chain_of(ctx, member.account),
        "consent": consent(member.device_key, member.account_id, wrap),
    }


def chain_of(ctx: Context, account: int) -> list[Certificate]:
    """The certificates from an identity's root to its device in this home."""
    return _chain_decoder.decode(ctx.home.store.memberships.chain(account))


def check_name(name: str) -> None:
    """Raises UserError unless `name` can be shown and typed."""
    if not is_name(name, MAX_NAME_CHARS):
        raise UserError(
            f"A name has 1 to {MAX_NAME_CHARS} characters, no control characters, and no space at its ends."
        )


def list_(ctx: Context) -> list[Identity]:
    """The identities of this home, oldest first."""
    rows = ctx.view("identity").read("SELECT pubkey, name FROM identity_rows ORDER BY account")
    return [Identity(pubkey, name) for pubkey, name in rows]


def name_of(ctx: Context) -> str:
    """The name of the identity acted for."""
    rows = ctx.view("identity").read("SELECT name FROM identity_rows WHERE account = ?", (ctx.account,))
    return str(rows[0][0]) if rows else ctx.home.store.names.account_name(ctx.account)


def account_called(ctx: Context, name: str) -> int:
    """The account of the identity with this name or public key. Raises NotFound."""
    rows = ctx.view("identity").read(
        "SELECT account FROM identity_rows WHERE name = ? OR pubkey = ?", (name, name)
    )
    if not rows:
        raise NotFound(
            f"There is no identity called {name!r} here. `quire identity list` shows those there are."
        )
    return int(rows[0][0])


def rename(ctx: Context, name: str) -> Identity:
    """Call this identity otherwise, here and in all its spaces."""
    check_name(name)
    if any(name == other.name for other in list_(ctx)):
        raise UserError(f"There is already an identity called {name!r} here. Choose another name.")
    memberships = ctx.home.store.memberships
    with ctx.home.store.transaction():
        own = memberships.home(ctx.account)
        pubkey = own.account_id
        ctx.within(own).append("identity", {"pubkey": pubkey, "name": name})
        memberships.set_kind(own, own.kind, name)
        for member in memberships.of_account(ctx.account):
            if member.kind != JOINING:
                ctx.within(member).append("peer", {"pubkey": pubkey, "name": name})
    return Identity(pubkey, name)


def phrase(ctx: Context) -> Phrase:
    """The recovery phrase of this identity: write it on paper, and show it to nobody."""
    entropy = ctx.home.store.memberships.root(ctx.account)
    if entropy is None:
        raise Refused(
            "The recovery phrase is only on the device where this identity was made or recovered, "
            "and this is another one."
        )
    return Phrase(phrase_of(entropy))


HANDLER = Handler(
    type="identity",
    event=IdentityEvent,
    tables=("identity_rows",),
    schema="""
CREATE TABLE identity_rows (
    account INTEGER PRIMARY KEY, pubkey TEXT NOT NULL, name TEXT NOT NULL, ts INTEGER NOT NULL, seq INTEGER NOT NULL
) STRICT;
""",
    project=project,
    operations=(
        Operation("createIdentity", create, ("identity", "create"), ("name",), writes=True, scope="home"),
        Operation("listIdentities", list_, ("identity", "list"), scope="home"),
        Operation("renameIdentity", rename, ("identity", "rename"), ("name",), writes=True, scope="identity"),
        Operation("showPhrase", phrase, ("identity", "phrase"), scope="identity"),
    ),
)
