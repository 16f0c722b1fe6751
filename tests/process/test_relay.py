"""People who are never online together, and a relay between them: real processes on real sockets."""

import pytest

from tests.process.harness import Lab, wait_until
from tests.process.relays import (
    APART,
    Relays,
    alone,
    apart,
    founder,
    in_sync,
    relay_of,
)
from tests.relay.cluster import Cluster

#: For what takes many processes many seconds on a busy machine.
LONG = 600


@pytest.mark.slow
def test_two_who_are_never_up_together_hold_the_same(lab: Lab, relays: Relays) -> None:
    relay = relays.relay()
    alice = founder(lab, "alice", relay.address)
    alice.up()
    link = alice.ask("createInvite")["link"]
    alice.ask("sendMessage", target="general", text="from alice")
    in_sync(alice)
    alice.stop()
    bob = lab.person("bob")
    bob.cli("join", link, "--name", "bob")
    bob.up()
    bob.sees({"from alice"})
    bob.ask("sendMessage", target="general", text="from bob")
    in_sync(bob)
    bob.stop()
    alone(alice, {"from alice", "from bob"})
    alone(bob, {"from alice", "from bob"})  # let in by now
    assert [one["name"] for one in alice.ask("listMembers")] == ["alice", "bob"]
    assert alice.json("messages", "general") == bob.json("messages", "general")


@pytest.mark.slow
def test_who_adds_a_relay_is_told_whether_it_answers_and_who_joins_by_it_that_nobody_was_there(
    lab: Lab, relays: Relays
) -> None:
    relay = relays.relay()
    alice = lab.founder("alice", "orchard")
    alice.up()
    assert "It answers." in alice.cli("relay", "add", relay.address)
    nobody = relay.address.replace(relay.host, "127.0.0.1:1")
    assert "It does not answer yet: nothing listens there." in alice.cli("relay", "add", nobody)
    assert f"found at {nobody} until now" in alice.cli("relay", "add", relay.address)
    link = alice.cli("invite").strip()
    in_sync(alice)
    alice.stop()
    bob = lab.person("bob")
    bob.up()
    assert "as soon as a member is online" in bob.cli("join", link, "--name", "bob")
    assert "unconfirmed: no member was online" in bob.cli("status")
    alice.up(listen=APART)
    wait_until(lambda: "unconfirmed" not in bob.cli("status"), "bob being let in")


def _each_in_turn(lab: Lab, address: str) -> None:
    """Two who are never online together, and a newcomer with an invite who comes while both sleep."""
    alice = founder(lab, "alice", address)
    alice.up()
    link = alice.cli("invite", "--uses", "2").strip()
    alice.cli("send", "general", "from alice")
    in_sync(alice)
    alice.stop()
    bob = lab.person("bob")
    bob.cli("join", link, "--name", "bob")
    bob.up()
    bob.sees({"from alice"})
    bob.cli("send", "general", "from bob")
    in_sync(bob)
    bob.stop()
    both = {"from alice", "from bob"}
    alone(alice, both)
    carol = lab.person("carol")
    carol.cli("join", link, "--name", "carol")
    carol.up()
    carol.sees(both)
    carol.cli("send", "general", "from carol")
    in_sync(carol)
    carol.stop()
    for person in (alice, bob, carol, alice, bob, carol):
        alone(person, {*both, "from carol"})
    assert sorted(one["name"] for one in alice.ask("listMembers")) == ["alice", "bob", "carol"]
    listed = [one.json("messages", "general") for one in (alice, bob, carol)]
    assert listed[0] == listed[1] == listed[2]


@pytest.mark.slow
@pytest.mark.timeout(LONG)
def test_people_and_a_newcomer_each_in_turn(lab: Lab, relays: Relays) -> None:
    _each_in_turn(lab, relays.relay().address)


@pytest.mark.slow
@pytest.mark.timeout(LONG)
def test_people_and_a_newcomer_each_in_turn_through_a_cluster(
    lab: Lab, cluster: Cluster, relays: Relays
) -> None:
    processes = relays.processes(cluster.url)
    front = relays.front(processes)
    _each_in_turn(lab, front.address)
    assert min(front.given) > 0


@pytest.mark.slow
@pytest.mark.timeout(LONG)
def test_two_write_at_once_through_two_processes_of_one_relay(
    lab: Lab, cluster: Cluster, relays: Relays
) -> None:
    processes = relays.processes(cluster.url)
    front = relays.front(processes)
    alice, bob = apart(lab, front.address)
    wait_until(lambda: min(front.given) > 0, "each process having a connection")
    texts = set()
    for number in range(30):
        for person in (alice, bob):
            text = f"{person.name} {number}"
            person.ask("sendMessage", target="general", text=text)
            texts.add(text)
    for person in (alice, bob):
        person.sees(texts)
        in_sync(person)
        assert relay_of(person, front.host)["faults"] == []


@pytest.mark.slow
def test_a_node_serves_as_a_relay_for_two_who_never_meet(lab: Lab, relays: Relays) -> None:
    mirror = lab.founder("mirror", "elsewhere")
    node = mirror.up("--mirror", "--mirror-listen", "127.0.0.1:0")
    alice, bob = apart(lab, node.relay)
    alice.ask("sendMessage", target="general", text="through a neighbour")
    bob.sees({"through a neighbour"})
    bob.stop()
    alice.stop()
    mirror.stop()
    again = mirror.up("--mirror", "--mirror-listen", "127.0.0.1:0")
    assert again.relay == node.relay, "whoever uses it does not find it again"
    bob.ask("sendMessage", target="general", text="and back")
    alone(bob, {"through a neighbour", "and back"}, APART)
    alone(alice, {"through a neighbour", "and back"})


@pytest.mark.slow
@pytest.mark.timeout(LONG)
def test_one_of_two_relays_is_down_for_good(lab: Lab, relays: Relays) -> None:
    first, second = relays.relay("first"), relays.relay("second")
    alice, bob = apart(lab, first.address, second.address)
    alice.ask("sendMessage", target="general", text="both are up")
    bob.sees({"both are up"})
    first.kill()
    wait_until(
        lambda: relay_of(alice, first.host)["trouble"] == "nothing listens there", "alice missing the relay"
    )
    alice.ask("sendMessage", target="general", text="one is gone")
    bob.sees({"both are up", "one is gone"})
    wait_until(
        lambda: f"relay {second.host}: in-sync" in alice.cli("status"), "alice in sync with the second"
    )
    assert f"relay {first.host}: unreachable" in alice.cli("status")
    link = bob.ask("createInvite")["link"]
    in_second = {"both are up", "one is gone", "bob alone"}
    bob.ask("sendMessage", target="general", text="bob alone")
    wait_until(lambda: relay_of(bob, second.host)["state"] == "in-sync", "bob in sync with the second")
    alice.stop()
    bob.stop()
    carol = lab.person("carol")
    carol.ask("joinSpace", link=link, name="carol")
    carol.up()
    carol.sees(in_second)
    carol.stop()
    assert first.host in alice.cli("relay", "list")
    alice.cli("relay", "remove", first.host)
    assert first.host not in alice.cli("relay", "list")
    alone(alice, in_second)
    bob.up(listen=APART)
    wait_until(lambda: first.host not in bob.cli("relay", "list"), "bob hearing that it is not used any more")
    in_sync(bob)


@pytest.mark.slow
@pytest.mark.timeout(LONG)
def test_devices_of_one_identity_find_each_others_spaces(lab: Lab, relays: Relays) -> None:
    relay = relays.relay()
    alice = founder(lab, "alice", relay.address)
    alice.up()
    phone = lab.person("phone")
    phone.up()
    phone.cli("device", "join", alice.json("device", "link")["link"], "--name", "phone", "--no-wait")
    wait_until(lambda: alice.ask("getPairing")["code"] and phone.ask("getPairing")["code"], "the digits")
    alice.cli("device", "confirm", alice.ask("getPairing")["code"])
    wait_until(lambda: phone.ask("listIdentities") and phone.ask("listSpaces"), "the phone being in")
    wait_until(lambda: phone.ask("listRelays"), "the phone knowing the relay")
    in_sync(phone)
    phone.stop()
    alice.cli("space", "create", "orchard")
    alice.cli("--space", "orchard", "relay", "add", relay.address)
    alice.cli("--space", "orchard", "send", "general", "while the phone sleeps")
    in_sync(alice)
    alice.stop()

    def has_both() -> bool:
        return len(phone.ask("listSpaces")) == 2

    for _ in range(4):  # what one lacks, what the other hands on
        for person in (phone, alice):
            person.up()
            in_sync(person)
            person.stop()
        if has_both():
            break
    assert has_both()
    phone.up()
    wait_until(
        lambda: "while the phone sleeps" in phone.cli("--space", "orchard", "messages", "general"),
        "the phone reading the second space",
    )
