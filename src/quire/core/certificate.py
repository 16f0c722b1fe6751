"""Who may sign for whom: an identity's root key certifies devices, devices certify further ones.

Owns: the statements that are signed, and when a chain, a consent, a key transition, a request or an invite's proof
holds.
Must not know: when they are made, or what happens to devices that were removed. Keys, ids and signatures are
base64url text, as in events. Every statement is a tag of its own and values of 32 bytes, so that no signature
can serve for another purpose.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from quire.core.encoding import from_text, is_key, to_text
from quire.core.keys import KEY_BYTES, SIGNATURE_BYTES, DeviceKey, derive, is_usable, verify
from quire.core.wrapping import SigningWrapKey, WrapKey, is_wrap_public
from quire.limits import MAX_CHAIN, MAX_INTEGER

_DEVICE = b"quire device 1\0"
_CONSENT = b"quire consent 1\0"
_TRANSITION = b"quire transition 1\0"
_REQUEST = b"quire request 1\0"
_INVITE = b"quire invite 2\0"
_INVITER = b"quire inviter 1\0"


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`signer` (the identity's root, or a certified device) says that `device`, with key `wrap`, is the identity's."""

    device: str
    wrap: str
    signer: str
    sig: str


def certify(signer: DeviceKey, identity: str, device: str, wrap: str) -> Certificate:
    """The signer's certificate for a device and its X25519 public key. Raises ValueError for what is no key."""
    sig = _sign(signer, _DEVICE, identity, device, wrap)
    return Certificate(device=device, wrap=wrap, signer=signer.text, sig=sig)


def chain_holds(identity: str, device: str, wrap: str, chain: Sequence[Certificate]) -> bool:
    """Whether a chain, of at most MAX_CHAIN links, certifies a device and its wrap key (never raises).

    The first link is signed by the identity's root, each further one by the device of the link before it, and the
    last is for `device` and `wrap`. No device comes twice, none is the root, and keys to wrap to are usable.
    """
    if not 1 <= len(chain) <= MAX_CHAIN or (chain[-1].device, chain[-1].wrap) != (device, wrap):
        return False
    keys = [identity, *(link.device for link in chain)]
    if len(set(keys)) < len(keys) or [link.signer for link in chain] != keys[:-1]:
        return False
    return all(_certified(identity, link) for link in chain)  # signatures last: they cost the most


def certificate_holds(identity: str, link: Certificate) -> bool:
    """Whether a certificate for a device of the identity is what its signer signed (never raises).

    Whether the signer may sign for the identity is for the caller to know.
    """
    return _certified(identity, link)


def consent(device: DeviceKey, identity: str, wrap: str) -> str:
    """The device's own signature that it belongs to the identity with this wrap key.

    A chain shows that the identity wants the device; without consent anybody could claim another's device.
    """
    return _sign(device, _CONSENT, identity, wrap)


def consent_holds(identity: str, device: str, wrap: str, sig: str) -> bool:
    """Whether `sig` is the device's consent to belong to the identity with this wrap key (never raises).

    A device with a key that nothing can be agreed with is nobody's: no letter could be sealed to it.
    """
    return _signed(device, sig, _CONSENT, identity, wrap) and is_usable(from_text(device))


def words(name: str, seq: int) -> str:
    """What a newcomer says of itself in a request, its name and a place from 0 to MAX_INTEGER, as signatures cover it.

    Raises ValueError for another place, and for text that is no UTF-8.
    """
    if not 0 <= seq <= MAX_INTEGER:
        raise ValueError(f"no place: {seq}")
    return to_text(sha256(seq.to_bytes(8, "big") + name.encode()).digest())


def ask(device: DeviceKey, space_id: str, identity: str, wrap: str, invite_public: str, said: str) -> str:
    """The device's consent to come into a space, as the identity's and by this invite, with its `words`.

    Without it any member could change what a newcomer said, or have it come by another invite.
    """
    return _sign(device, _REQUEST, space_id, identity, wrap, invite_public, said)


def ask_holds(
    device: str, space_id: str, identity: str, wrap: str, invite_public: str, said: str, sig: str
) -> bool:
    """Whether `sig` is the device's consent to come into the space with all this (never raises).

    A device with a key that nothing can be agreed with is nobody's, as in `consent_holds`.
    """
    statement = space_id, identity, wrap, invite_public, said
    return _signed(device, sig, _REQUEST, *statement) and is_usable(from_text(device))


def transition(old_root: DeviceKey, new_root: DeviceKey) -> tuple[str, str]:
    """Both keys' signatures that the new root takes the place of the old one. Raises ValueError for one key twice."""
    if old_root.public == new_root.public:
        raise ValueError("a root key cannot take its own place")
    statement = _TRANSITION, old_root.text, new_root.text
    return _sign(old_root, *statement), _sign(new_root, *statement)


def transition_holds(old: str, new: str, sig_old: str, sig_new: str) -> bool:
    """Whether both roots signed that `new` takes the place of `old` (never raises)."""
    return (
        old != new
        and _signed(old, sig_old, _TRANSITION, old, new)
        and _signed(new, sig_new, _TRANSITION, old, new)
    )


def invite_key(secret: bytes) -> DeviceKey:
    """The signing key of an invite's 32-byte secret (ValueError for another size); the log names its public key."""
    return DeviceKey(_from_secret(secret, "quire invite key"))


def invite_wrap_key(secret: bytes) -> WrapKey:
    """The key that a welcome is sealed to while the newcomer's own is not known yet.

    It belongs to the invite's signing key, so that every member can seal to it: the log has that key's public half.
    """
    return SigningWrapKey(invite_key(secret).seed)


def prove(secret: bytes, space_id: str, device: str, said: str) -> str:
    """The proof, for one device in one space and its `words`, that it knows an invite's secret."""
    return _sign(invite_key(secret), _INVITE, space_id, device, said)


def proof_holds(invite_public: str, space_id: str, device: str, said: str, sig: str) -> bool:
    """Whether `sig` proves that the device knew the invite's secret when it said so (never raises)."""
    return _signed(invite_public, sig, _INVITE, space_id, device, said)


def prove_inviter(secret: bytes, space_id: str, device: str) -> str:
    """The proof, for a device that makes an invite in a space, that the invite's secret is known to it.

    Else anybody could put the public key of another's invite into one of their own.
    """
    return _sign(invite_key(secret), _INVITER, space_id, device)


def inviter_holds(invite_public: str, space_id: str, device: str, sig: str) -> bool:
    """Whether `sig` proves that the device that made an invite with this public key knows its secret (never raises)."""
    return _signed(invite_public, sig, _INVITER, space_id, device)


def _from_secret(secret: bytes, purpose: str) -> bytes:
    if len(secret) != KEY_BYTES:
        raise ValueError(f"an invite's secret has {KEY_BYTES} bytes")
    return derive(secret, purpose)


def _certified(identity: str, link: Certificate) -> bool:
    return (
        is_key(link.wrap)
        and is_wrap_public(from_text(link.wrap))
        and _signed(link.signer, link.sig, _DEVICE, identity, link.device, link.wrap)
    )


def _statement(tag: bytes, *values: str) -> bytes:
    return tag + b"".join(from_text(value, KEY_BYTES) for value in values)


def _sign(key: DeviceKey, tag: bytes, *values: str) -> str:
    return to_text(key.sign(_statement(tag, *values)))


def _signed(signer: str, sig: str, tag: bytes, *values: str) -> bool:
    try:
        return verify(from_text(signer, KEY_BYTES), _statement(tag, *values), from_text(sig, SIGNATURE_BYTES))
    except ValueError:
        return False
