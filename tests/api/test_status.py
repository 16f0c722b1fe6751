from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from quire.api import status
from quire.api.host import PeerStatus
from quire.core import event as core_event
from quire.core.encoding import to_text
from quire.core.sealing import seal
from quire.core.summary import FINE
from quire.errors import HomeError
from quire.events.append import make_event
from quire.events.ingest import ingest
from quire.handlers import REGISTRY, joining
from quire.handlers.admit_letter import REFUSAL, WAIT
from quire.store.memberships import Membership
from tests.api.hosts import NOW, FakeHost, give_all, let_in
from tests.events.builders import full_disk


def member(host: FakeHost) -> Membership:
    return host.home.store.memberships.all()[0]


def space(host: FakeHost) -> Any:
    return host.ask("getStatus")["identities"][0]["spaces"][0]


def test_an_empty_home(empty: FakeHost) -> None:
    assert empty.ask("getStatus")["identities"] == []
    assert empty.ask("getStatus")["running"] is False


def test_what_is_held_and_with_whom(host: FakeHost) -> None:
    host.own = ("127.0.0.1:4000",)
    host.sessions = [PeerStatus(device=member(host).device, state="in-sync", held=3, theirs=3)]
    host.ask("sendMessage", target="general", text="x")
    told = host.ask("getStatus")
    assert told["running"] is True
    assert told["addresses"] == ["127.0.0.1:4000"]
    assert told["search_backlog"] == 1
    assert (space(host)["held"], space(host)["valid"]) == (4, 4)
    assert space(host)["peers"][0]["state"] == "in-sync"
    assert space(host)["peers"][0]["name"] == "alice"


def test_a_full_disk_does_not_keep_it_from_being_told(host: FakeHost) -> None:
    before = space(host)["held"]
    for _ in range(300):  # so far apart that each is summed up by itself
        host.time += 1 << FINE
        host.ask("sendMessage", target="general", text="x")
    db, here = host.home.store.db, host.home.store.index(member(host).account, member(host).space)
    with full_disk(db):
        with pytest.raises(HomeError, match="disk is full"):
            here.whole()
        assert here.count() == space(host)["held"] == before + 300
    assert here.whole().count == before + 300


#: Who was removed is told no more than a stranger while an invite is open: the words have to be true of both.
OURS = "is no member's device here (not yet, or no longer)"
THEIRS = "does not take this device for a member's (not yet, or no longer)"


@pytest.mark.parametrize(
    ("session", "words"),
    [
        (PeerStatus(device=""), ""),
        (PeerStatus(device="", restricted=True), OURS),
        (PeerStatus(device="", refused="not-admitted"), THEIRS),
        (PeerStatus(device="", refused="removed"), "says that this device was removed from the space"),
        (
            PeerStatus(device="", restricted=True, refused="not-admitted"),
            f"{OURS} and {THEIRS}",
        ),
    ],
)
def test_how_two_devices_stand_is_told_in_words(host: FakeHost, session: PeerStatus, words: str) -> None:
    host.sessions = [session]
    assert space(host)["peers"][0]["standing"] == words


def test_what_waits_and_why(host: FakeHost) -> None:
    here = member(host)
    waiting = host.home.store.waiting
    waiting.block(
        here.account,
        here.space,
        [("device X", 1), ("device Y", 2), ("time", 3), ("vouch Z", 4), ("graph W", 5)],
    )
    reasons = {w["reason"]: w["count"] for w in space(host)["blocked"]}
    assert reasons == {
        "unknown-device: its author is not known here as a member's device yet": 2,
        "builds on a change of membership that has not come yet": 1,
        "unsigned, waiting for its signed successor": 1,
        "clock too far ahead: held until its time comes": 1,
    }


def test_what_was_rejected_from_whom_and_why(host: FakeHost) -> None:
    here = member(host)
    host.home.store.rejections.count(here.account, here.device, "bad-signature", NOW, 2)
    host.home.store.rejections.count(here.account, "stranger", "odd-slug", NOW + 1)
    first, second = host.ask("getStatus")["identities"][0]["rejected"]
    assert (first["source"], first["meaning"], first["count"]) == ("stranger", "odd-slug", 1)
    assert (second["source_name"], second["reason"], second["count"]) == ("alice", "bad-signature", 2)
    assert second["meaning"] == status.REJECTED_REASONS["bad-signature"]


def twin(mallory: FakeHost, seq: int) -> bytes:
    """Another event at a place of the log, as one may write who changed the program."""
    ctx = mallory.context()
    member = ctx.member
    body = {"body": f"twin at {seq}", "channel": "general"}
    before = to_text(sha256(b"another past").digest())
    event = make_event(REGISTRY.get("message"), mallory.now(), member.device, seq, before, body)
    core_event.sign(event, member.raw_space_id, member.device_key)
    key, context = member.epochs[member.content]
    blob = seal(key, mallory.home.entropy(24), core_event.encode(event), context)
    return mallory.home.store.names.key_id(member.content) + blob


def test_forks_are_named_up_to_a_bound_to_those_who_hold_the_proof(
    host: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "MAX_FORKS_SHOWN", 2)
    mallory = FakeHost(tmp_path / "mallory")
    let_in(host, mallory, "mallory")
    host.ask("joinSpace", link=host.ask("createInvite")["link"], name="bob")
    for text in ("one", "two", "three"):
        mallory.ask("sendMessage", target="general", text=text)
    give_all(mallory, host)
    alice = member(host)
    ingest(host.home, alice, [twin(mallory, seq) for seq in (2, 3, 4)], "a peer", host.now())
    device = mallory.context().member.device
    told = [identity["spaces"][0]["forks"] for identity in host.ask("getStatus")["identities"]]
    assert told == [
        [{"device": device, "device_name": "mallory", "seq": seq, "own": False} for seq in (2, 3)],
        [],
    ]
    ingest(mallory.home, member(mallory), [twin(mallory, 2)], "a peer", mallory.now())
    assert [fork["own"] for fork in space(mallory)["forks"]] == [True], "a copy of its home was used"
    mallory.home.close()


def test_who_waits_to_be_let_in_is_told_and_why_not(host: FakeHost, tmp_path: Path) -> None:
    bob = FakeHost(tmp_path / "bob")
    bob.ask("joinSpace", link=host.ask("createInvite")["link"], name="bob")
    assert space(bob)["joining"] == "waiting for a member to let you in"
    ctx = bob.context()
    joining.answer(ctx, "", WAIT)
    assert space(bob)["joining"] == "waiting for a member to let you in: a member has been asked"
    assert space(bob)["refused"] == ""
    joining.answer(ctx, "", REFUSAL + b"invite-expired")
    assert space(bob)["joining"] == "not let in: the invite has expired"
    assert space(bob)["refused"] == "invite-expired"
    assert (space(host)["joining"], space(host)["refused"], space(host)["locked"]) == ("", "", 0)
    bob.home.close()


def test_what_is_locked_is_counted(host: FakeHost, tmp_path: Path) -> None:
    bob = FakeHost(tmp_path / "bob")
    let_in(host, bob, "bob")
    host.ask("removeMember", name="bob")
    host.ask("sendMessage", target="general", text="without bob")
    give_all(host, bob)
    assert space(bob)["locked"] > 0
    assert bob.ask("getMessages", target="general") == []
    bob.home.close()
