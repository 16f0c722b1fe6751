"""What goes wrong at the start on real machines: ports, addresses, links, holders, folders."""

import os
import socket
from pathlib import Path

import pytest

from quire.runtime import open_offline
from quire.runtime.folder import hold
from tests.process.harness import Lab, fails

# --- Ports and addresses.


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        (socket.SOCK_DGRAM, "--listen"),
        (socket.SOCK_STREAM, "--api"),
        (socket.SOCK_STREAM, "--mirror-listen"),
    ],
)
def test_a_port_in_use_is_told_in_plain_words(lab: Lab, kind: int, option: str) -> None:
    alice = lab.founder("alice")
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        said = fails(alice, "up", option, f"127.0.0.1:{port}")
    assert f"127.0.0.1:{port}: another program uses it" in said
    assert option in said
    alice.up()  # nothing of the failed start is left behind


def test_two_nodes_cannot_be_given_one_port(lab: Lab) -> None:
    alice, bob = lab.founder("alice"), lab.founder("bob")
    node = alice.up()
    assert "another program uses it" in fails(bob, "up", "--listen", node.listen)
    assert "another program uses it" in fails(bob, "up", "--listen", "127.0.0.1:0", "--api", node.api)


def test_an_address_that_this_machine_does_not_have_is_told(lab: Lab) -> None:
    alice = lab.founder("alice")
    assert "192.0.2.1:0" in fails(alice, "up", "--listen", "192.0.2.1:0")
    assert "--api" in fails(alice, "up", "--listen", "127.0.0.1:0", "--api", "192.0.2.1:0")


@pytest.mark.parametrize("option", ["--listen", "--api"])
@pytest.mark.parametrize("text", ["", "nonsense", "127.0.0.1", "127.0.0.1:99999", "host.example:1", ":0"])
def test_what_is_no_address_is_told(lab: Lab, option: str, text: str) -> None:
    assert "is no address" in fails(lab.person("alice"), "up", option, text, code=2)


@pytest.mark.parametrize(
    "link",
    ["", "hello", "quire://join#", "quire://join#AAAA", "quire://join#" + "A" * 5_000, "http://join#x"],
)
def test_a_malformed_link_is_told(lab: Lab, link: str) -> None:
    bob = lab.person("bob")
    said = fails(bob, "join", link, "--name", "bob", code=2)
    assert "is not a Quire link" in said or "incomplete or mistyped" in said
    assert bob.ask("listIdentities") == []


# --- Who holds a home.


@pytest.mark.slow
def test_a_second_node_on_a_home_is_told_who_holds_it(lab: Lab) -> None:
    alice = lab.founder("alice")
    node = alice.up()
    assert f"in use by process {node.pid} (quire up)" in fails(alice, "up", "--listen", "127.0.0.1:0")
    alice.cli("send", "general", "undisturbed")


@pytest.mark.slow
def test_a_node_is_told_that_a_command_holds_its_home(lab: Lab) -> None:
    alice = lab.founder("alice")
    with open_offline(alice.home):
        said = fails(alice, "up", "--listen", "127.0.0.1:0")
        assert f"in use by process {os.getpid()} (a quire command)" in said
        assert f"process {os.getpid()}" in fails(alice, "identity", "list")
    alice.up()


@pytest.mark.slow
def test_commands_go_to_the_home_while_a_node_has_no_api(lab: Lab) -> None:
    """`node.json` tells of a node, but nobody answers: whoever holds the home is named; else it is used."""
    alice = lab.founder("alice")
    alice.up()
    left = (alice.home / "node.json").read_bytes()
    alice.stop()
    assert not (alice.home / "node.json").exists()
    assert not (alice.home / "holder.json").exists()
    (alice.home / "node.json").write_bytes(left)
    alice.cli("send", "general", "directly")
    with hold(alice.home, "quire up"):
        (alice.home / "node.json").write_bytes(left.replace(b'"pid":', b'"pid":1,"was":'))
        assert f"in use by process {os.getpid()} (quire up)" in fails(alice, "send", "general", "in vain")
    assert alice.texts() == ["directly"]


# --- Rights.


@pytest.mark.parametrize("where", ["/proc/quire", "/dev/null", "/dev/null/home"])
def test_a_folder_that_cannot_be_is_told(lab: Lab, where: str) -> None:
    alice = lab.person("alice")
    for words in (["up", "--listen", "127.0.0.1:0"], ["identity", "create", "alice"]):
        assert f"The home {where} cannot be used" in fails(alice, *words, home=Path(where))


def test_a_file_where_the_home_should_be_is_told(lab: Lab) -> None:
    alice = lab.person("alice")
    alice.home.write_text("not a folder")
    assert "cannot be used" in fails(alice, "identity", "list")
    assert alice.home.read_text() == "not a folder"


def test_a_home_is_its_owners_alone(lab: Lab) -> None:
    alice = lab.founder("alice")
    alice.up()
    assert alice.home.stat().st_mode & 0o077 == 0
    for path in alice.home.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    alice.stop()
