"""Tickets: what a newcomer, or a further device of one's own, needs to find its way in, as one line of text.

Owns: `quire://join#…` and `https://<host>/join#…` (`link` for devices), base64url of a version byte, a MessagePack
array and a 4-byte checksum. The whole of it is secret, and stands behind `#`, which browsers never send. It is kept
short, so that a QR code of it stays easy to scan: about 230 characters with two addresses,
51 more for each other member, and some 80 for each relay.
"""

import re
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_address
from typing import Literal, get_args

import msgspec

from quire.core.address import format_address, parse_address
from quire.core.encoding import from_text, to_text
from quire.core.keys import KEY_BYTES
from quire.core.relay_address import RelayAddress, parse_relay
from quire.core.text import is_name
from quire.errors import UserError
from quire.limits import MAX_ADDRESSES, MAX_LINK_CHARS, MAX_NAME_CHARS, MAX_TICKET_OTHERS, MAX_TICKET_RELAYS

Kind = Literal["join", "link"]
#: Where web links lead unless the caller names the host that serves the web app. A name that can belong to nobody
#: (RFC 2606): the page behind a link reads its secrets, so that no stranger's host may be the default.
WEB_HOST = "quire.example"

_KINDS: tuple[Kind, ...] = get_args(Kind)
_VERSION = b"\x02"  # 1 was an invite that held the space's key
_CHECKSUM_BYTES = 4
_KEYS = 4
_LINK = re.compile(r"(?:quire://|https://[^/#]+/)(join|link)/?#(.*)", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


@dataclass(frozen=True)
class Ticket:
    """What a link says: the key that opens the door of a space, the secret that proves the invitation.

    `space_id`, `link_key`, `secret` and `inviter` (public key of the device to find) are 32 bytes each;
    `addresses` are those of the inviter; `name` is the space's (join) or the identity's (link); `others` are
    devices of other members with an address each, for when the inviter sleeps (at most MAX_TICKET_OTHERS).
    """

    kind: Kind
    space_id: bytes
    link_key: bytes = field(repr=False)  # secrets must not reach a log through the repr
    secret: bytes = field(repr=False)
    inviter: bytes
    addresses: list[str]
    name: str
    others: list[tuple[bytes, str]] = field(default_factory=list)
    #: Relays that the space uses, for when everybody sleeps (at most MAX_TICKET_RELAYS).
    relays: list[RelayAddress] = field(default_factory=list)


class _Packed(msgspec.Struct, array_like=True):
    kind: int
    keys: bytes
    name: str
    addresses: list[bytes]
    others: list[bytes]
    relays: list[bytes] = []


def encode_link(ticket: Ticket) -> str:
    """The link that Quire itself opens. Raises ValueError, UserError for an address, if the ticket is not sound."""
    return f"quire://{ticket.kind}#{_fragment(ticket)}"


def encode_web_link(ticket: Ticket, host: str = WEB_HOST) -> str:
    """The same link for browsers, where `host` (a name, with a port perhaps) serves the web app.

    Raises ValueError, UserError for an address, if ticket or host are not sound.
    """
    if not _HOST.fullmatch(host):
        raise ValueError("not a host")
    return f"https://{host}/{ticket.kind}#{_fragment(ticket)}"


def decode_link(link: str) -> Ticket:
    """The ticket in a link of either form; white space is ignored. Raises UserError for anything else."""
    link = "".join(link.split())
    found = _LINK.fullmatch(link)
    if not found:
        raise UserError("That is not a Quire link: one begins with quire://join# or quire://link#")
    try:
        raw = from_text(found[2]) if len(link) <= MAX_LINK_CHARS else b""
    except ValueError:
        raw = b""
    body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if not body or sha256(body).digest()[:_CHECKSUM_BYTES] != checksum:
        raise UserError("This link is incomplete or mistyped. Copy the whole of it again.")
    if body[:1] != _VERSION:
        raise UserError(
            "This link was made by another version of Quire. Update both sides, then ask for a new one."
        )
    ticket = _unpack(body[1:])
    if ticket is None or ticket.kind != found[1].lower():
        raise UserError("This link is damaged. Ask for a new one.")
    return ticket


def _fragment(ticket: Ticket) -> str:
    if not _is_sound(ticket):
        raise ValueError("a ticket has keys of 32 bytes, a name and a bounded number of addresses")
    packed: list[object] = [
        _KINDS.index(ticket.kind),
        ticket.space_id + ticket.link_key + ticket.secret + ticket.inviter,
        ticket.name,
        [_pack_address(address) for address in ticket.addresses],
        [device + _pack_address(address) for device, address in ticket.others],
    ]
    if ticket.relays:  # links stay as short as they can be
        packed.append([relay.key + relay.url.encode() for relay in ticket.relays])
    body = _VERSION + msgspec.msgpack.encode(packed)
    return to_text(body + sha256(body).digest()[:_CHECKSUM_BYTES])


def _unpack(data: bytes) -> Ticket | None:
    try:
        packed = msgspec.msgpack.decode(data, type=_Packed)
        kind = _KINDS[packed.kind] if packed.kind >= 0 else None
        addresses = [_unpack_address(address) for address in packed.addresses[: MAX_ADDRESSES + 1]]
        others = [
            (other[:KEY_BYTES], _unpack_address(other[KEY_BYTES:]))
            for other in packed.others[: MAX_TICKET_OTHERS + 1]
        ]
        relays = [_unpack_relay(relay) for relay in packed.relays[: MAX_TICKET_RELAYS + 1]]
    except (msgspec.DecodeError, IndexError, ValueError, UserError):
        return None
    if kind is None or len(packed.keys) != _KEYS * KEY_BYTES:
        return None
    space_id, link_key, secret, inviter = (packed.keys[at * KEY_BYTES :][:KEY_BYTES] for at in range(_KEYS))
    ticket = Ticket(kind, space_id, link_key, secret, inviter, addresses, packed.name, others, relays)
    return ticket if _is_sound(ticket) else None


def _is_sound(ticket: Ticket) -> bool:
    keys = (ticket.space_id, ticket.link_key, ticket.secret, ticket.inviter)
    return (
        all(len(key) == KEY_BYTES for key in keys)
        and len(ticket.addresses) <= MAX_ADDRESSES
        and len(ticket.others) <= MAX_TICKET_OTHERS
        and len(ticket.relays) <= MAX_TICKET_RELAYS
        and all(len(device) == KEY_BYTES for device, _ in ticket.others)
        and is_name(ticket.name, MAX_NAME_CHARS)
    )


def _unpack_relay(packed: bytes) -> RelayAddress:
    return parse_relay(f"{packed[KEY_BYTES:].decode()}#{to_text(packed[:KEY_BYTES])}")


def _pack_address(text: str) -> bytes:
    host, port = parse_address(text)
    return ip_address(host).packed + port.to_bytes(2)


def _unpack_address(packed: bytes) -> str:
    return format_address(str(ip_address(packed[:-2])), int.from_bytes(packed[-2:]))
