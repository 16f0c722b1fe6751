"""Invite links: what a newcomer needs to find and read a space, as one line of text.

Owns: `quire://join#…`, base64url of a version byte, a MessagePack array and a 4-byte checksum.
The whole of it is secret: it holds the space's key. It stands behind `#`, which browsers never send.
"""

from hashlib import sha256

import msgspec

from quire.core.address import parse_address
from quire.core.encoding import from_text, to_text
from quire.core.text import is_name
from quire.errors import UserError
from quire.limits import MAX_ADDRESSES, MAX_LINK_CHARS, MAX_NAME_CHARS

SCHEME = "quire://join#"
_VERSION = b"\x01"
_CHECKSUM_BYTES = 4


class Invite(msgspec.Struct, array_like=True):
    """What a link says. `introduction` is the blob of the inviter's own peer event."""

    space_id: bytes
    space_key: bytes
    space_name: str
    inviter: bytes
    addresses: list[str]
    introduction: bytes


def encode_link(invite: Invite) -> str:
    """The link for an invite."""
    body = _VERSION + msgspec.msgpack.encode(invite)
    return SCHEME + to_text(body + sha256(body).digest()[:_CHECKSUM_BYTES])


def decode_link(link: str) -> Invite:
    """The invite in a link. Raises UserError, in plain words, for anything else."""
    link = "".join(link.split())
    if not link.startswith(SCHEME):
        raise UserError(f"That is not an invite link: one begins with {SCHEME}")
    try:
        raw = from_text(link[len(SCHEME) :]) if len(link) <= MAX_LINK_CHARS else b""
    except ValueError:
        raw = b""
    body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if not body or sha256(body).digest()[:_CHECKSUM_BYTES] != checksum:
        raise UserError("This invite link is incomplete or mistyped. Copy the whole of it again.")
    if body[:1] != _VERSION:
        raise UserError("This invite link was made by a newer version of Quire. Update, then join.")
    try:
        invite = msgspec.msgpack.decode(body[1:], type=Invite)
    except msgspec.DecodeError:
        invite = None
    if invite is None or not _is_sound(invite):
        raise UserError("This invite link is damaged. Ask for a new one.")
    return invite


def _is_sound(invite: Invite) -> bool:
    return (
        len(invite.space_id) == len(invite.space_key) == len(invite.inviter) == 32
        and is_name(invite.space_name, MAX_NAME_CHARS)
        and len(invite.addresses) <= MAX_ADDRESSES
        and all(_is_address(address) for address in invite.addresses)
    )


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except UserError:
        return False
    return True
