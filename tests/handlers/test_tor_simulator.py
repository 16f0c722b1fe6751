import random

import pytest

from quire.handlers import outgoing, tor_simulator
from quire.limits import INGEST_BATCH
from tests.handlers.network import Network

NAMES = ("alice", "bob", "carol", "dora", "erin")


def test_deliver_sets_who_received_it(pair: Network) -> None:
    sent = pair.send("bob", "general", "just in").event_id
    assert sent not in pair.holdings("alice")
    assert tor_simulator.deliver(pair.ctx("bob")) == 1
    assert pair.holdings("alice")[sent] == "valid"
    assert outgoing.count(pair.ctx("bob")) == 0
    assert tor_simulator.deliver(pair.ctx("bob")) == 0
    blobs = pair.rows("SELECT count(*) FROM blobs WHERE event_id = ?", sent)
    assert blobs == [(1,)], "held twice, stored once"


def test_envelopes_to_nobody_here_are_dropped(pair: Network) -> None:
    pair.settle()
    outgoing.create_passing(pair.ctx("alice"), "someone elsewhere", b"sealed")
    outgoing.create_passing(pair.ctx("alice"), pair.member("bob").account_id, b"what is no event")
    before = pair.sizes()["blobs"]
    assert tor_simulator.deliver(pair.ctx("alice")) == 2
    assert outgoing.count(pair.ctx("alice")) == 0
    assert pair.sizes()["blobs"] == before
    counted = pair.home.store.rejections.of(pair.member("bob").account)
    assert [(source, reason) for source, reason, *_ in counted] == [
        (pair.member("alice").device, "cannot-open")
    ]


def test_more_envelopes_than_a_batch(pair: Network) -> None:
    pair.settle()
    tor_simulator.deliver(pair.ctx("alice"))
    rows = INGEST_BATCH + 5
    for number in range(rows):
        outgoing.create_passing(pair.ctx("alice"), f"someone elsewhere {number}", b"x")
    assert tor_simulator.deliver(pair.ctx("alice")) == rows
    assert outgoing.count(pair.ctx("alice")) == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_network_of_five_converges(net: Network, seed: int) -> None:
    """Invited in a chain or a tree, all talking and joining at random: in the end all hold the same."""
    chance = random.Random(seed)
    net.found(NAMES[0])
    here = [NAMES[0]]
    said: list[str] = []
    for name in NAMES[1:]:
        net.join(chance.choice(here), name)
        net.tick(2)  # who is in knows the others, and can invite
        here.append(name)
        for _ in range(chance.randrange(4)):
            said.append(f"{len(said)} by someone")
            net.send(chance.choice(here), "general", said[-1])
        net.tick(chance.randrange(3))
    net.settle()
    holdings = [net.holdings(name) for name in NAMES]
    assert all(held == holdings[0] for held in holdings)
    assert set(holdings[0].values()) == {"valid"}
    for name in NAMES:
        assert net.knows(name) == sorted(NAMES)
        assert sorted(net.texts(name)) == sorted(said)
        assert net.texts(name) == net.texts(NAMES[0])


def test_spaces_do_not_mix(net: Network) -> None:
    net.found("alice", "garden")
    net.join("alice", "bob")
    net.found("carol", "yard")
    net.join("carol", "dora")
    net.send("alice", "general", "in the garden")
    net.send("dora", "general", "in the yard")
    net.settle()
    assert net.texts("bob") == ["in the garden"]
    assert net.texts("carol") == ["in the yard"]
    assert net.knows("bob") == ["alice", "bob"]
