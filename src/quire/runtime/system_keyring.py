"""The system's keyring (Secret Service, KWallet, Keychain), as the `keyring` package reaches it.

Owns: whether there is one that can be trusted with a key, and waiting no longer than we should. Must not know: homes.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

from keyring import core
from keyring.backend import KeyringBackend

from quire.core.encoding import from_text, to_text
from quire.errors import HomeError
from quire.limits import KEYRING_TRIAL_S, KEYRING_WAIT_S

SERVICE = "quire"
_T = TypeVar("_T")


def is_there() -> bool:
    """Whether a keyring keeps what it is given: tried out, for a few seconds at most."""
    try:
        return _in_time(_trial, KEYRING_TRIAL_S)
    except Exception:  # a backend may raise whatever its system does; all of it means no
        return False


def keep(name: str, secret: bytes) -> None:
    """Put a secret into the keyring. Raises HomeError."""
    with _PlainErrors():
        _in_time(lambda: _backend().set_password(SERVICE, name, to_text(secret)), KEYRING_WAIT_S)


def fetch(name: str) -> bytes | None:
    """The secret of that name; None when the keyring has none. Raises HomeError when it does not answer."""
    with _PlainErrors():
        found = _in_time(lambda: _backend().get_password(SERVICE, name), KEYRING_WAIT_S)
        return None if found is None else from_text(found)


def forget(name: str) -> None:
    """Take a secret out of the keyring; one that is not there, or cannot be reached, is left."""
    with suppress(Exception):
        _in_time(lambda: _backend().delete_password(SERVICE, name), KEYRING_TRIAL_S)


class _PlainErrors:
    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception):
            reason = str(error) or type(error).__name__
            raise HomeError(
                f"The system's keyring does not give this home's key ({reason}). Unlock the keyring (log in to the "
                "desktop) and try again."
            ) from None


def _trial() -> bool:
    backend, name, word = _backend(), f"trial {to_text(os.urandom(9))}", to_text(os.urandom(9))
    backend.set_password(SERVICE, name, word)
    try:
        return backend.get_password(SERVICE, name) == word
    finally:
        backend.delete_password(SERVICE, name)


def _backend() -> KeyringBackend:
    """The keyring in use. Raises LookupError when it is none, or one that keeps secrets in the clear."""
    chosen = core.get_keyring()
    first = next(iter(getattr(chosen, "backends", ())), chosen)  # a chain writes to its first link
    if not core.recommended(first):  # files in the clear and stand-ins have a priority below 1
        raise LookupError("there is no keyring here")
    return first


def _in_time(call: Callable[[], _T], seconds: float) -> _T:
    """The result of a call that may wait for a person or a dead service. Raises TimeoutError, or what it raises."""
    results: SimpleQueue[tuple[bool, object]] = SimpleQueue()

    def run() -> None:
        try:
            results.put((True, call()))
        except BaseException as error:
            results.put((False, error))

    threading.Thread(target=run, name="keyring", daemon=True).start()
    try:
        done, value = results.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"no answer in {seconds:.0f} seconds") from None
    if not done:
        assert isinstance(value, BaseException)
        raise value
    return value  # type: ignore[return-value]
