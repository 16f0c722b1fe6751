import os
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.cli.conftest import Quire


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], int]]:
    """Standard input is a terminal, where this is typed next."""
    ours, theirs = os.openpty()
    with open(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        yield lambda answer: os.write(ours, f"{answer}\n".encode())
    os.close(ours)


def _members(alice: Quire) -> list[str]:
    return [one["name"] for one in alice("member", "list", "--json", "--as", "alice").json()]


@pytest.mark.parametrize(
    ("words", "lost"),
    [
        (("member", "remove", "bob"), "bob is removed: it reads nothing that is written from now on"),
        (("member", "ban", "bob"), "bob is removed, and no invite lets it in again"),
        (("space", "leave"), "You are its founder: it is without one for good, also if you come back."),
        (("identity", "rotate"), "the old words, and exported key files, recover nothing any more"),
    ],
)
def test_a_person_is_told_what_is_lost_and_asked(
    alice: Quire, typed: Callable[[str], int], words: tuple[str, ...], lost: str
) -> None:
    alice("join", alice("invite").out, "--name", "bob")
    phrase = alice("identity", "phrase", "--as", "alice").out
    typed("n")
    refused = alice(*words, "--as", "alice")
    assert (refused.code, refused.out) == (2, "")
    assert lost in refused.err
    assert "Nothing was changed." in refused.err
    assert _members(alice) == ["alice", "bob"]
    assert alice("identity", "phrase", "--as", "alice").out == phrase
    typed("y")
    assert alice(*words, "--as", "alice").code == 0
    assert (_members(alice), alice("identity", "phrase", "--as", "alice").out) != (["alice", "bob"], phrase)


def test_who_leaves_is_told_what_becomes_of_the_space(alice: Quire, typed: Callable[[str], int]) -> None:
    typed("n")
    assert "nobody is left, and nobody can ever be let in again" in alice("space", "leave").err
    alice("join", alice("invite").out, "--name", "bob")
    typed("n")
    left = alice("space", "leave", "--as", "alice").err
    assert "Nobody is left who can remove members or make admins" in left
    alice("member", "grant", "bob", "admin", "--as", "alice")
    typed("n")
    left = alice("space", "leave", "--as", "alice").err
    assert "without one for good" in left
    assert "Nobody is left" not in left
    typed("n")
    assert "founder" not in alice("space", "leave", "--as", "bob").err


def test_yes_and_scripts_are_not_asked(alice: Quire, typed: Callable[[str], int]) -> None:
    alice("join", alice("invite").out, "--name", "bob")
    gone = alice("member", "remove", "nobody", "--as", "alice")
    assert (gone.code, "Go on?" in gone.err) == (2, False)
    told = alice("member", "remove", "bob", "--yes", "--as", "alice")
    assert (told.code, told.err) == (0, "")
    with open(os.devnull) as nothing, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", nothing)
        left = alice("space", "leave", "--as", "alice")
    assert (left.code, "Go on?" in left.err) == (0, False)


def test_every_command_that_asks_takes_yes(quire: Quire) -> None:
    for words in (
        ("space", "leave"),
        ("member", "remove"),
        ("member", "ban"),
        ("device", "revoke"),
        ("identity", "rotate"),
    ):
        assert "--yes" in quire(*words, "--help").out
    assert "--yes" not in quire("send", "--help").out
