"""Ed25519 keys outside the prime-order group: libsodium takes what they sign, and agrees with none of them."""

from hashlib import sha512
from itertools import count

from nacl import bindings

from quire.core.encoding import to_text
from quire.core.keys import verify

#: The point of order 2.
_TWIST = b"\xec" + b"\xff" * 30 + b"\x7f"


class MixedOrderKey:
    """Such a key, made from a seed of 32 bytes: nothing can be agreed with it, nor sealed to it."""

    def __init__(self, seed: bytes) -> None:
        self._secret = bindings.crypto_core_ed25519_scalar_reduce(sha512(b"secret" + seed).digest())
        own = bindings.crypto_scalarmult_ed25519_base_noclamp(self._secret)
        self.public = bindings.crypto_core_ed25519_add(own, _TWIST)
        self.text = to_text(self.public)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of a message; every second number that is tried gives one that holds."""
        for number in count():
            draw = sha512(b"nonce %d" % number + self._secret + message).digest()
            nonce = bindings.crypto_core_ed25519_scalar_reduce(draw)
            point = bindings.crypto_scalarmult_ed25519_base_noclamp(nonce)
            asked = sha512(point + self.public + message).digest()
            asked = bindings.crypto_core_ed25519_scalar_reduce(asked)
            answer = bindings.crypto_core_ed25519_scalar_mul(asked, self._secret)
            signature = point + bindings.crypto_core_ed25519_scalar_add(answer, nonce)
            if verify(self.public, message, signature):
                return signature
        raise AssertionError
