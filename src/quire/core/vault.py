"""The vault of a home: seals its private keys, and gives the key of an encrypted database.

Owns: what is derived from a home's key. Must not know: where that key is kept.
"""

from dataclasses import dataclass, field

from nacl.exceptions import CryptoError

from quire.core.keys import derive
from quire.core.sealing import open_sealed, seal
from quire.errors import HomeError


@dataclass(frozen=True)
class Vault:
    """Made from a home's 32-byte key; `encrypted` says whether the whole database is encrypted too."""

    home_key: bytes = field(repr=False)
    encrypted: bool = False

    def seal(self, nonce: bytes, secret: bytes, context: bytes) -> bytes:
        """`nonce ‖ ciphertext` of a private key, bound to `context`; 24 fresh random bytes of nonce."""
        return seal(derive(self.home_key, "quire vault"), nonce, secret, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """What `seal` was given. Raises HomeError when this is not the vault, or not the context, of then."""
        try:
            return open_sealed(derive(self.home_key, "quire vault"), sealed, context)
        except CryptoError:
            raise HomeError(
                "The private keys of this home cannot be opened: its key is another home's, or they are damaged. "
                "Put back the file home.key that belongs to this database; a copy of both is made together."
            ) from None

    @property
    def database_key(self) -> bytes | None:
        """The 32-byte key of the database file; None where it is not encrypted."""
        return derive(self.home_key, "quire database") if self.encrypted else None
