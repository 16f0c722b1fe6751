from quire.core.encoding import from_text
from quire.events.rebuild import rebuild
from quire.handlers import outgoing
from tests.events.builders import NOW
from tests.handlers.network import Network


def test_envelopes_go_to_identities_of_this_node_alone(pair: Network) -> None:
    pair.settle()
    bob = pair.member("bob").account_id
    before = outgoing.count(pair.ctx("alice"))
    outgoing.create(pair.ctx("alice"), ["someone elsewhere"], [1, 2])
    assert outgoing.count(pair.ctx("alice")) == before
    outgoing.create(pair.ctx("alice"), [bob, "someone elsewhere"], [1, 2])
    assert outgoing.count(pair.ctx("alice")) == before + 2
    assert outgoing.local_peers(pair.ctx("alice")) == [bob]


def test_take_gives_the_oldest_first_and_once(pair: Network) -> None:
    pair.settle()
    while outgoing.take(pair.ctx("alice"), 100):
        pass
    texts = [pair.send("alice", "general", str(number)) for number in range(5)]
    found = [outgoing.take(pair.ctx("alice"), 2) for _ in range(4)]
    assert [len(envelopes) for envelopes in found] == [2, 2, 1, 0]
    index = pair.home.store.index(pair.member("alice").account, pair.member("alice").space)
    assert {e.recipient for envelopes in found for e in envelopes} == {pair.member("bob").account_id}

    assert [e.sealed for envelopes in found for e in envelopes] == index.blobs(
        [from_text(m.event_id) for m in texts]
    )


def test_what_was_sent_offline_waits_over_a_rebuild(pair: Network) -> None:
    pair.settle()
    pair.send("alice", "general", "written offline")
    assert outgoing.count(pair.ctx("alice")) >= 1
    rebuild(pair.home, NOW)
    assert outgoing.count(pair.ctx("alice")) >= 1
    pair.tick()
    assert pair.texts("bob") == ["written offline"]


def test_senders_do_not_see_each_others_envelopes(pair: Network) -> None:
    pair.settle()
    waiting = {name: outgoing.count(pair.ctx(name)) for name in ("alice", "bob")}
    pair.send("alice", "general", "x")
    assert outgoing.count(pair.ctx("bob")) == waiting["bob"]
    assert outgoing.count(pair.ctx("alice")) == waiting["alice"] + 1
