"""One person with several devices, in separate processes: linked, revoked, recovered, and with a new root."""

from typing import Any

import pytest

from tests.process.harness import Lab, Person, run_quire, wait_until


def pairing(person: Person) -> dict[str, Any]:
    return dict(person.ask("getPairing"))


def place(person: Person) -> str:
    """How joining or recovering stands, as `quire status` tells."""
    return str(person.ask("getStatus")["identities"][0]["spaces"][0]["joining"])


def recover(person: Person, words: str, link: str) -> None:
    variables = {**person.environment, "QUIRE_PHRASE": words}
    command = ["--home", str(person.home), "identity", "recover", link, "--phrase", "--name", "ann"]
    done = run_quire(command, variables)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_link_revoke_recover_and_rotate(lab: Lab) -> None:
    ann = lab.founder("ann")
    ann.up()
    bob = lab.guest("bob", ann)
    bob.up()
    ann.cli("send", "general", "before the phone")
    bob.sees({"before the phone"})

    phone = lab.person("phone")
    phone.up()
    link = ann.json("device", "link")["link"]
    phone.cli("device", "join", link, "--name", "phone", "--no-wait")
    wait_until(lambda: {pairing(one)["state"] for one in (ann, phone)} == {"compare"}, "both showing digits")
    code = pairing(ann)["code"]
    assert pairing(phone)["code"] == code
    assert code in phone.cli("device", "pairing")
    ann.cli("device", "confirm", code)
    wait_until(
        lambda: phone.ask("listIdentities") and phone.ask("listSpaces"), "the phone being in the space"
    )
    phone.sees({"before the phone"})
    phone.cli("send", "general", "from the phone")
    for person in (ann, bob, phone):
        person.sees({"before the phone", "from the phone"})
    senders = {one["sender_name"] for one in bob.ask("getMessages", target="general")}
    assert senders == {"ann"}
    assert [one["devices"] for one in bob.ask("listMembers")] == [2, 1]

    ann.cli("device", "revoke", "phone")
    assert "revoked" in ann.cli("device", "list")
    wait_until(lambda: "revoked" in phone.cli("status"), "the phone saying that it was revoked")
    assert "revoked" in phone.cli("send", "general", "too late", code=2)
    ann.cli("send", "general", "without the phone")
    bob.sees({"before the phone", "from the phone", "without the phone"})

    old = ann.json("identity", "phrase")["phrase"]
    invite = bob.cli("invite").strip()
    laptop = lab.person("laptop")
    recover(laptop, old, invite)
    laptop.up()
    everything = {"before the phone", "from the phone", "without the phone"}
    wait_until(lambda: len(laptop.ask("listMembers")) == 2, "the laptop being in the space")
    laptop.sees(everything)
    laptop.cli("send", "general", "recovered")
    bob.sees({*everything, "recovered"})
    assert "too late" not in bob.texts()

    new = ann.json("identity", "rotate")["phrase"]
    assert new != old
    wait_until(lambda: bob.peer("ann")["state"] == "in-sync", "bob in sync with ann")
    late = lab.person("late")
    recover(late, old, invite)
    late.up()
    wait_until(lambda: "newer one" in place(late), "the old phrase being refused")
    recover(late, new, invite)
    wait_until(lambda: len(late.ask("listMembers")) == 2, "the new phrase being taken")
    late.sees({*everything, "recovered"})
    assert [one["name"] for one in bob.ask("listMembers")] == ["ann", "bob"]
