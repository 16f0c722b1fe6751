import pytest

from quire.api import status
from quire.api.host import PeerStatus
from quire.store.memberships import Membership
from tests.api.hosts import NOW, FakeHost
from tests.events.builders import Author, Space, give


def member(host: FakeHost) -> Membership:
    return host.home.store.memberships.all()[0]


def space(host: FakeHost) -> dict:
    return host.ask("getStatus")["identities"][0]["spaces"][0]


def test_an_empty_home(empty: FakeHost) -> None:
    assert empty.ask("getStatus")["identities"] == []
    assert empty.ask("getStatus")["running"] is False


def test_what_is_held_and_with_whom(host: FakeHost) -> None:
    host.own = ("127.0.0.1:4000",)
    host.sessions = [PeerStatus(pubkey=member(host).account_id, state="in-sync", held=3, theirs=3)]
    host.ask("sendMessage", target="general", text="x")
    told = host.ask("getStatus")
    assert told["running"] is True
    assert told["addresses"] == ["127.0.0.1:4000"]
    assert told["search_backlog"] == 1
    assert (space(host)["held"], space(host)["valid"]) == (3, 3)
    assert space(host)["peers"][0]["state"] == "in-sync"
    assert space(host)["peers"][0]["name"] == "alice"


def test_what_waits_and_why(host: FakeHost) -> None:
    here = member(host)
    waiting = host.home.store.waiting
    waiting.block(here.account, here.space, [("peer X", 1), ("peer Y", 2), ("time", 3), ("vouch Z", 4)])
    reasons = {w["reason"]: w["count"] for w in space(host)["blocked"]}
    assert reasons == {
        "unknown-peer: its author has not been introduced here yet": 2,
        "unsigned, waiting for its signed successor": 1,
        "clock too far ahead: held until its time comes": 1,
    }


def test_what_was_rejected_from_whom_and_why(host: FakeHost) -> None:
    here = member(host)
    host.home.store.rejections.count(here.account, here.account_id, "bad-signature", NOW, 2)
    host.home.store.rejections.count(here.account, "stranger", "odd-slug", NOW + 1)
    first, second = host.ask("getStatus")["identities"][0]["rejected"]
    assert (first["source"], first["meaning"], first["count"]) == ("stranger", "odd-slug", 1)
    assert (second["source_name"], second["reason"], second["count"]) == ("alice", "bad-signature", 2)
    assert second["meaning"] == status.REJECTED_REASONS["bad-signature"]


def author_in(there: Membership, name: str) -> Author:
    space = Space()
    space.raw_id, space.id = there.raw_space_id, there.space_id
    space.key = there.epochs[there.current_epoch][0]
    return Author(space, name)


def test_forks_are_named_up_to_a_bound_to_those_who_hold_the_proof(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "MAX_FORKS_SHOWN", 2)
    host.ask("joinSpace", link=host.ask("createInvite")["link"], name="bob")
    alice, bob = host.home.store.memberships.all()
    mallory = author_in(alice, "mallory")
    made = [mallory.introduce()]
    for place in range(3):
        twin = mallory.draft("message", {"body": f"twin {place}", "channel": "general"})
        made += [mallory.space.made(mallory.signed(twin)), mallory.say(f"told {place}")]
    give(host.home, alice, *made)
    give(host.home, bob, *made[::2])
    told = [identity["spaces"][0]["forks"] for identity in host.ask("getStatus")["identities"]]
    assert told == [
        [{"device": mallory.id, "device_name": "mallory", "seq": seq} for seq in (2, 3)],
        [],
    ]
