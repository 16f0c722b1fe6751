"""Linking devices from the command line; that it works is shown between processes (tests/process/test_devices.py)."""

from tests.cli.conftest import Quire


def test_linking_says_that_it_takes_a_node(alice: Quire) -> None:
    for words in (("link",), ("join", "quire://link#x")):
        done = alice("device", *words)
        assert done.code == 2
    assert "quire up" in alice("device", "link").err


def test_devices_are_listed(alice: Quire) -> None:
    assert "first device (this one)" in alice("device", "list").out
    assert alice("device", "pairing").out == "No device is being linked.\n"
    nothing = alice("device", "confirm", "123456")
    assert nothing.code == 2
    assert "quire device link" in nothing.err
