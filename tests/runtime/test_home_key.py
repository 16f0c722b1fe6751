"""How a home's key is kept, changed, lost; nothing is ever made anew over a database that needs the old one."""

import os
import stat
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import pytest
from keyring import core
from nacl.pwhash import argon2id

from quire.api.operations import call
from quire.core.encoding import from_text, to_text
from quire.core.vault import Vault
from quire.errors import Damaged, HomeError, QuireError, Refused, UserError
from quire.events.home import Home
from quire.handlers import REGISTRY
from quire.limits import MAX_KEY_FILE_BYTES, PASSPHRASE_KIB, PASSPHRASE_PASSES
from quire.runtime import home_key
from quire.runtime.folder import is_there, open_offline, protect_home
from quire.runtime.home_key import FILE, UNATTENDED, Protection, Unlocking, keep_in_file, protection
from tests.runtime.keyrings import MemoryKeyring

OLD, NEW = "the old passphrase", "the new passphrase"


@pytest.fixture
def keyring() -> Iterator[MemoryKeyring]:
    before, backend = core.get_keyring(), MemoryKeyring()
    core.set_keyring(backend)
    yield backend
    core.set_keyring(before)


class Person:
    """Answers prompts, and counts them."""

    def __init__(self, known: str = OLD, new: str = NEW) -> None:
        self.known, self.new = known, new
        self.asked: list[bool] = []

    def __call__(self, new: bool) -> str:
        self.asked.append(new)
        return self.new if new else self.known


def ask(folder: Path, operation: str, unlocking: Unlocking = UNATTENDED, **params: Any) -> Any:
    with open_offline(folder, unlocking) as host:
        return msgspec.to_builtins(call(host, operation, params))


def make(folder: Path, unlocking: Unlocking = UNATTENDED) -> str:
    return str(ask(folder, "createIdentity", unlocking, name="alice")["pubkey"])


def names(folder: Path, unlocking: Unlocking = UNATTENDED) -> list[str]:
    return [one["name"] for one in ask(folder, "listIdentities", unlocking)]


def key_file(folder: Path) -> dict[str, Any]:
    return dict(msgspec.json.decode((folder / FILE).read_bytes()))


# --- Each kind ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encrypt", [False, True])
def test_a_key_in_a_file(tmp_path: Path, encrypt: bool) -> None:
    make(tmp_path, Unlocking(encrypt=encrypt))
    assert protection(tmp_path) == Protection("file", encrypt)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert names(tmp_path) == ["alice"]
    assert (tmp_path / "quire.db").read_bytes().startswith(b"SQLite format 3") is not encrypt


@pytest.mark.parametrize("encrypt", [False, True])
def test_a_key_in_the_keyring(tmp_path: Path, keyring: MemoryKeyring, encrypt: bool) -> None:
    make(tmp_path, Unlocking(encrypt=encrypt))
    assert protection(tmp_path) == Protection("keyring", encrypt)
    assert key_file(tmp_path)["secret"] == ""
    assert [service for service, _ in keyring.kept] == ["quire"]
    assert names(tmp_path) == ["alice"]
    keyring.kept.clear()
    with pytest.raises(HomeError, match=r"keyring has no key .* recovery phrase or from another device"):
        names(tmp_path)


def test_two_homes_share_a_keyring(tmp_path: Path, keyring: MemoryKeyring) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b")
    assert len(keyring.kept) == 2
    assert names(tmp_path / "a") == names(tmp_path / "b") == ["alice"]


@pytest.mark.parametrize("encrypt", [False, True])
def test_a_key_sealed_with_a_passphrase(tmp_path: Path, keyring: MemoryKeyring, encrypt: bool) -> None:
    """Asked for, it goes before the keyring."""
    person = Person()
    make(tmp_path, Unlocking(person, passphrase=True, encrypt=encrypt))
    assert person.asked == [True]
    assert protection(tmp_path) == Protection("passphrase", encrypt)
    assert keyring.kept == {}
    knows = Person(known=NEW)
    assert names(tmp_path, Unlocking(knows)) == ["alice"]
    assert knows.asked == [False]
    with pytest.raises(UserError, match="passphrase is wrong"):
        names(tmp_path, Unlocking(Person(known="no idea at all")))
    with pytest.raises(UserError, match="locked with a passphrase: set QUIRE_PASSPHRASE"):
        names(tmp_path)
    assert names(tmp_path, Unlocking(knows)) == ["alice"], "nothing was changed"


def test_a_passphrase_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIRE_PASSPHRASE", OLD)
    make(tmp_path)
    assert protection(tmp_path) == Protection("passphrase", False)
    assert names(tmp_path) == ["alice"]
    monkeypatch.setenv("QUIRE_PASSPHRASE", NEW)
    with pytest.raises(UserError, match="wrong"):
        names(tmp_path)


@pytest.mark.parametrize("given", ["", "short"])
def test_a_home_with_a_poor_passphrase_is_not_made(tmp_path: Path, given: str) -> None:
    with pytest.raises(UserError, match="A passphrase has 8 to"):
        make(tmp_path, Unlocking(Person(new=given or "1234567"), passphrase=True))
    assert not is_there(tmp_path)
    make(tmp_path, Unlocking(encrypt=True))
    assert names(tmp_path) == ["alice"]


# --- Wishes that come too late --------------------------------------------------------------------------


def test_a_home_that_is_there_is_not_silently_other_than_wished(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(UserError, match="not encrypted: --encrypt is for a new home"):
        names(tmp_path, Unlocking(encrypt=True))
    with pytest.raises(UserError, match="home protect passphrase"):
        names(tmp_path, Unlocking(Person(), passphrase=True))
    both = Unlocking(Person(known=NEW), passphrase=True, encrypt=True)
    make(tmp_path / "b", both)
    assert names(tmp_path / "b", both) == ["alice"], "the same wishes again are fulfilled already"


# --- Changing ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("encrypt", [False, True])
def test_from_each_way_to_each_other_with_the_same_keys(
    tmp_path: Path, keyring: MemoryKeyring, encrypt: bool
) -> None:
    person = Person(known=NEW)
    pubkey = make(tmp_path, Unlocking(person, passphrase=True, encrypt=encrypt))
    for kind in (
        "file",
        "keyring",
        "passphrase",
        "keyring",
        "keyring",
        "file",
        "file",
        "passphrase",
        "passphrase",
    ):
        assert protect_home(tmp_path, kind, person) == Protection(kind, encrypt)
        assert protection(tmp_path) == Protection(kind, encrypt)
        assert ask(tmp_path, "listIdentities", Unlocking(person))[0]["pubkey"] == pubkey
        assert len(keyring.kept) == (kind == "keyring"), "it leaves no key behind"


@pytest.mark.slow
def test_a_passphrase_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, Unlocking(Person(new=OLD), passphrase=True))
    with pytest.raises(UserError, match="wrong"):
        protect_home(tmp_path, "passphrase", Person(known="not the old one"))
    protect_home(tmp_path, "passphrase", Person(OLD, NEW))
    with pytest.raises(UserError, match="wrong"):
        names(tmp_path, Unlocking(Person(OLD)))
    assert names(tmp_path, Unlocking(Person(NEW))) == ["alice"]
    monkeypatch.setenv("QUIRE_PASSPHRASE", NEW)
    monkeypatch.setenv("QUIRE_NEW_PASSPHRASE", "a third passphrase")
    protect_home(tmp_path, "passphrase", Person("not asked", "not asked"))
    monkeypatch.setenv("QUIRE_PASSPHRASE", "a third passphrase")
    assert names(tmp_path) == ["alice"]


def test_what_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(QuireError, match="no home"):
        protect_home(tmp_path / "nowhere", "file", Person())
    make(tmp_path)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(UserError, match="keyring, passphrase, file"):
        protect_home(tmp_path, "hope", Person())
    with pytest.raises(UserError, match="no keyring"):
        protect_home(tmp_path, "keyring", Person())
    with pytest.raises(UserError, match="A passphrase has"):
        protect_home(tmp_path, "passphrase", Person(new="short"))
    with open_offline(tmp_path), pytest.raises(HomeError, match="in use by"):
        protect_home(tmp_path, "file", Person())
    assert (tmp_path / FILE).read_bytes() == before


def test_a_keyring_that_loses_what_it_is_given_changes_nothing(
    tmp_path: Path, keyring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, Unlocking(Person(new=OLD), passphrase=True))
    monkeypatch.setattr("quire.runtime.system_keyring.fetch", lambda _: None)
    with pytest.raises(UserError, match="Nothing was changed"):
        protect_home(tmp_path, "keyring", Person(OLD))
    assert names(tmp_path, Unlocking(Person(OLD))) == ["alice"]


class Killed(BaseException):
    """The process ended here."""


def killed(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.parametrize("kind", home_key.KINDS)
def test_a_change_that_was_killed_changed_nothing(
    tmp_path: Path, keyring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    make(tmp_path, Unlocking(Person(new=OLD), passphrase=True))
    with monkeypatch.context() as patch:
        patch.setattr(home_key, "write_private", killed)
        with pytest.raises(Killed):
            protect_home(tmp_path, kind, Person(OLD, NEW))
    assert names(tmp_path, Unlocking(Person(OLD))) == ["alice"]


# --- A thief of the folder ------------------------------------------------------------------------------


def test_each_guess_at_a_stolen_homes_passphrase_pays_for_argon2id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a thief who writes a cheaper cost into the file learns nothing from it."""
    make(tmp_path, Unlocking(Person(new=OLD), passphrase=True))
    paid: list[tuple[int, int]] = []
    real = argon2id.kdf

    def counting(size: int, secret: bytes, salt: bytes, passes: int, memory: int) -> bytes:
        paid.append((passes, memory))
        return real(size, secret, salt, passes, memory)

    monkeypatch.setattr(argon2id, "kdf", counting)
    for number in range(3):
        with pytest.raises(UserError, match="wrong"):
            home_key.open_vault(tmp_path, Unlocking(Person(known=f"a guess, number {number}")))
    assert paid == [(PASSPHRASE_PASSES, PASSPHRASE_KIB * 1024)] * 3
    content = key_file(tmp_path)
    sealed = bytearray(from_text(content["secret"]))
    sealed[8:16] = (1).to_bytes(4, "big") + (8).to_bytes(4, "big")
    body = bytes(sealed[:-16])
    content["secret"] = to_text(body + blake2b(body, digest_size=16, person=b"quire sealed sum").digest())
    (tmp_path / FILE).write_bytes(msgspec.json.encode(content))
    with pytest.raises(Refused, match="Somebody has changed it"):
        home_key.open_vault(tmp_path, Unlocking(Person(known=OLD)))
    assert len(paid) == 3


# --- Lost, damaged, another's --------------------------------------------------------------------------


@pytest.mark.parametrize("encrypt", [False, True])
def test_no_new_key_is_made_over_an_old_database(tmp_path: Path, encrypt: bool) -> None:
    make(tmp_path, Unlocking(encrypt=encrypt))
    kept = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).unlink()
    database = (tmp_path / "quire.db").read_bytes()
    for unlocking in (UNATTENDED, Unlocking(encrypt=True), Unlocking(Person(), passphrase=True)):
        with pytest.raises(
            HomeError, match=r"home.key, .* is gone .* recovery phrase or from another device"
        ):
            make(tmp_path, unlocking)
        with pytest.raises(HomeError, match="is gone"):
            protect_home(tmp_path, "file", Person())
    assert not (tmp_path / FILE).exists()
    assert (tmp_path / "quire.db").read_bytes() == database
    (tmp_path / FILE).write_bytes(kept)
    assert names(tmp_path) == ["alice"]


def test_no_key_is_made_over_a_database_that_is_gone(tmp_path: Path) -> None:
    make(tmp_path)
    kept = (tmp_path / FILE).read_bytes()
    (tmp_path / "quire.db").unlink()
    with pytest.raises(Damaged, match="gone, but this home was in use"):
        make(tmp_path)
    assert (tmp_path / FILE).read_bytes() == kept


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"kind":"file"}',
        b'{"kind":"hope","home":"x","encrypted":false,"secret":""}',
        b'{"kind":"file","home":"x","encrypted":false,"secret":""}',
        b'{"kind":"file","home":"x","encrypted":false,"secret":"AAAA"}',
        b'{"kind":"passphrase","home":"x","encrypted":false,"secret":"AAAA"}',
        b'{"kind":"passphrase","home":"x","encrypted":false,"secret":"?"}',
        b'{"kind":"file","home":"x","encrypted":false,"secret":"","later":1}',
        b"\xff\xfe" * 40,
        b" " * MAX_KEY_FILE_BYTES + b"{}",
    ],
)
def test_a_damaged_key_file_is_told_and_kept(tmp_path: Path, content: bytes) -> None:
    make(tmp_path)
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(Damaged):
        names(tmp_path, Unlocking(Person()))
    assert (tmp_path / FILE).read_bytes() == content


@pytest.mark.parametrize("encrypt", [False, True])
def test_another_homes_key_opens_nothing_and_is_not_called_damage(tmp_path: Path, encrypt: bool) -> None:
    make(tmp_path / "a", Unlocking(encrypt=encrypt))
    make(tmp_path / "b", Unlocking(encrypt=encrypt))
    own, other = ((tmp_path / name / FILE).read_bytes() for name in "ab")
    (tmp_path / "a" / FILE).write_bytes(other)
    with pytest.raises(HomeError, match="cannot be opened") as caught:
        ask(tmp_path / "a", "createIdentity", name="bob")
    assert not isinstance(caught.value, Damaged)
    (tmp_path / "a" / FILE).write_bytes(own)
    assert names(tmp_path / "a") == ["alice"]


def test_a_home_made_elsewhere_gets_a_key_file(tmp_path: Path) -> None:
    key = bytes(range(32))
    Home(tmp_path / "quire.db", REGISTRY, os.urandom, Vault(key)).close()
    keep_in_file(tmp_path, key)
    make(tmp_path)
    assert protection(tmp_path) == Protection("file", False)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    with pytest.raises(HomeError, match="cannot be read"):
        names(tmp_path)


# --- Creation, interrupted ------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["quire.runtime.folder.Home", "quire.runtime.folder.token_of"])
def test_a_creation_that_was_killed_is_made_or_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keyring: MemoryKeyring, place: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(place, killed)
        with pytest.raises(Killed):
            make(tmp_path)
    assert protection(tmp_path) == Protection("keyring", False)
    make(tmp_path)
    assert names(tmp_path) == ["alice"]
    assert len(keyring.kept) == 1, "the key of nothing is gone from the keyring"


@pytest.mark.parametrize("begun", [False, True], ids=["no database", "an empty one"])
def test_a_home_of_which_only_the_key_was_made_is_made_anew_as_wished(tmp_path: Path, begun: bool) -> None:
    home_key.make_vault(tmp_path, Unlocking(Person(), passphrase=True))
    if begun:
        (tmp_path / "quire.db").touch()
    assert not is_there(tmp_path)
    make(tmp_path, Unlocking(encrypt=True))
    assert protection(tmp_path) == Protection("file", True)


def test_a_draft_of_the_key_file_does_not_stay(tmp_path: Path) -> None:
    """A change to `passphrase` that was killed may have left the key in the clear beside."""
    make(tmp_path)
    draft = tmp_path / "home.new"
    draft.write_bytes((tmp_path / FILE).read_bytes())
    assert names(tmp_path) == ["alice"]
    assert not draft.exists()
    assert from_text(key_file(tmp_path)["secret"], 32)
