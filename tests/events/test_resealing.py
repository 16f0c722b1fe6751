from quire.core.sealing import key_id
from quire.events.home import Home
from quire.events.keyring import CONTROL, HeldKey, control_key, hold, name_of
from quire.events.resealing import reseal_graph
from quire.events.standing import graph_of
from quire.store.memberships import Membership
from tests.events.builders import Author, Space, add_holder, digest, give, make_home

ODD = digest("odd")


def under(home: Home, event_id: str) -> bytes:
    """The name of the key that an event is sealed under."""
    ((epoch,),) = home.store.db.all("SELECT epoch FROM blobs WHERE event_id = ?", (event_id,))
    return home.store.names.key_id(epoch)


def given(home: Home, member: Membership, name: str) -> None:
    with home.store.transaction():
        hold(home, member, graph_of(home, member), [HeldKey(CONTROL, name, control_key(ODD))])


def test_only_what_lies_under_an_odd_key_is_sealed_anew() -> None:
    """One of no name that the graph knows, or of a true name and not derived from its key."""
    for name in ("AAAAAAAAAAA", name_of(Space().key)):
        there, home = Space(), make_home()
        alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
        graph = graph_of(home, alice)
        assert reseal_graph(home, alice, graph) == 0
        given(home, alice, name)
        entry = there.made(carol.introduce().data, control_key(ODD))
        give(home, alice, entry)
        assert under(home, entry.event_id) == key_id(control_key(ODD))
        alice = home.store.memberships.get(alice.account, alice.space)
        with home.store.transaction():
            assert reseal_graph(home, alice, graph) == 1
            assert reseal_graph(home, alice, graph) == 0
        assert under(home, entry.event_id) == key_id(control_key(there.key))
        assert home.store.blobs.known(alice.account, alice.space, [entry.event_id])
        home.close()
