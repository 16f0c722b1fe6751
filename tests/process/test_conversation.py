"""Conversations between separate processes over loopback UDP."""

from pathlib import Path

import pytest

from tests.process.harness import Lab, Person, run_quire, wait_until

LARGE = "ø" * 15_990  # 32 kB of UTF-8, twice what the text of an ASCII message can have


def test_two_homes_talk_one_goes_away_and_both_end_with_the_same_messages(lab: Lab) -> None:
    alice, bob = lab.person("alice"), lab.person("bob")
    alice.cli("identity", "create", "alice")
    alice.cli("space", "create", "club")
    alice.up()
    link = alice.cli("invite").strip()
    assert "\n" not in link
    bob.cli("join", link, "--name", "bob")
    alice.cli("send", "general", "hello", "from", "alice")
    bob.up()
    bob.sees({"hello from alice"})
    bob.cli("send", "#general", "hi from bob")
    alice.sees({"hello from alice", "hi from bob"})
    alice.cli("send", "@bob", "for bob alone")
    bob.sees({"for bob alone"}, "@alice")

    bob.stop()
    alice.cli("send", "general", "while bob is away")
    bob.cli("send", "general", "written offline")  # no node: the command writes the home itself
    assert "for bob alone" in bob.cli("messages", "@alice")
    bob.up()
    everything = {"hello from alice", "hi from bob", "while bob is away", "written offline"}
    alice.sees(everything)
    bob.sees(everything)
    assert alice.json("messages", "general") == bob.json("messages", "general")
    found = wait_until(lambda: alice.json("search", "offline"), "the search index catching up")
    assert [message["body_text"] for message in found] == ["written offline"]
    assert wait_until(lambda: alice.peer("bob")["state"] == "in-sync", "alice in sync with bob")


def test_the_other_side_may_go_away_too(lab: Lab) -> None:
    alice = lab.founder("alice")
    alice.up()
    bob = lab.guest("bob", alice)
    bob.up()
    bob.ask("sendMessage", target="general", text="first")
    alice.sees({"first"})
    alice.stop()
    bob.ask("sendMessage", target="general", text="second")
    alice.ask("sendMessage", target="general", text="third")
    alice.up()  # on the port of its last run, so that bob finds it
    alice.sees({"first", "second", "third"})
    bob.sees({"first", "second", "third"})


@pytest.mark.slow
def test_whoever_joined_by_a_link_meets_the_others_and_talks_on_without_the_inviter(lab: Lab) -> None:
    alice = lab.founder("alice")
    alice.up()
    bob, carol = lab.guest("bob", alice), lab.guest("carol", alice)
    bob.up()
    bob.ask("sendMessage", target="general", text="bob is here")
    alice.sees({"bob is here"})
    carol.up()
    carol.sees({"bob is here"})
    wait_until(lambda: carol.peer("bob")["state"] == "in-sync", "carol meeting bob")
    alice.stop()
    carol.ask("sendMessage", target="general", text="are you there?")
    bob.sees({"bob is here", "are you there?"})
    bob.ask("sendMessage", target="@carol", text="yes")
    carol.sees({"yes"}, "@bob")
    carol.stop()
    bob.stop()
    bob.ask("sendMessage", target="general", text="later")
    bob.up()
    carol.up()  # still without alice
    carol.sees({"bob is here", "are you there?", "later"})


@pytest.mark.slow
def test_many_identities_share_a_node_and_keep_apart(lab: Lab) -> None:
    home, bob = lab.person("home"), lab.person("bob")
    names = [f"member {number}" for number in range(5)]
    for name in names:
        home.ask("createIdentity", name=name)
    home.ask("createSpace", names[0], name="club")
    home.ask("createIdentity", name="outsider")
    home.ask("createSpace", "outsider", name="elsewhere")
    home.up()
    for name in names[1:]:
        home.ask("joinSpace", link=home.ask("createInvite", names[0])["link"], name=name)
    bob.ask("joinSpace", link=home.ask("createInvite", names[2])["link"], name="bob")
    bob.up()
    bob.comes_in()
    home.ask("sendMessage", names[4], target="general", text="from the fifth")
    home.ask("sendMessage", "outsider", target="general", text="nobody else's business")
    bob.ask("sendMessage", target="general", text="from outside")
    for name in names:
        home.sees({"from the fifth", "from outside"}, identity=name)
    bob.sees({"from the fifth", "from outside"})
    home.sees({"nobody else's business"}, identity="outsider")
    wait_until(lambda: bob.peer(names[2])["state"] == "in-sync", "bob in sync with who invited him")


def test_messages_larger_than_many_datagrams_arrive(lab: Lab) -> None:
    alice = lab.founder("alice")
    alice.up()
    bob = lab.guest("bob", alice)
    bob.up()
    texts = {f"{number}{letter}" for number, letter in enumerate((LARGE, LARGE[1:], "\x01" * 9_800))}
    for text in sorted(texts):  # control characters are six bytes each: nearly 60 kB of event
        alice.ask("sendMessage", target="general", text=text)
    bob.ask("sendMessages", target="general", texts=["short", "0" * 15_999])
    everything = texts | {"short", "0" * 15_999}
    bob.sees(everything)
    alice.sees(everything)


def test_the_homes_folder_is_chosen_by_option_then_environment(lab: Lab) -> None:
    one, other = lab.person("one"), lab.person("other")
    variables = one.environment | {"QUIRE_HOME": str(one.home)}
    assert run_quire(["identity", "create", "in one"], variables).returncode == 0
    assert run_quire(["--home", str(other.home), "identity", "create", "in other"], variables).returncode == 0
    assert run_quire(["identity", "create", "--home", str(other.home), "again"], variables).returncode == 0
    assert _names(one) == ["in one"]
    assert _names(other) == ["in other", "again"]
    assert run_quire(["identity", "create", "default"], one.environment).returncode == 0
    default = [path.parent for path in Path(one.environment["HOME"]).rglob("quire.db")]
    assert len(default) == 3


def _names(person: Person) -> list[str]:
    return [identity["name"] for identity in person.ask("listIdentities")]


@pytest.mark.slow
def test_a_node_that_serves_ipv6_and_one_on_every_address(lab: Lab) -> None:
    alice = lab.founder("alice")
    alice.up("--api", "[::1]:0", listen="[::]:0")
    bob = lab.guest("bob", alice, listen="[::1]:0")
    bob.up(listen="[::1]:0")
    bob.cli("send", "general", "over IPv6")
    alice.sees({"over IPv6"})
    assert "over IPv6" in alice.cli("messages", "general")
