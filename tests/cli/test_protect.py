from pathlib import Path

import pytest

from tests.cli.conftest import Quire


def kept(quire: Quire) -> tuple[str, str, str]:
    """(state, keys, encryption) as doctor tells them."""
    found = {finding["check"]: finding for finding in quire("doctor", "--json").json()}
    return found["keys"]["state"], found["keys"]["detail"], found["encryption"]["detail"]


def test_a_passphrase_is_added_changed_and_taken_away(alice: Quire, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept(alice)[0] == "warning"
    assert "home protect passphrase" in kept(alice)[1]
    monkeypatch.setenv("QUIRE_PASSPHRASE", "the first passphrase")
    assert "sealed with the new passphrase" in alice("home", "protect", "passphrase").out
    assert kept(alice)[:2] == ("ok", "Private keys are sealed with a passphrase.")
    monkeypatch.setenv("QUIRE_NEW_PASSPHRASE", "the second passphrase")
    assert alice("home", "protect", "passphrase").code == 0
    assert alice("identity", "list").code == 2
    monkeypatch.setenv("QUIRE_PASSPHRASE", "the second passphrase")
    assert alice("home", "protect", "file", "--json").json() == {"kind": "file", "encrypted": False}
    monkeypatch.delenv("QUIRE_PASSPHRASE")
    assert alice("identity", "list").code == 0
    assert kept(alice)[0] == "warning"


def test_mistakes(alice: Quire, quire: Quire, tmp_path: Path) -> None:
    ran = alice("home", "protect", "hope")
    assert ran.code == 2
    assert "keyring, passphrase, file" in ran.err
    ran = alice("home", "protect", "keyring")
    assert (ran.code, "no keyring" in ran.err) == (2, True)
    ran = quire("--home", str(tmp_path / "nowhere"), "home", "protect", "file")
    assert (ran.code, "no home" in ran.err) == (2, True)


def test_an_encrypted_home_works_like_any_other(quire: Quire) -> None:
    assert quire("identity", "create", "alice", "--encrypt").code == 0
    assert quire("space", "create", "garden").code == 0
    assert quire("send", "general", "The tulips are out").code == 0
    assert "The tulips are out" in quire("messages", "general").out
    assert "tulips" in quire("search", "tulips").out
    assert quire("sql", "SELECT body_text FROM message_index", "--json").json() == [
        {"body_text": "The tulips are out"}
    ]
    assert quire("verify").code == quire("rebuild").code == 0
    assert kept(quire)[2] == "The whole database is encrypted."
    ran = quire("identity", "create", "bob", "--encrypt")
    assert ran.code == 0, "it is encrypted already"


def test_a_plain_home_is_not_encrypted_later(alice: Quire) -> None:
    ran = alice("identity", "create", "bob", "--encrypt")
    assert ran.code == 2
    assert "--encrypt is for a new home" in ran.err
    assert "up" in alice("up", "--help").out
    assert [one["name"] for one in alice("identity", "list", "--json").json()] == ["alice"]


def test_a_home_without_its_key_is_left_alone(alice: Quire, tmp_path: Path) -> None:
    (tmp_path / "home" / "home.key").unlink()
    for words in (("status",), ("identity", "create", "bob"), ("home", "protect", "file"), ("up",)):
        ran = alice(*words)
        assert ran.code == 1
        assert "is gone" in ran.err
        assert "recovery phrase" in ran.err
    ran = alice("doctor")
    assert ran.code == 1
    assert "is gone" in ran.out
    assert not (tmp_path / "home" / "home.key").exists()
    (tmp_path / "home" / "home.key").write_bytes(b"?")
    assert "damaged" in alice("doctor").out
