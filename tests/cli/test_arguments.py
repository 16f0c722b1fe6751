import io
import sys

import pytest

from quire.api.operations import OPERATIONS
from quire.cli.arguments import words
from tests.cli.conftest import Quire


def test_every_argument_and_option_has_words(quire: Quire) -> None:
    for found in OPERATIONS.values():
        if found.operation.cli:
            told = " ".join(quire(*found.operation.cli, "--help").out.split())
            for parameter in found.parameters:
                assert " ".join(words(found.name, parameter.name).split()[:3]) in told


def _piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_text_comes_from_standard_input(alice: Quire, monkeypatch: pytest.MonkeyPatch) -> None:
    _piped(monkeypatch, "--all\nof ünder\n\n".encode())
    assert alice("send", "general", "-").code == 0
    [message] = alice("messages", "general", "--json").json()
    assert message["body_text"] == "--all\nof ünder\n"
    assert alice("send", "general", "a", "-", "b").code == 0
    assert alice("messages", "general", "--json").json()[-1]["body_text"] == "a - b"
    assert "quire send general -- --odd" in " ".join(alice("send", "--help").out.split())


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "There is nothing in this message"),
        (b"\xff\xfe", "bytes that are no characters"),
        (b"x" * 70_000, "1 to 16,000 characters"),
        (b"x" + "\u20ac".encode() * 30_000, "1 to 16,000 characters"),
    ],
)
def test_what_is_no_text_is_refused(
    alice: Quire, monkeypatch: pytest.MonkeyPatch, data: bytes, text: str
) -> None:
    _piped(monkeypatch, data)
    refused = alice("send", "general", "-")
    assert (refused.code, refused.out) == (2, "")
    assert text in refused.err
