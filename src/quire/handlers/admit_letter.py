"""A newcomer's request and the welcome that answers it, as letters of at most MAX_LETTER_BYTES.

Owns: their bytes. Keys and signatures travel raw, so that most fit one datagram, whoever was linked by whom.
"""

import msgspec

from quire.core.certificate import Certificate
from quire.core.encoding import from_text, to_text
from quire.errors import BadEvent
from quire.handlers.admit import Request
from quire.handlers.letter import read_letter

REQUEST, WELCOME, REFUSAL, WAIT = b"J", b"W", b"N", b"P"
#: Asks why one is no member, and answers with the rule.
WHY, BECAUSE = b"Y", b"Z"


class Welcome(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What lets a newcomer read and write: the space's name and its present key (32 bytes).

    `first` is the key of the graph that the space began with, and `first_name` the name of its content key: what
    hands out keys is sealed under it, and leads back to the keys before.
    """

    name: str
    key: bytes
    first: bytes
    first_name: str


def pack_request(asked: Request) -> bytes:
    """A request as the body of a letter."""
    keys = (asked.identity, asked.device, asked.wrap, asked.consent, asked.invite, asked.proof)
    chain = [[from_text(one.device), from_text(one.wrap), from_text(one.sig)] for one in asked.chain]
    return msgspec.msgpack.encode([asked.name, asked.seq, [from_text(key) for key in keys], chain])


def unpack_request(body: bytes) -> Request:
    """The request in a letter. Raises BadEvent `bad-letter`."""
    name, seq, keys, links = read_letter(body, tuple[str, int, list[bytes], list[list[bytes]]])
    try:
        identity, device, wrap, consent, invite, proof = (to_text(key) for key in keys)
        chain: list[Certificate] = []
        signer = identity
        for link in links:
            of, with_wrap, sig = (to_text(value) for value in link)
            chain.append(Certificate(of, with_wrap, signer, sig))
            signer = of
    except ValueError:
        raise BadEvent("bad-letter") from None
    return Request(identity, device, wrap, chain, consent, invite, proof, name, seq)


def unpack_welcome(body: bytes) -> Welcome:
    """What was sealed in a welcome. Raises BadEvent `bad-letter`."""
    return read_letter(body, Welcome)
