import pytest

from quire.core.certificate import certify, transition
from quire.core.phrase import entropy_of, root_key
from quire.errors import Refused
from quire.handlers import identity
from tests.handlers.devices import (
    LONG,
    Town,
    ask,
    counts,
    force,
    graph,
    heads,
    key,
    knows,
    member,
    spaces,
    texts,
)
from tests.handlers.test_recovering import joined, phrase, recover


def test_peers_lose_nothing_when_a_root_gives_way(town: Town) -> None:
    bob, phone = town.friend("bob"), town.linked()
    town.says(town.ann, "before")
    old, before = phrase(town.ann), ask(bob, "listMembers")
    new = ask(town.ann, "rotateIdentity")["phrase"]
    assert new == phrase(town.ann) != old
    town.says(town.ann, "after")
    town.says(phone, "and from the phone")
    for text in ("before", "after", "and from the phone"):
        town.seen(text, bob, town.ann, phone)
    assert ask(bob, "listMembers") == before
    senders = {one["sender"] for one in ask(bob, "getMessages", target="general")}
    assert senders == {member(town.ann).account_id}


def test_only_the_new_phrase_recovers(town: Town) -> None:
    bob = town.friend("bob")
    old = phrase(town.ann)
    new = ask(town.ann, "rotateIdentity")["phrase"]
    town.run(LONG)
    link = ask(bob, "createInvite", uses=2)["link"]
    stale = recover(town, old, link, "stale")
    town.until(lambda: "newer one" in joined(stale))
    fresh = recover(town, new, link, "fresh")
    town.until(lambda: len(ask(fresh, "listMembers")) == 2)
    town.says(fresh, "by the new root")
    town.seen("by the new root", bob, town.ann)
    assert ask(fresh, "listIdentities")[0]["pubkey"] == member(town.ann).account_id


def test_a_recovered_device_joins_further_spaces_as_the_same_person(town: Town) -> None:
    """Where the old root alone was ever known, its certificate for the new one leads to the device."""
    bob = town.friend("bob")
    ask(town.ann, "rotateIdentity")
    newest = ask(town.ann, "rotateIdentity")["phrase"]
    town.run(LONG)
    town.ann.down()
    fresh = recover(town, newest, ask(bob, "createInvite")["link"])
    town.until(lambda: len(ask(fresh, "listMembers")) == 2)
    ask(bob, "createSpace", name="roof")
    ask(fresh, "joinSpace", link=ask(bob, "createInvite", "roof")["link"], name="ann")
    town.until(lambda: len(ask(bob, "listMembers", "roof")) == 2)
    ann = member(town.ann).account_id
    assert {one["pubkey"] for one in ask(bob, "listMembers", "roof")} == {ann, member(bob).account_id}
    ask(fresh, "createSpace", name="own")
    # There too the newest root is the one that counts.
    root = root_key(entropy_of(newest)).text
    for space in ("roof", "own"):
        town.until(lambda at=space: graph(fresh, at).ledger.root(ann, graph(fresh, at).valid) == root)
    assert texts(fresh, "own") == []


def test_spaces_joined_later_hear_of_it(town: Town) -> None:
    phone = town.linked()
    ask(town.ann, "rotateIdentity")
    town.run(LONG)
    ask(phone, "createSpace", name="roof")
    town.until(lambda: "roof" in spaces(town.ann))
    root = root_key(entropy_of(phrase(town.ann))).text
    mine = member(town.ann).account_id
    town.until(lambda: graph(phone, "roof").ledger.root(mine, graph(phone, "roof").valid) == root)


def test_an_identity_without_a_space_can_do_it_too(town: Town) -> None:
    loner = town.station("loner")
    ask(loner, "createIdentity", name="loner")
    ask(loner, "rotateIdentity")
    ask(loner, "createSpace", name="hut")
    loner.up()
    root = root_key(entropy_of(phrase(loner))).text
    mine = member(loner, "hut").account_id
    town.until(lambda: graph(loner, "hut").ledger.root(mine, graph(loner, "hut").valid) == root)


def test_both_keys_have_to_sign(town: Town) -> None:
    bob = town.friend("bob")
    old, new = root_key(entropy_of(phrase(town.ann))), key("new root")
    by_old, by_new = transition(old, new)
    link = certify(old, member(town.ann).account_id, new.text, identity.wrap_text(new))
    body = {"old": old.text, "root": new.text, "certificate": link}
    forged = [
        {**body, "sig_old": by_new, "sig_new": by_new},
        {**body, "sig_old": by_old, "sig_new": by_old},
        {**body, "sig_old": by_old, "sig_new": by_new, "root": key("another").text},
    ]
    events = [force(town.ann, "rotation", {**one, "after": heads(town.ann)}) for one in forged]
    # Bob cannot say it for ann, whatever was signed.
    events.append(force(bob, "rotation", {**body, "sig_old": by_old, "sig_new": by_new, "after": heads(bob)}))
    town.until(lambda: all(knows(bob, one)() and knows(town.ann, one)() for one in events))
    assert not any(counts(station, one) for one in events for station in (bob, town.ann))


def test_a_linked_device_has_no_root_to_change(town: Town) -> None:
    phone = town.linked()
    for operation in ("rotateIdentity", "showPhrase"):
        with pytest.raises(Refused, match="another one"):
            ask(phone, operation)
    with pytest.raises(Refused, match="another one"):
        ask(phone, "exportIdentity", passphrase="correct horse battery")
