"""Strangers' datagrams at a node's port, and the end of a node under load."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from quire.api.client import call_node
from quire.core.address import parse_address
from quire.core.ticket import decode_link, encode_link
from quire.errors import QuireError
from quire.limits import MAX_DATAGRAM
from tests.process.crash import examine, examine_whole
from tests.process.harness import Lab, Person, wait_until
from tests.process.lossy_proxy import Conditions, LossyProxy, damage


@pytest.fixture
def overheard(lab: Lab) -> Iterator[tuple[Person, Person, LossyProxy]]:
    """Alice and bob in sync, and all that went between them."""
    alice = lab.founder("alice")
    node = alice.up()
    proxy = LossyProxy(parse_address(node.listen), "127.0.0.1", Conditions(), 1)
    proxy.start()
    bob = lab.person("bob")
    invite = decode_link(alice.ask("createInvite")["link"])
    link = encode_link(replace(invite, addresses=[proxy.address]))
    bob.ask("joinSpace", link=link, name="bob")
    bob.up()
    alice.ask("sendMessages", target="general", texts=[f"overheard {n}" for n in range(200)])
    bob.sees({f"overheard {n}" for n in range(200)})
    yield alice, bob, proxy
    proxy.close()


def _shout(person: Person, datagrams: list[bytes], stop: threading.Event, sent: list[int]) -> None:
    assert person.node is not None
    target = parse_address(person.node.listen)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
        while not stop.is_set():
            for data in datagrams:
                noise.sendto(data, target)
            sent[0] += len(datagrams)
            stop.wait(0.01)


@pytest.mark.slow
def test_noise_neither_slows_nor_stops_a_node(overheard: tuple[Person, Person, LossyProxy]) -> None:
    """Random bytes, real datagrams cut short, altered, lengthened and replayed, and the largest there are."""
    alice, bob, proxy = overheard
    random = Random(4)
    real = list(proxy.captured)[-300:]
    kinds = {
        "random": [random.randbytes(random.randrange(0, MAX_DATAGRAM + 1)) for _ in range(100)],
        "cut": [data[: random.randrange(len(data))] for data in real[:100]],
        "altered": [damage(data, random) for data in real[:100]],
        "replayed": real,
        "oversized": [random.randbytes(size) for size in (MAX_DATAGRAM + 1, 9_000, 65_507)],
        "empty": [b""] * 20,
    }
    stop = threading.Event()
    sent = [0]
    shouters = [
        threading.Thread(target=_shout, args=(person, datagrams, stop, sent))
        for person in (alice, bob)
        for datagrams in kinds.values()
    ]
    for shouter in shouters:
        shouter.start()
    try:
        texts = {f"overheard {n}" for n in range(200)}
        for number in range(30):
            for person in (alice, bob):
                person.ask("sendMessage", target="general", text=f"{person.name} through noise {number}")
                texts.add(f"{person.name} through noise {number}")
        alice.sees(texts)
        bob.sees(texts)
        wait_until(lambda: sent[0] > 20_000, "enough noise")
    finally:
        stop.set()
        for shouter in shouters:
            shouter.join()
    for person in (alice, bob):
        status = person.ask("getStatus")
        assert [identity["rejected"] for identity in status["identities"]] == [[]]
    peer: dict[str, Any] = alice.ask("getStatus")["identities"][0]["spaces"][0]["peers"][0]
    assert peer["rejected"].get("replay", 0) > 100  # counted where it was overheard from
    wait_until(lambda: bob.peer("alice")["state"] == "in-sync", "sync after the noise")


@pytest.mark.slow
def test_a_node_stops_cleanly_under_load(lab: Lab) -> None:
    alice = lab.founder("alice")
    alice.ask("sendMessages", target="general", texts=[f"{n} " + "b" * 500 for n in range(900)])
    alice.up()
    bob, carol = lab.guest("bob", alice), lab.guest("carol", alice)
    bob.up()
    carol.up()
    promised: set[str] = set()
    wrong: list[BaseException] = []
    writers = [threading.Thread(target=_write, args=(alice, promised, wrong)) for _ in range(3)]
    for writer in writers:
        writer.start()
    wait_until(lambda: len(promised) > 100, "load")
    alice.stop(20)
    for writer in writers:
        writer.join()
    assert not wrong, wrong
    assert not (alice.home / "node.json").exists()
    assert not (alice.home / "holder.json").exists()
    assert not (alice.home / "quire.db-wal").exists()
    examine(alice.home, promised)
    examine_whole(alice.home)
    alice.up()
    texts = {
        row["body_text"]
        for row in alice.ask("query", statement="SELECT body_text FROM message_index")["rows"]
    }
    bob.sees_at_least(texts)
    carol.sees_at_least(texts)


def _write(person: Person, promised: set[str], wrong: list[BaseException]) -> None:
    """Write until the node says that it stops: in plain words."""
    node = person.node
    assert node is not None
    try:
        while True:
            texts = [f"load {len(promised)} {n}" for n in range(10)]
            promised |= set(
                call_node(node.api, node.token, "sendMessages", {"target": "general", "texts": texts})
            )
    except QuireError:
        pass
    except BaseException as error:
        wrong.append(error)
