"""The encrypted, authenticated link between two devices of a space over a byte stream: Noise.

Owns: the handshake and the records. Must not know: frames, sockets, which devices may meet.

    greeting(64), as a datagram's nonce and masked header ‖ records: length(2) ‖ Noise message

The pattern is KKpsk0: both devices know each other's key from the greeting, and the shared secret is made from
the space's link key, so that whoever lacks that learns nothing, not even whether somebody is there. The fresh
keys of each stream give it forward secrecy, which datagrams do not have (Noise Protocol Framework, rev. 34).
"""

import warnings
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from noise.connection import Keypair, NoiseConnection
from noise.exceptions import NoiseInvalidMessage, NoiseValueError

from quire.core.keys import KEY_BYTES
from quire.core.sealing import NONCE_BYTES
from quire.net.link import Link

_PATTERN = b"Noise_KKpsk0_25519_ChaChaPoly_BLAKE2b"
_LENGTH_BYTES = 2
_TAG_BYTES = 16
#: What one record can carry.
_ROOM = 65_535 - _TAG_BYTES

Entropy = Callable[[int], bytes]


class BadStream(Exception):
    """Bytes that the other device cannot have sent, or not to us; `reason` is a short stable slug."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StreamLink:
    """One end. `greeting` is the one received, on the side that was called; None on the side that calls."""

    def __init__(self, link: Link, entropy: Entropy, greeting: bytes | None = None) -> None:
        self._calls = greeting is None
        hello = link.greeting(entropy(NONCE_BYTES)) if greeting is None else greeting
        self._noise = _handshake(link, self._calls, hello, entropy(KEY_BYTES))
        self._heard = False
        self._in = bytearray()
        self._out: list[bytes] = []
        if self._calls:
            self._out += (hello, _record(bytes(self._noise.write_message())))

    @property
    def ready(self) -> bool:
        """Whether the other device has proven itself, and that it is there now: the first message can be a replay."""
        return bool(self._noise.handshake_finished) and (self._calls or self._heard)

    @property
    def partial(self) -> bool:
        """Whether a record has begun to come and is not whole."""
        return bool(self._in)

    def receive(self, data: bytes) -> bytes:
        """What the bytes of the stream carry, as far as they are whole. Raises BadStream; then the stream is over."""
        self._in += data
        found: list[bytes] = []
        at = 0
        try:
            while (record := self._next(at)) is not None:
                at += _LENGTH_BYTES + len(record)
                if self._noise.handshake_finished:
                    found.append(self._noise.decrypt(record))
                    self._heard = True
                else:
                    self._shake(record)
        except (NoiseInvalidMessage, NoiseValueError, InvalidTag, ValueError) as error:
            raise BadStream("unopened") from error
        del self._in[:at]
        return b"".join(found)

    def seal(self, data: bytes) -> None:
        """Have `data` sent."""
        for at in range(0, len(data), _ROOM):
            self._out.append(_record(self._noise.encrypt(data[at : at + _ROOM])))

    def take_out(self) -> bytes:
        """The bytes to send now."""
        out, self._out = b"".join(self._out), []
        return out

    def _next(self, at: int) -> bytes | None:
        end = at + _LENGTH_BYTES
        length = int.from_bytes(self._in[at:end], "big")
        if len(self._in) < end + length or len(self._in) < end:
            return None
        return bytes(self._in[end : end + length])

    def _shake(self, record: bytes) -> None:
        self._noise.read_message(record)
        if not self._calls:
            self._out.append(_record(bytes(self._noise.write_message())))


def prepare() -> None:
    """Have the libraries load what they load at the first handshake, which would take 2 ms longer than others."""
    noise = NoiseConnection.from_name(_PATTERN)
    noise.set_as_initiator()
    noise.set_psks(bytes(KEY_BYTES))
    key = bytes((9, *bytes(KEY_BYTES - 1)))  # X25519's base point: anybody's
    noise.set_keypair_from_private_bytes(Keypair.STATIC, key)
    noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, key)
    noise.start_handshake()
    noise.write_message()


def _record(message: bytes) -> bytes:
    return len(message).to_bytes(_LENGTH_BYTES, "big") + message


def _handshake(link: Link, calls: bool, greeting: bytes, fresh: bytes) -> NoiseConnection:
    keys = link.stream_keys()
    noise = NoiseConnection.from_name(_PATTERN)
    noise.set_as_initiator() if calls else noise.set_as_responder()
    noise.set_psks(keys.shared)
    noise.set_prologue(b"quire stream 1" + keys.space_id + greeting)
    noise.set_keypair_from_private_bytes(Keypair.STATIC, keys.private)
    noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, keys.peer)
    noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, fresh)
    with warnings.catch_warnings():
        # It warns of a fresh key that is given to it: ours comes from where all our randomness does.
        warnings.simplefilter("ignore", UserWarning)
        noise.start_handshake()
    return noise
