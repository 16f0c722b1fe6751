"""Spaces where newcomers do not get what was written before: who is given which key, and what is compared."""

from collections.abc import Iterator

import msgspec
import pytest

from quire.core.keys import DeviceKey
from quire.core.sealing import blob_context, open_blob, seal
from quire.core.ticket import decode_link
from quire.errors import BadEvent
from quire.events import history
from quire.events.ingest import ingest
from quire.events.rebuild import rebuild
from quire.events.verify import verify
from quire.graph.state import current_key, holders
from quire.handlers import (
    admit,
    admit_letter,
    invite,
    joining,
    key,
    key_share,
    outgoing,
    request,
    role,
    sync_peers,
)
from quire.handlers.space import HISTORY_ALL
from quire.limits import HEAL_MS, MAX_SESSIONS
from quire.store.buckets import recount
from quire.store.memberships import Membership
from quire.sync.index import END, FINE, START
from tests.events.builders import Author, Space, add_holder, digest, give, make_home, undone
from tests.handlers.network import Network


@pytest.fixture
def net() -> Iterator[Network]:
    network = Network()
    network.found("alice", history="from-join")
    yield network
    network.home.close()


def _closed(net: Network, name: str, to: str) -> frozenset[int]:
    member = net.member(name)
    return history.closed_to(net.home, member.account, member.space, net.member(to).device)


def _index(net: Network, name: str, to: str) -> list[tuple[int, bytes]]:
    member = net.member(name)
    index = history.index_for(net.home, member.account, member.space, net.member(to).device)
    page = index.page(START, END, 10_000)
    assert index.whole() == (len(page), sum(int.from_bytes(raw, "big") for _, raw in page) % 2**256)
    assert len(index.blobs([raw for _, raw in page])) == len(page)
    small: list[tuple[int, bytes]] = []
    while part := index.page((small[-1][0], small[-1][1] + b"\0") if small else START, END, 3):
        small += part
    assert small == page
    fine = {ts >> FINE for ts, _ in page}
    assert {n for n, _ in index.buckets(FINE, 0, END[0], len(page) + 1)} == fine
    return page


def _opens_any(member: Membership, blobs: list[tuple[bytes, bytes]]) -> bool:
    for key_id, blob in blobs:
        for secret, _ in member.epochs.values():
            try:
                open_blob(secret, blob, blob_context(member.raw_space_id, key_id))
                return True
            except BadEvent:
                pass
    return False


def _messages(net: Network, name: str) -> list[tuple[bytes, bytes]]:
    member = net.member(name)
    rows = net.home.store.blobs.held_after(member.account, member.space, 0, 10_000)
    return [(net.home.store.names.key_id(r.epoch), r.sealed) for r, _ in rows if r.epoch in member.apart]


def test_who_comes_is_given_a_key_that_sealed_nothing_before(net: Network) -> None:
    for number in range(5):
        net.send("alice", "general", f"before {number}")
        net.now += 3_600_000
    before = _messages(net, "alice")
    net.join("alice", "bob")
    net.settle()
    assert net.texts("bob") == []
    assert net.knows("bob") == net.knows("alice") == ["alice", "bob"]
    assert not _opens_any(net.member("bob"), before)
    assert _opens_any(net.member("alice"), before)
    assert len(_closed(net, "alice", "bob")) == 1
    assert _closed(net, "bob", "alice") == frozenset()
    assert _index(net, "alice", "bob") == _index(net, "bob", "alice")
    assert len(_index(net, "alice", "bob")) + 5 == len(net.holdings("alice"))
    net.join("bob", "carol")
    net.settle()
    net.send("bob", "general", "now we are three")
    net.settle()
    assert net.texts("carol") == net.texts("bob") == ["now we are three"]
    for one, other in (("alice", "bob"), ("alice", "carol"), ("bob", "carol")):
        assert _index(net, one, other) == _index(net, other, one)
    assert net.home.store.locked.count(net.member("carol").account, net.member("carol").space) == 0


def test_summaries_are_those_of_what_is_held_also_after_a_rebuild(net: Network) -> None:
    net.send("alice", "general", "before")
    net.join("alice", "bob")
    net.send("bob", "general", "after")
    net.settle()
    store = net.home.store
    for again in (False, True):
        if again:
            seen = {name: net.texts(name) for name in ("alice", "bob")}
            assert rebuild(net.home, net.now).set_aside == 0
            assert seen == {name: net.texts(name) for name in seen}
        for name in ("alice", "bob"):
            member = net.member(name)
            index = store.index(member.account, member.space)
            assert index.every() == recount(store.db, member.account, member.space, member.apart)
            assert len({epoch for *_, epoch in index.every()}) == 1 + len(
                {r.epoch for r, _ in store.blobs.held_after(member.account, member.space, 0, 99)}
                & member.apart
            )
        assert verify(net.home).damage == []


def test_summaries_are_counted_anew_where_it_turns_out_to_be_such_a_space() -> None:
    """A newcomer may hold something before it has heard of the founding, which says so."""
    net = Network()
    net.found("alice")
    net.send("alice", "general", "before")
    alice, store = net.member("alice"), net.home.store
    index = store.index(alice.account, alice.space)
    whole = index.whole()
    with store.transaction():
        net.send("alice", "general", "not counted yet")
        alice = store.memberships.set_from_join(alice)
        store.buckets.recount_later(alice.account, alice.space)
    net.send("alice", "general", "after")
    assert index.whole().count == whole.count + 2
    assert index.every() == recount(store.db, alice.account, alice.space, alice.apart)
    assert {epoch for *_, epoch in index.every()} == {0, alice.content}
    with undone(store.db):
        store.buckets.recount_later(alice.account, alice.space)
    assert store.db.all("SELECT * FROM recounts") == []
    store.buckets.recount_later(alice.account, alice.space)
    rebuild(net.home, net.now)
    assert index.every() == recount(store.db, alice.account, alice.space, alice.apart)
    net.home.close()


def test_in_other_spaces_nothing_is_left_out_or_counted_apart() -> None:
    net = Network()
    net.found("alice")
    for number in range(3):
        net.send("alice", "general", f"under key {number}")
        key.rekey(net.ctx("alice"))
    net.join("alice", "bob")
    net.settle()
    assert len(net.texts("bob")) == 3
    assert net.member("alice").apart == _closed(net, "alice", "bob") == frozenset()
    assert net.rows("SELECT DISTINCT epoch FROM buckets") == [(0,)]
    assert key_share.share_all_held(net.ctx("alice"), net.member("bob").device) == 0
    net.home.close()


def test_what_goes_to_another_identity_of_the_home_leaves_out_what_it_cannot_open(net: Network) -> None:
    old = net.send("alice", "general", "before")
    net.join("alice", "bob")
    ctx, bob = net.ctx("alice"), net.member("bob")
    number = net.rows("SELECT n FROM blobs WHERE event_id = ?", old.event_id)[0][0]
    new = net.send("alice", "general", "after")
    outgoing.take(ctx, 1_000)
    numbers = [number, net.rows("SELECT n FROM blobs WHERE event_id = ?", new.event_id)[0][0]]
    outgoing.create(ctx, [bob.account_id], numbers)
    assert outgoing.count(ctx) == 1
    net.settle()
    alice = net.member("alice")
    assert sync_peers._holding(net.ctx("alice"), bob.device) == sync_peers._holding(
        net.ctx("bob"), alice.device
    )


def test_a_device_of_ones_own_is_given_all_keys(net: Network) -> None:
    for name in ("bob", "carol"):
        net.send("alice", "general", f"before {name}")
        net.join("alice", name)
    net.settle()
    # Any device that the graph knows will do to see what it is given.
    device = net.member("carol").device
    assert len(_closed(net, "alice", "carol")) == 2
    assert key_share.share_all_held(net.ctx("alice"), device) == 2
    assert key_share.share_all_held(net.ctx("alice"), device) == 0, "it has them all by now"
    assert _closed(net, "alice", "carol") == frozenset()
    net.settle()
    assert sorted(net.texts("carol")) == ["before bob", "before carol"]
    assert _index(net, "alice", "carol") == _index(net, "carol", "alice")
    role.grant(net.ctx("alice"), "bob", "guest")
    net.settle()
    assert key_share.share_all_held(net.ctx("bob"), device) == 0, "a guest hands out no keys"


def test_an_approved_newcomer_begins_with_a_new_key_too(net: Network) -> None:
    net.send("alice", "general", "before")
    net.join("alice", "bob", approve=True)
    net.send("alice", "general", "while bob waits")
    request.approve(net.ctx("alice"), "bob")
    net.settle()
    for _ in range(2):
        asked = joining.greet(net.ctx("bob"), "")
        for letter in asked:
            for reply in joining.answer(net.ctx("alice"), net.member("bob").device, letter):
                joining.answer(net.ctx("bob"), net.member("alice").device, reply)
    net.send("alice", "general", "after")
    net.settle()
    assert net.texts("bob") == ["after"]


def test_who_comes_again_does_not_get_what_was_meanwhile(net: Network) -> None:
    net.join("alice", "bob")
    net.settle()
    net.send("alice", "general", "one")
    net.settle()
    role.remove(net.ctx("alice"), "bob")
    net.send("alice", "general", "two")
    net.settle()
    alice, bob = net.member("alice"), net.member("bob")
    index = history.index_for(net.home, alice.account, alice.space, bob.device)
    ids = [raw for _, raw in index.page(START, END, 1_000)]
    ingest(net.home, bob, index.blobs(ids), alice.device, net.now)  # else nobody here would tell him
    net.join("alice", "bob")
    net.send("alice", "general", "three")
    net.settle()
    assert sorted(net.texts("bob")) == ["one", "three"]
    assert _index(net, "alice", "bob") == _index(net, "bob", "alice")


def test_no_welcome_with_a_key_that_was_not_made_for_the_newcomer(net: Network) -> None:
    """A member that has heard of the admission, and not of the key that came with it, waits."""
    link = net.link("alice")
    assert not joining.join(net.ctx(), link, "carol").waiting
    alice, carol = net.ctx("alice"), net.ctx("carol")
    secret = decode_link(link).secret
    asked = admit.request(carol, secret, "carol", 0)
    made = current_key(alice.graph, "")
    assert made is not None
    assert carol.member.device in holders(alice.graph, made)
    assert joining._welcome(alice, asked)[:1] == admit_letter.WELCOME
    unknown = DeviceKey(digest("a device that no key was made for")).text
    other = msgspec.structs.replace(asked, device=unknown)
    assert joining._welcome(alice, other) == admit_letter.WAIT


def test_changes_of_membership_that_newcomers_could_not_open_are_refused(net: Network) -> None:
    net.link("alice")
    alice = net.member("alice")
    rows = net.home.store.blobs.held_after(alice.account, alice.space, 0, 99)
    row = next(r for r, _ in rows if r.epoch == alice.control)
    secret, context = alice.epochs[row.epoch]
    data = open_blob(secret, row.sealed, context)
    content, context = alice.epochs[alice.content]
    name = net.home.store.names.key_id(alice.content)
    sealed = name + seal(content, bytes(24), data, context)
    assert ingest(net.home, alice, [sealed], "somebody", net.now).rejected == {"wrong-key": 1}


@pytest.mark.parametrize("history", [HISTORY_ALL, "from-join"])
def test_so_are_they_where_newcomers_open_everything_and_where_that_is_not_known_yet(history: str) -> None:
    """The verdict must not hang on what was heard first."""
    there, home = Space(history=history), make_home()
    for known in (False, True):
        alice = add_holder(home, there, f"alice {known}", let_in=known)
        made = there.made(Author(there, f"carol {known}").introduce().data, there.key)
        assert give(home, alice, made).rejected == {"wrong-key": 1}
    home.close()


def test_what_was_found_out_about_devices_is_bounded(net: Network) -> None:
    alice = net.member("alice")
    net.send("alice", "general", "x")
    for number in range(MAX_SESSIONS + 5):
        device = DeviceKey(digest(f"device {number}")).text
        assert history.closed_to(net.home, alice.account, alice.space, device) == alice.apart
    assert len(net.home.closed[alice.account, alice.space]) <= MAX_SESSIONS


def test_who_lacks_the_present_key_is_given_a_new_one(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when an admission and a new key cross: what that key sealed meanwhile was written before."""
    net.send("alice", "general", "sealed under the key of now")
    link = net.link("alice")
    with monkeypatch.context() as patch:
        patch.setattr(joining, "_ask_at_home", lambda _: None)
        assert joining.join(net.ctx(), link, "carol").waiting
    alice, carol = net.ctx("alice"), net.ctx("carol")
    before = current_key(alice.graph, "")
    asked = joining._own_request(carol)
    made = invite.find(alice, asked.invite)
    assert made is not None
    admit.create(alice, made.event_id, asked)
    assert key_share.missing(net.ctx("alice")) == [carol.member.device]
    net.now += HEAL_MS
    net.tick()
    after = current_key(net.ctx("alice").graph, "")
    assert before is not None
    assert after is not None
    assert holders(alice.graph, after) == {alice.member.device, carol.member.device}
    assert holders(alice.graph, before) == {alice.member.device}
    assert key_share.missing(net.ctx("alice")) == []
    net.tick(5)
    assert current_key(net.ctx("alice").graph, "") is after, "made once"
