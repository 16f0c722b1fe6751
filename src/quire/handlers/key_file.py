"""Key files: an identity's root key, sealed with a passphrase, as a file to keep elsewhere.

Owns: what is in such a file. Must not know: where files lie. Whoever has file and passphrase is that person.
"""

import msgspec

from quire.core.encoding import from_text, is_key, to_text
from quire.core.passphrase import SALT_BYTES, Cost, open_with_passphrase, seal_with_passphrase
from quire.core.sealing import NONCE_BYTES
from quire.errors import Damaged, Refused, UserError
from quire.events.context import Context
from quire.events.handler import Handler, Operation

_PURPOSE = "quire identity"


class KeyFile(msgspec.Struct):
    """An encrypted key file, as base64url."""

    content: str


class _Secret(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    entropy: bytes
    pubkey: str


def export(ctx: Context, passphrase: str) -> KeyFile:
    """The root key of this identity, sealed with a passphrase: `identity recover --file` takes it."""
    entropy = ctx.home.store.memberships.root(ctx.account)
    if entropy is None:
        raise Refused(
            "Only the device where this identity was made or recovered has its root key, and this is another one."
        )
    secret = msgspec.msgpack.encode(_Secret(entropy, ctx.home.store.names.account_name(ctx.account)))
    salt, nonce = ctx.home.entropy(SALT_BYTES), ctx.home.entropy(NONCE_BYTES)
    return KeyFile(to_text(seal_with_passphrase(passphrase, secret, salt, nonce, Cost(), _PURPOSE)))


def read(content: str, passphrase: str) -> tuple[bytes, str]:
    """Root entropy (32 bytes) and first root key of the identity in a key file. Raises UserError, Damaged."""
    if not content:
        raise UserError("The phrase of the identity is wanted, or its key file.")
    try:
        found = msgspec.msgpack.decode(
            open_with_passphrase(passphrase, from_text(content), _PURPOSE), type=_Secret
        )
    except (ValueError, msgspec.DecodeError):
        raise Damaged("That is no key file of Quire, or a damaged one. Use another copy.") from None
    if len(found.entropy) != 32 or not is_key(found.pubkey):
        raise Damaged("That is no key file of Quire, or a damaged one. Use another copy.")
    return found.entropy, found.pubkey


HANDLER = Handler(
    type="key-file",
    operations=(Operation("exportIdentity", export, scope="identity"),),
)
