"""Randomness that follows from the seed.

Owns: the byte streams that stand in for a device's entropy. Must not know: what the bytes are for.
"""

from hashlib import blake2b

_BLOCK = 64


class Stream:
    """An endless stream of bytes that depends on its name alone: BLAKE2b (RFC 7693) of a counter."""

    def __init__(self, name: str) -> None:
        self._key = blake2b(name.encode()).digest()
        self._counter = 0
        self._left = b""

    def __call__(self, size: int) -> bytes:
        """The next `size` bytes."""
        while len(self._left) < size:
            block = blake2b(self._counter.to_bytes(8, "big"), key=self._key, digest_size=_BLOCK)
            self._left += block.digest()
            self._counter += 1
        taken, self._left = self._left[:size], self._left[size:]
        return taken
