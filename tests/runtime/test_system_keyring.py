"""The keyring as we use it: a real backend in memory, none, one that hides secrets nowhere, one that hangs."""

import threading
import time
from collections.abc import Iterator

import pytest
from keyring import core
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null
from keyring.errors import KeyringLocked, PasswordDeleteError

from quire.errors import HomeError
from quire.limits import KEYRING_TRIAL_S, KEYRING_WAIT_S
from quire.runtime import system_keyring
from tests.runtime.keyrings import MemoryKeyring


class InTheClear(MemoryKeyring):
    """As the packages that write plain files: below what `keyring` recommends."""

    priority = 0.5  # type: ignore[assignment]


class Forgetful(MemoryKeyring):
    def get_password(self, service: str, username: str) -> str | None:
        return None


class Locked(MemoryKeyring):
    def set_password(self, service: str, username: str, password: str) -> None:
        raise KeyringLocked("nobody unlocked it")

    get_password = set_password  # type: ignore[assignment]


class Hanging(MemoryKeyring):
    """Waits for a person who is not there."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = threading.Event()

    def set_password(self, service: str, username: str, password: str) -> None:
        self.answer.wait(20)

    def get_password(self, service: str, username: str) -> str | None:
        self.answer.wait(20)
        return None


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    before = core.get_keyring()
    yield
    core.set_keyring(before)


def test_a_keyring_keeps_gives_and_forgets() -> None:
    backend = MemoryKeyring()
    core.set_keyring(backend)
    assert system_keyring.is_there()
    assert backend.kept == {}, "the trial leaves nothing"
    system_keyring.keep("home", bytes(range(32)))
    assert list(backend.kept) == [("quire", "home")]
    assert system_keyring.fetch("home") == bytes(range(32))
    assert system_keyring.fetch("other") is None
    system_keyring.forget("home")
    system_keyring.forget("home")
    assert backend.kept == {}


@pytest.mark.parametrize("kind", [fail.Keyring, null.Keyring, InTheClear, Forgetful, Locked])
def test_what_is_no_keyring_is_none(kind: type[KeyringBackend]) -> None:
    core.set_keyring(kind())
    assert not system_keyring.is_there()


def test_a_chain_is_as_good_as_its_first_link(monkeypatch: pytest.MonkeyPatch) -> None:
    for first, good in ((MemoryKeyring(), True), (InTheClear(), False)):
        chain = chainer.ChainerBackend()  # type: ignore[no-untyped-call]
        monkeypatch.setattr(chainer.ChainerBackend, "backends", [first, InTheClear()])
        core.set_keyring(chain)
        assert system_keyring.is_there() is good


def test_a_keyring_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """KEYRING_TRIAL_S and KEYRING_WAIT_S are how long a command may stand still."""
    assert 0 < KEYRING_TRIAL_S < KEYRING_WAIT_S <= 120
    monkeypatch.setattr(system_keyring, "KEYRING_TRIAL_S", 0.05)
    monkeypatch.setattr(system_keyring, "KEYRING_WAIT_S", 0.05)
    backend = Hanging()
    core.set_keyring(backend)
    began = time.monotonic()
    assert not system_keyring.is_there()
    with pytest.raises(HomeError, match=r"no answer in .* Unlock the keyring"):
        system_keyring.fetch("home")
    assert time.monotonic() - began < 15, "it waited for the keyring"
    backend.answer.set()


def test_a_locked_keyring_is_told_in_plain_words() -> None:
    core.set_keyring(Locked())
    with pytest.raises(HomeError, match="nobody unlocked it"):
        system_keyring.keep("home", b"x")
    core.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]
    with pytest.raises(HomeError, match="there is no keyring here"):
        system_keyring.fetch("home")


def test_another_programs_text_under_our_name_is_no_key() -> None:
    backend = MemoryKeyring()
    core.set_keyring(backend)
    backend.set_password("quire", "home", "not base64 !")
    with pytest.raises(HomeError, match="does not give this home's key"):
        system_keyring.fetch("home")
    with pytest.raises(PasswordDeleteError):
        backend.delete_password("quire", "nothing")
