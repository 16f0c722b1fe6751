"""Streams between separate processes over loopback TCP: a long history, kills in the midst of it, and strangers."""

import socket
import time
from random import Random

import pytest

from quire.core.address import parse_address
from tests.process.harness import Lab, Person, wait_until

MANY, BATCH = 20_000, 5_000


def write_much(person: Person) -> None:
    for start in range(0, MANY, BATCH):
        texts = [f"message {start + n}" for n in range(BATCH)]
        person.ask("sendMessages", target="general", texts=texts)


def count(person: Person) -> int:
    rows = person.ask("query", statement="SELECT count(*) AS n FROM message_rows")["rows"]
    return int(rows[0]["n"])


@pytest.mark.slow
def test_a_newcomer_that_is_killed_again_and_again_has_everything_in_the_end(lab: Lab) -> None:
    random = Random(5)
    alice = lab.founder("alice")
    alice.up()
    write_much(alice)
    bob = lab.guest("bob", alice)
    seen = 0
    for _ in range(4):
        bob.up()
        time.sleep(0.05 + 0.25 * random.random())
        bob.kill()
        kept = int(bob.json("sql", "SELECT count(*) AS n FROM message_rows")[0]["n"])
        assert kept >= seen, "what was taken in once is there"
        seen = kept
    bob.up()
    wait_until(lambda: count(bob) == MANY, "all messages")
    wait_until(lambda: bob.peer("alice")["state"] == "in-sync", "bob in sync with alice")
    assert bob.ask("getStatus")["identities"][0]["rejected"] == []
    bob.stop()
    bob.cli("verify")


@pytest.mark.slow
def test_what_is_no_stream_of_ours_is_not_answered(lab: Lab) -> None:
    alice = lab.founder("alice")
    alice.up()
    address = parse_address(alice.ask("getStatus")["addresses"][0])
    for said in (b"GET / HTTP/1.1\r\n\r\n" * 9, bytes(70_000), b"\x16\x03\x01" + bytes(200)):
        with socket.create_connection(address, timeout=10) as stranger:
            stranger.sendall(said)
            try:
                assert stranger.recv(1) == b""
            except ConnectionResetError:
                pass
    bob = lab.guest("bob", alice)
    bob.up()
    alice.ask("sendMessage", target="general", text="still here")
    bob.sees({"still here"})
    assert alice.ask("getStatus")["health"]["dropped"]["uncalled"] == 3
