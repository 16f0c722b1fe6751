from quire.api import status
from quire.api.host import PeerStatus
from quire.store.memberships import Membership
from tests.api.hosts import NOW, FakeHost


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


def test_forks_are_named_up_to_a_bound(host: FakeHost) -> None:
    here = member(host)
    device = host.home.store.names.device_number(here.space, here.account_id)
    db = host.home.store.db
    db.executemany(
        "INSERT INTO forks VALUES (?, ?)", [(device, n) for n in range(status.MAX_FORKS_SHOWN + 5)]
    )
    forks = space(host)["forks"]
    assert forks[0] == {"device": here.account_id, "device_name": "alice", "seq": 0}
    assert len(forks) == status.MAX_FORKS_SHOWN
