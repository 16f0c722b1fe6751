from pathlib import Path

import pytest

from quire.api.operations import OPERATIONS
from quire.errors import HomeError
from quire.runtime import open_offline
from tests.cli.conftest import Quire


def test_every_operation_with_words_is_a_command(quire: Quire) -> None:
    for found in OPERATIONS.values():
        if found.operation.cli:
            told = quire(*found.operation.cli, "--help")
            assert told.code == 0
            first = found.doc.split("\n", maxsplit=1)[0].split()
            assert " ".join(first[:4]) in told.out
            for parameter in found.parameters:
                if parameter.name not in found.operation.positional:
                    assert f"--{parameter.name}" in told.out
            for option in ("--home", "--as", "--space", "--json"):
                assert option in told.out


@pytest.mark.parametrize("words", [(), ("member",), ("identity",), ("device",), ("relay",), ("sim",)])
def test_lists_of_commands_cut_no_sentence_short(quire: Quire, words: tuple[str, ...]) -> None:
    assert "..." not in quire(*words, "--help").out.replace("[ARGS]...", "")


@pytest.mark.parametrize(
    "name", ["up", "sim", "doctor", "sql", "verify", "rebuild", "invite", "join", "peers"]
)
def test_the_documented_commands(quire: Quire, name: str) -> None:
    assert quire(name, "--help").code == 0


def test_version(quire: Quire) -> None:
    assert quire("--version").out.startswith("quire ")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["messages", "general"], "There is no identity here yet"),
        (["device", "confirm", "528", "918"], "There is no identity here yet"),
        (["messages"], "Missing argument 'TARGET'"),
        (["fly"], "No such command 'fly'"),
        (["messages", "general", "--limit", "x"], "Invalid value for '--limit'"),
        (["join", "quire://nonsense", "--name", "bob"], "not a Quire link"),
        (["join", "quire://join#AAAA", "--name", "bob"], "incomplete or mistyped"),
        (["identity", "create", ""], "A name has 1 to 80"),
        (["sql", "DROP", "TABLE", "blobs"], "That is not allowed"),
        (["sql", "SELEC", "1"], "syntax error"),
        (["send", "general", "\udcff"], "not valid Unicode"),
        (["up", "--listen", "nowhere"], ""),
        (["up", "--strategy", "magic"], "magic"),
    ],
)
def test_a_users_mistake_is_2_and_no_traceback(
    quire: Quire, tmp_path: Path, words: list[str], text: str
) -> None:
    with open_offline(tmp_path / "home"):
        pass
    ran = quire(*words)
    assert ran.code == 2
    assert text in ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "words",
    [("messages", "general"), ("send", "general", "hello"), ("space", "create", "garden"), ("invite",)],
)
def test_what_needs_an_identity_makes_no_home(quire: Quire, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Else a mistyped --home would make one without the passphrase that was meant for it."""
    ran = quire(*words)
    assert (ran.code, ran.out) == (2, "")
    assert "There is no home at" in ran.err
    assert not (tmp_path / "home").exists()


def test_a_mistake_of_ours_is_1_and_no_traceback(alice: Quire, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("quire.cli.commands.perform", stumble)
    ran = alice("messages", "general")
    assert ran.code == 1
    assert "ZeroDivisionError: oh" in ran.err
    assert "Traceback" not in ran.err
    monkeypatch.setenv("QUIRE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        alice("messages", "general")


def test_another_failure_is_1(alice: Quire, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise HomeError("The disk is full.")

    monkeypatch.setattr("quire.cli.access.call", full)
    ran = alice("send", "general", "x")
    assert (ran.code, ran.out, ran.err) == (1, "", "quire: The disk is full.\n")


def test_options_before_and_after_the_command(alice: Quire, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = str(tmp_path_factory.mktemp("other") / "home")
    assert alice("--home", other, "identity", "create", "carol").code == 0
    assert [i["name"] for i in alice("identity", "list", "--home", other, "--json").json()] == ["carol"]
    assert [i["name"] for i in alice("--json", "--home", other, "identity", "list").json()] == ["carol"]
    assert [i["name"] for i in alice("identity", "list", "--json").json()] == ["alice"]
