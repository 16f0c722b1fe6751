"""The key of a home, from which its vault is made, and how it is kept: `home.key` says it.

Owns: that file, the three ways (the system's keyring, a passphrase, the file alone) and changing between them.
Must not know: what the vault seals, how a person is asked.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import msgspec

from quire.core.encoding import from_text, to_text
from quire.core.keys import KEY_BYTES
from quire.core.passphrase import SALT_BYTES, Cost, open_with_passphrase, seal_with_passphrase
from quire.core.sealing import NONCE_BYTES
from quire.core.vault import Vault
from quire.errors import Damaged, HomeError, UserError
from quire.limits import MAX_KEY_FILE_BYTES
from quire.runtime.private_file import draft_of, write_private

Kind = Literal["keyring", "passphrase", "file"]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: Environment variables: the passphrase, and the new one while it is changed.
PASSPHRASE, NEW_PASSPHRASE = "QUIRE_PASSPHRASE", "QUIRE_NEW_PASSPHRASE"
FILE = "home.key"
_PURPOSE = "quire home key"
_WAY_BACK = (
    "Without the key nobody can open this home's private keys. Put back a copy of it, or begin in another folder "
    "(--home) and come back with a recovery phrase or from another device; what peers hold comes by sync."
)


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`secret` is the key sealed by the passphrase, or the key itself (kind `file`), as text; "" for `keyring`."""

    kind: Kind
    #: A name that says nothing of the key, under which a keyring has it.
    home: str
    encrypted: bool
    secret: str = ""

    def __repr__(self) -> str:
        return f"_KeyFile({self.kind!r}, {self.home!r})"  # a key must not reach a log through its repr


class Protection(NamedTuple):
    """How a home's key is kept, and whether its whole database is encrypted."""

    kind: Kind
    encrypted: bool


def _nobody(new: bool) -> str:
    does = "A passphrase is wanted for it" if new else "This home is locked with a passphrase"
    raise UserError(f"{does}: set {PASSPHRASE}, or run this on a terminal.")


class Unlocking(NamedTuple):
    """What opening a home may need: whom to ask for a passphrase, and how a home shall be that is made now.

    `ask(new)` gives the passphrase, a new one if `new`; it raises UserError where nobody can be asked.
    """

    ask: Callable[[bool], str] = _nobody
    passphrase: bool = False
    encrypt: bool = False


#: No wishes, and nobody to ask: the passphrase comes from the environment or not at all.
UNATTENDED = Unlocking()


def protection(folder: Path) -> Protection | None:
    """How a home is protected; None when it has no key file. Raises HomeError when that cannot be read."""
    found = _load(folder / FILE)
    return None if found is None else Protection(found.kind, found.encrypted)


def make_vault(folder: Path, unlocking: Unlocking) -> Vault:
    """A new key for a home that has nothing yet.

    A passphrase that is given, or asked for, seals it; else the system's keyring keeps it; else the file alone.
    """
    _forget_unfinished(folder)
    passphrase = os.environ.get(PASSPHRASE) or (unlocking.ask(True) if unlocking.passphrase else "")
    key, home = os.urandom(KEY_BYTES), to_text(os.urandom(12))
    if passphrase:
        _write(folder, _KeyFile("passphrase", home, unlocking.encrypt, _sealed(passphrase, key)))
    elif not _kept_in_keyring(folder, home, key, unlocking.encrypt):
        _write(folder, _KeyFile("file", home, unlocking.encrypt, to_text(key)))
    return Vault(key, unlocking.encrypt)


def open_vault(folder: Path, unlocking: Unlocking) -> Vault:
    """The vault of a home that is there.

    Raises UserError for a wrong passphrase, or none, and for wishes that come too late; HomeError when the key
    is gone or its keyring does not answer; Damaged when the file cannot be read.
    """
    found = _read(folder)
    _check_wishes(found, folder, unlocking)
    draft_of(folder / FILE).unlink(missing_ok=True)  # a change that was killed: it may hold the key
    return Vault(_key(found, folder, unlocking.ask), found.encrypted)


def keep_in_file(folder: Path, key: bytes) -> None:
    """Write the key file of a home, not encrypted, that was made elsewhere with this key: the same for the same key."""
    name = blake2b(key, digest_size=12, person=b"quire home name").digest()
    _write(folder, _KeyFile("file", to_text(name), False, to_text(key)))


def refuse_too_late(folder: Path, unlocking: Unlocking) -> None:
    """Raises UserError where a home that is there was wished otherwise."""
    _check_wishes(_read(folder), folder, unlocking)


def protect(folder: Path, kind: str, ask: Callable[[bool], str]) -> Protection:
    """Keep a home's key in another way, or under another passphrase. The key itself stays the same.

    Raises UserError for a kind that is none, or that this machine does not have, and as `open_vault` does.
    """
    if kind not in KINDS:
        raise UserError(f"A home's key is kept in one of these ways: {', '.join(KINDS)}.")
    old = _read(folder)
    key = _key(old, folder, ask)
    if kind == "passphrase":
        given = None if old.kind == kind else os.environ.get(PASSPHRASE)
        passphrase = os.environ.get(NEW_PASSPHRASE) or given or ask(True)
        _write(folder, _KeyFile("passphrase", old.home, old.encrypted, _sealed(passphrase, key)))
    elif kind == "file":
        _write(folder, _KeyFile("file", old.home, old.encrypted, to_text(key)))
    elif not _kept_in_keyring(folder, old.home, key, old.encrypted):
        raise UserError("This machine has no keyring that keeps a key, or it is locked. Nothing was changed.")
    if old.kind == "keyring" != kind:
        from quire.runtime import system_keyring

        system_keyring.forget(old.home)
    return Protection(kind, old.encrypted)


def _check_wishes(found: _KeyFile, folder: Path, unlocking: Unlocking) -> None:
    if unlocking.encrypt and not found.encrypted:
        raise UserError(
            f"The home {folder} is there already, and its database is not encrypted: --encrypt is for a new home. "
            "Choose another with --home."
        )
    if unlocking.passphrase and found.kind != "passphrase":
        raise UserError(
            f"The home {folder} is there already, without a passphrase. `quire home protect passphrase` adds one."
        )


def _key(found: _KeyFile, folder: Path, ask: Callable[[bool], str]) -> bytes:
    if found.kind == "keyring":
        from quire.runtime import system_keyring  # loads slowly, and few homes need it

        key = system_keyring.fetch(found.home)
        if key is None:
            raise HomeError(f"The system's keyring has no key for the home {folder} any more. {_WAY_BACK}")
        return key
    try:
        secret = from_text(found.secret, KEY_BYTES if found.kind == "file" else None)
    except ValueError:
        raise Damaged(f"{folder / FILE} is damaged. {_WAY_BACK}") from None
    if found.kind == "file":
        return secret
    return open_with_passphrase(os.environ.get(PASSPHRASE) or ask(False), secret, _PURPOSE)


def _kept_in_keyring(folder: Path, home: str, key: bytes, encrypted: bool) -> bool:
    """Hand a key over to the keyring and say so in the key file; False, and nothing changed, without a keyring."""
    from quire.runtime import system_keyring

    if not system_keyring.is_there():
        return False
    system_keyring.keep(home, key)
    if system_keyring.fetch(home) != key:
        return False
    _write(folder, _KeyFile("keyring", home, encrypted))
    return True


def _forget_unfinished(folder: Path) -> None:
    """What a creation that was killed has left: a key of nothing."""
    draft_of(folder / FILE).unlink(missing_ok=True)
    with suppress(HomeError):
        old = _read(folder)
        if old.kind == "keyring":
            from quire.runtime import system_keyring

            system_keyring.forget(old.home)
    (folder / FILE).unlink(missing_ok=True)


def _sealed(passphrase: str, key: bytes) -> str:
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    return to_text(seal_with_passphrase(passphrase, key, salt, nonce, Cost(), _PURPOSE))


def _write(folder: Path, content: _KeyFile) -> None:
    write_private(folder / FILE, content, durable=True)


def _read(folder: Path) -> _KeyFile:
    found = _load(folder / FILE)
    if found is None:
        raise HomeError(
            f"{folder / FILE}, which holds this home's key, is gone (or the database there is not one of Quire's). "
            f"{_WAY_BACK}"
        )
    return found


def _load(path: Path) -> _KeyFile | None:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(MAX_KEY_FILE_BYTES), type=_KeyFile)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HomeError(f"{path} cannot be read: {error.strerror}. Check the folder's rights.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Damaged(f"{path} is damaged, or was made by a newer version of Quire. {_WAY_BACK}") from None
