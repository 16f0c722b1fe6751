from collections.abc import Sequence

import pytest

from quire.events.context import Context
from quire.handlers import outgoing, sync_peers
from tests.events.builders import Author, give, rejected
from tests.handlers.network import Network, author_in

IN_MOTION = {"outgoing", "sync_requests", "sync_answers"}


def requests(net: Network, name: str) -> list[tuple[str, int]]:
    return net.rows(
        "SELECT asker, count FROM sync_requests WHERE account = ? ORDER BY asker", net.member(name).account
    )


def test_create_makes_a_request_that_is_no_event(pair: Network) -> None:
    pair.settle()
    before = pair.sizes()
    sealed = sync_peers.create(pair.ctx("alice"), pair.member("bob").account_id)
    assert pair.sizes() == before
    assert len(sealed) > 200
    alice = pair.member("alice")
    device = pair.home.store.names.device_number(alice.space, alice.device)
    head = pair.home.store.blobs.head(device)
    pair.send("alice", "general", "the log goes on")
    assert pair.home.store.blobs.head(device)[0] == head[0] + 1


def test_send_puts_it_into_an_envelope(pair: Network) -> None:
    pair.settle()
    bob = pair.member("bob").account_id
    sync_peers.send(pair.ctx("alice"), bob)
    assert outgoing.count(pair.ctx("alice")) == 1
    envelope = outgoing.take(pair.ctx("alice"), 10)[0]
    assert envelope.recipient == bob


def test_the_projector_keeps_each_askers_latest_request(pair: Network) -> None:
    carol = author_in(pair, "alice", "carol")
    alice = pair.member("alice")
    give(pair.home, alice, carol.introduce(), now=pair.now)
    body = {"to": alice.account_id, "fingerprint": "x"}
    made = [carol.write("sync-peers", {**body, "count": count}) for count in (5, 6, 4)]
    for one in (made[0], made[2], made[1]):
        give(pair.home, alice, one, now=pair.now + 10)
    assert requests(pair, "alice") == [(carol.id, 4)], "the latest by its time, not by its arrival"
    give(
        pair.home,
        alice,
        carol.write("sync-peers", {**body, "to": carol.identity, "count": 9}),
        now=pair.now + 10,
    )
    assert requests(pair, "alice") == [(carol.id, 4)], "what is asked of someone else is no business of ours"


def test_strangers_may_not_ask(pair: Network) -> None:
    alice = pair.member("alice")
    pair.space("alice")
    before = pair.sizes()
    for number in range(20):
        stranger = author_in(pair, "alice", f"stranger {number}")
        body = {"to": alice.account_id, "count": 1, "fingerprint": "x"}
        give(pair.home, alice, stranger.write("sync-peers", body), now=pair.now)
    assert requests(pair, "alice") == []
    assert rejected(pair.home, alice) == {}, "they did nothing wrong, and will be introduced perhaps"
    after = pair.sizes()
    assert (after["blobs"], after["devices"]) == (before["blobs"], before["devices"])


def test_peers_on_other_nodes_are_not_answered_by_envelopes(pair: Network) -> None:
    """A request from elsewhere must not make us walk through all that we hold at every tick."""
    carol = author_in(pair, "alice", "carol")
    alice = pair.member("alice")
    body = {"to": alice.account_id, "count": 0, "fingerprint": "nothing"}
    give(pair.home, alice, carol.introduce(), carol.write("sync-peers", body), now=pair.now)
    pair.settle()
    assert pair.rows("SELECT 1 FROM sync_answers WHERE asker = ?", carol.id) == []
    assert pair.rows("SELECT 1 FROM outgoing WHERE recipient = ?", carol.id) == []


def test_a_difference_is_answered_with_everything_and_equality_with_nothing(pair: Network) -> None:
    pair.settle()
    assert pair.holdings("alice") == pair.holdings("bob")
    carol = author_in(pair, "alice", "carol")
    give(pair.home, pair.member("alice"), carol.introduce(), now=pair.now)
    assert pair.holdings("alice") != pair.holdings("bob")
    pair.settle()
    assert pair.holdings("alice") == pair.holdings("bob")
    assert pair.knows("bob") == ["alice", "bob", "carol"]


def test_blocked_and_unsupported_events_are_synced_on(pair: Network) -> None:
    pair.settle()
    carol = author_in(pair, "alice", "carol")
    dave = author_in(pair, "alice", "dave")
    made = [
        carol.say("of a stranger"),
        carol.say("unsigned", sign=False),
        dave.introduce(),
        dave.write("poll", {"question": "?"}),
    ]
    give(pair.home, pair.member("alice"), *made, now=pair.now)
    pair.settle()
    assert pair.holdings("bob") == pair.holdings("alice")
    states = [pair.holdings("bob")[one.event_id] for one in made]
    assert states == ["blocked", "blocked", "valid", "unsupported"]


def test_idle_ticks_send_requests_alone_and_nothing_grows(pair: Network) -> None:
    pair.join("alice", "carol")
    pair.send("carol", "general", "hello")
    pair.settle()
    before = pair.sizes()
    for _ in range(25):
        pair.tick()
        waiting = pair.rows("SELECT event FROM outgoing")
        assert [event for (event,) in waiting if event is not None] == []
        assert len(waiting) <= 6
    after = pair.sizes()
    assert after == before
    assert after["sync_requests"] <= 6
    assert after["sync_answers"] <= 6


def test_tables_stay_small_while_much_is_said(pair: Network) -> None:
    pair.join("alice", "carol")
    for number in range(30):
        pair.send(("alice", "bob", "carol")[number % 3], "general", str(number))
        pair.tick()
    pair.settle()
    sizes = pair.sizes()
    assert sizes["sync_requests"] <= 6
    assert sizes["sync_answers"] <= 6
    assert sizes["outgoing"] <= 6
    assert sizes["blocked"] == 0
    assert {name: len(pair.shown(name)) for name in ("alice", "bob", "carol")} == dict.fromkeys(
        ("alice", "bob", "carol"), 30
    )


def test_only_known_peers_are_asked(net: Network) -> None:
    net.found("alice")
    for name in ("bob", "carol"):
        net.join("alice", name)
    net.tick()
    for name in ("alice", "bob", "carol"):
        assert "unknown-peer" not in rejected(net.home, net.member(name))


@pytest.mark.parametrize("count", [-1, 0, 2**53 - 1])
def test_odd_requests_do_no_harm(pair: Network, count: int) -> None:
    alice, bob = pair.member("alice"), pair.member("bob")
    pair.settle()
    asking = Author(author_in(pair, "alice", "x").space, "x")
    asking.key, asking.id = bob.device_key, bob.device
    asking.ts = pair.now + 60_000
    body = {"to": alice.account_id, "count": count, "fingerprint": "\x00" * 100}
    give(pair.home, alice, asking.write("sync-peers", body, seq=1, prev=None), now=pair.now)
    pair.settle()
    assert pair.holdings("alice") == pair.holdings("bob")


def test_what_comes_live_is_answered_with_that_alone(pair: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with the whole history, which two identities of one home would tell each other at each message."""
    for number in range(20):
        pair.send("alice", "general", str(number))
    pair.settle()
    sent: list[int] = []
    create = outgoing.create

    def counted(ctx: Context, recipients: Sequence[str], events: Sequence[int]) -> None:
        sent.extend(events)
        create(ctx, recipients, events)

    monkeypatch.setattr(outgoing, "create", counted)
    carol = author_in(pair, "alice", "carol")
    live = [carol.introduce(), *(carol.say(f"live {n}") for n in range(8))]
    for number, made in enumerate(live):
        give(pair.home, pair.member("alice"), made, now=pair.now)
        if number % 2:  # as where both are met over the network
            give(pair.home, pair.member("bob"), made, now=pair.now)
        pair.tick()
    pair.settle()
    assert len(sent) <= 2 * len(live)
    assert pair.holdings("alice") == pair.holdings("bob")


def test_requests_that_are_not_delivered_do_not_pile_up(pair: Network) -> None:
    bob = pair.member("bob").account_id
    for _ in range(5):
        sync_peers.send(pair.ctx("alice"), bob)
    assert outgoing.count(pair.ctx("alice")) == 1
