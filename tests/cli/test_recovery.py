"""Phrases and passphrases go in by prompt, pipe or environment, and key files come out for their owner alone."""

import io
from pathlib import Path

import pytest

from quire.core.phrase import phrase_of
from tests.cli.conftest import Quire

PASSPHRASE = "correct horse battery"
PHRASE = phrase_of(bytes(range(32)))


@pytest.fixture
def link(alice: Quire) -> str:
    return alice("invite").out.strip()


def test_a_key_file_is_written_for_its_owner_alone(
    alice: Quire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUIRE_KEY_PASSPHRASE", PASSPHRASE)
    file = tmp_path / "alice.key"
    assert alice("identity", "export", str(file)).code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    again = alice("identity", "export", str(file))
    assert again.code == 2
    assert "there already" in again.err
    assert file.read_bytes() == before
    assert alice("identity", "export", str(tmp_path / "no" / "such" / "folder")).code == 1


def test_a_key_file_takes_a_passphrase(alice: Quire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    said = alice("identity", "export", str(tmp_path / "file"))
    assert said.code == 2
    assert "QUIRE_KEY_PASSPHRASE" in said.err
    monkeypatch.setenv("QUIRE_KEY_PASSPHRASE", "short")
    assert alice("identity", "export", str(tmp_path / "file")).code == 2
    assert not (tmp_path / "file").exists()


def test_a_phrase_is_read_from_standard_input_or_the_environment(
    quire: Quire, link: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number, words in enumerate((PHRASE, "")):
        monkeypatch.setenv("QUIRE_HOME", str(tmp_path / f"fresh {number}"))
        monkeypatch.setattr("sys.stdin", io.StringIO(PHRASE if not words else "nothing"))
        monkeypatch.setenv("QUIRE_PHRASE", words)
        done = quire("identity", "recover", link, "--phrase", "--name", "ann")
        assert done.code == 0, done.err
        assert "asks the members" in done.out
        assert "waiting for a member" in quire("status").out


def test_an_identity_is_recovered_from_a_file(
    quire: Quire, alice: Quire, link: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QUIRE_KEY_PASSPHRASE", PASSPHRASE)
    file = tmp_path / "alice.key"
    alice("identity", "export", str(file))
    pubkey = alice("identity", "list", "--json").json()[0]["pubkey"]
    monkeypatch.setenv("QUIRE_HOME", str(tmp_path / "fresh"))
    done = quire("identity", "recover", link, "--file", str(file), "--name", "alice", "--json")
    assert done.json()["pubkey"] == pubkey
    missing = quire("identity", "recover", link, "--file", str(tmp_path / "none"), "--name", "alice")
    assert missing.code == 2
    assert "cannot be read" in missing.err


def test_what_is_wanted_is_said(quire: Quire, link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(" "))
    for words in ((), ("--phrase", "--file", "x")):
        done = quire("identity", "recover", link, "--name", "ann", *words)
        assert done.code == 2
        assert "--phrase or with --file" in done.err
    assert "No phrase was given" in quire("identity", "recover", link, "--name", "ann", "--phrase").err
