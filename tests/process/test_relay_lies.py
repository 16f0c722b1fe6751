"""Relays that lie, as processes of their own: devices say so, go on by another relay or directly, and lose nothing."""

import os
import sys
from pathlib import Path

import pytest

from tests.process.harness import Lab, Person, wait_until
from tests.process.lying_relay import ENOUGH, LIES
from tests.process.relays import Relay, Relays, apart, founder, in_sync, relay_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-m", "tests.process.lying_relay")


def _liar(relays: Relays) -> tuple[Relay, Path]:
    """A relay that lies once the file is there."""
    file = relays.folder / "lie"
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    more = {"QUIRE_TEST_LIE": str(file), "PYTHONPATH": path}
    return relays.relay("liar", more=more, program=PROGRAM), file


def _says(person: Person, texts: list[str]) -> None:
    for text in texts:
        person.ask("sendMessage", target="general", text=text)


def _says_apart(person: Person, texts: list[str]) -> None:
    """Each is a record of its own at the relays."""
    for text in texts:
        _says(person, [text])
        in_sync(person)


def _finds_out(person: Person, relay: Relay) -> None:
    wait_until(lambda: relay_of(person, relay.host)["faults"], f"{person.name} finding it out")
    said = person.cli("status")
    assert relay.host in said
    assert "vouched for" in said


def _have_all_once(people: tuple[Person, ...], texts: list[str]) -> None:
    for person in people:
        person.sees(set(texts))
        assert sorted(person.texts()) == sorted(texts)


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_told_of_and_a_second_relay_carries_everybody_on(lab: Lab, relays: Relays, lie: str) -> None:
    (liar, file), honest = _liar(relays), relays.relay("honest")
    alice, bob = apart(lab, liar.address, honest.address)
    before = [f"before {n}" for n in range(ENOUGH)]
    _says_apart(alice, before)
    for person in (alice, bob):
        person.sees(set(before))
        in_sync(person)
    file.write_text(lie)
    liar.kill()  # whoever is connected comes back, and compares
    liar.up()
    for person in (alice, bob):
        _finds_out(person, liar)
    after = [f"after {n}" for n in range(ENOUGH)]
    _says(alice, after[::2])
    _says(bob, after[1::2])
    _have_all_once((alice, bob), before + after)
    for person in (alice, bob):
        assert relay_of(person, honest.host)["faults"] == []
        wait_until(lambda one=person: relay_of(one, honest.host)["state"] == "in-sync", "the honest one")  # type: ignore[misc]
    link = alice.ask("createInvite")["link"]
    wait_until(lambda: relay_of(alice, honest.host)["state"] == "in-sync", "the welcome being there")
    alice.stop()
    bob.stop()
    carol = lab.person("carol")
    carol.ask("joinSpace", link=link, name="carol")
    carol.up()
    _have_all_once((carol,), before + after)


def test_a_lie_is_told_of_and_those_who_meet_go_on_directly(lab: Lab, relays: Relays) -> None:
    liar, file = _liar(relays)
    alice = founder(lab, "alice", liar.address)
    alice.up()
    bob = lab.person("bob")
    bob.ask("joinSpace", link=alice.ask("createInvite")["link"], name="bob")
    bob.up()
    bob.comes_in()
    before = [f"before {n}" for n in range(ENOUGH)]
    _says_apart(alice, before)
    for person in (alice, bob):
        person.sees(set(before))
        in_sync(person)
    file.write_text("roll_back")
    liar.kill()
    liar.up()
    for person in (alice, bob):
        _finds_out(person, liar)
    liar.kill()
    after = [f"after {n}" for n in range(ENOUGH)]
    _says(alice, after[::2])
    _says(bob, after[1::2])
    _have_all_once((alice, bob), before + after)
