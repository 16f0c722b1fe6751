"""Three hosts with network stacks of their own on one switch: cables that are pulled, addresses that change.

There is no router, so a node finds its own addresses by its interfaces, or nobody could join.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import pytest

from quire.core.ticket import decode_link
from tests.process import hosts as making
from tests.process.harness import Lab, wait_until
from tests.process.hosts import HostPerson, Hosts

NAMES = ("ann", "bob", "cai")
ANYWHERE = "0.0.0.0:7700"


@pytest.fixture
def hosts(lab: Lab) -> Iterator[Hosts]:
    if why := making.why_not():
        pytest.skip(why)
    yield from making.hosts(lab)


@pytest.fixture
def three(hosts: Hosts) -> list[HostPerson]:
    """Ann, bob and cai, each on a host, in one space and in sync with the others."""
    people = [hosts.person(name, number) for number, name in enumerate(NAMES, 1)]
    ann = people[0]
    ann.ask("createIdentity", name="ann")
    ann.ask("createSpace", name="club")
    ann.up(listen=ANYWHERE)
    for person in people[1:]:
        person.ask("joinSpace", link=ann.ask("createInvite")["link"], name=person.name)
        person.up(listen=ANYWHERE)
        person.comes_in()
    for person in people:
        for name in set(NAMES) - {person.name}:
            wait_until(partial(_in_sync, person, name), f"{person.name} and {name}")
    return people


def _in_sync(person: HostPerson, name: str) -> bool:
    return bool(person.peer(name)["state"] == "in-sync")


def _say(person: HostPerson, *texts: str) -> None:
    person.ask("sendMessages", target="general", texts=list(texts))


@pytest.mark.slow
def test_a_pulled_cable_only_delays(hosts: Hosts, three: list[HostPerson]) -> None:
    ann, bob, cai = three
    link = decode_link(ann.ask("createInvite")["link"])
    assert link.addresses == ["10.77.0.1:7700", "127.0.0.1:7700"]
    for person in three:  # each over the others' own addresses
        addresses = {name: person.peer(name)["address"] for name in NAMES if name != person.name}
        assert addresses == {
            name: f"10.77.0.{number}:7700" for number, name in enumerate(NAMES, 1) if name != person.name
        }
    hosts.unplug(cai)
    _say(ann, *(f"ann {n}" for n in range(40)))
    _say(bob, *(f"bob {n}" for n in range(40)))
    _say(cai, *(f"cai {n}" for n in range(40)))
    there = {f"{name} {n}" for name in ("ann", "bob") for n in range(40)}
    alone = {f"cai {n}" for n in range(40)}
    ann.sees(there)
    bob.sees(there)
    cai.sees(alone)
    wait_until(lambda: cai.peer("ann")["state"] != "in-sync", "cai noticing that it is alone")
    assert cai.texts() == sorted(alone, key=lambda text: int(text.split()[1]))  # nothing came through
    hosts.plug(cai)
    for person in three:
        person.sees(there | alone)


@pytest.mark.slow
def test_a_host_with_a_new_address_is_found_again(hosts: Hosts, three: list[HostPerson]) -> None:
    """By one who was there when it moved, and by one whose cable was out."""
    ann, bob, cai = three
    hosts.unplug(cai)
    hosts.move(bob, 22)
    _say(bob, "I have moved")
    _say(cai, "I was away")
    ann.sees({"I have moved"})
    wait_until(lambda: ann.peer("bob")["address"] == "10.77.0.22:7700", "ann knowing the new address")
    hosts.plug(cai)
    for person in three:
        person.sees({"I have moved", "I was away"})
    wait_until(lambda: cai.peer("bob")["address"] == "10.77.0.22:7700", "cai knowing the new address")
    bob.stop()
    _say(ann, "while bob is down")
    bob.up(listen=ANYWHERE)  # from now on it tells the new address itself
    bob.sees({"I have moved", "I was away", "while bob is down"})


def test_what_a_killed_run_left_behind_is_removed(lab: Lab) -> None:
    if why := making.why_not():
        pytest.skip(why)
    dies = "import os; from tests.process.hosts import Hosts; Hosts(None); os._exit(9)"
    with subprocess.Popen([sys.executable, "-c", dies]) as killed:
        assert killed.wait(60) == 9
    left = f"quire-test-{killed.pid}-switch"
    assert left in making.namespaces()
    ours = f"quire-test-{os.getpid()}-switch"
    for _ in making.hosts(lab):
        assert left not in making.namespaces()
        assert ours in making.namespaces()
    assert ours not in making.namespaces()
