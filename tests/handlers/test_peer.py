import pytest

from quire.errors import NotFound
from quire.events.rebuild import rebuild
from quire.handlers import peer
from quire.limits import MAX_NAME_CHARS
from tests.events.builders import NOW, Author, Made, give, state_of, waits
from tests.handlers.network import Network, author_in


def renamed(author: Author, name: str, pubkey: str = "") -> Made:
    return author.write("peer", {"pubkey": pubkey or author.identity, "name": name})


def receive(net: Network, *made: Made) -> None:
    give(net.home, net.member("alice"), *made, now=net.now)


def test_create_projects_at_once(net: Network) -> None:
    net.found("alice")
    assert [known.name for known in peer.list_(net.ctx("alice"))] == ["alice"]
    peer.create(net.ctx("alice"), "Alice A.")
    assert [known.name for known in peer.list_(net.ctx("alice"))] == ["Alice A."]


def test_the_latest_introduction_tells_the_name(net: Network) -> None:
    net.found("alice")
    carol = author_in(net, "alice", "carol")
    receive(net, carol.introduce())
    introductions = [renamed(carol, name) for name in ("one", "two", "three")]
    assert net.knows("alice") == ["alice", "carol"], "by the name that it asked to join as"
    receive(net, introductions[2])
    receive(net, introductions[0], introductions[1])
    assert net.knows("alice") == ["alice", "three"]
    rebuild(net.home, NOW)
    assert net.knows("alice") == ["alice", "three"]


def test_nobody_introduces_another(net: Network) -> None:
    net.found("alice")
    carol, mallory = author_in(net, "alice", "carol"), author_in(net, "alice", "mallory")
    false = renamed(mallory, "not carol", carol.identity)
    receive(net, mallory.introduce(), false, carol.say("waits"))
    assert net.knows("alice") == ["alice", "mallory"]
    assert state_of(net.home, net.member("alice"), false) == "valid", "kept, and of no effect"
    assert net.shown("alice") == []
    assert len(waits(net.home, net.member("alice"))) == 1


@pytest.mark.parametrize(
    ("name", "known"), [("", 0), ("x" * (MAX_NAME_CHARS + 1), 0), ("x" * MAX_NAME_CHARS, 1), ("\x1b[31m", 1)]
)
def test_odd_names(net: Network, name: str, known: int) -> None:
    """Control characters are shown as escapes by whoever shows them; what is no name changes nothing."""
    net.found("alice")
    carol = author_in(net, "alice", "carol")
    receive(net, carol.introduce(), renamed(carol, name), carol.say("hello"))
    assert set(net.knows("alice")) == {"alice", name if known else "carol"}
    assert net.shown("alice") == ["hello"]


def test_find(net: Network) -> None:
    net.found("alice")
    one, two = author_in(net, "alice", "one"), author_in(net, "alice", "two")
    receive(net, one.introduce(), two.introduce(), renamed(one, "sam"), renamed(two, "sam"))
    with pytest.raises(NotFound, match="Several people") as error:
        peer.find(net.ctx("alice"), "sam")
    assert one.identity in str(error.value)
    assert two.identity in str(error.value)
    assert peer.find(net.ctx("alice"), one.identity).pubkey == one.identity
    with pytest.raises(NotFound, match="Nobody called 'x'"):
        peer.find(net.ctx("alice"), "x")


def test_a_key_means_its_owner_whatever_others_call_themselves(net: Network) -> None:
    net.found("alice")
    carol, mallory = author_in(net, "alice", "carol"), author_in(net, "alice", "mallory")
    receive(net, carol.introduce(), mallory.introduce(), renamed(mallory, carol.identity))
    assert peer.find(net.ctx("alice"), carol.identity).name == "carol"


def test_list_is_by_name(pair: Network) -> None:
    receive(pair, *(author_in(pair, "alice", name).introduce() for name in ("Zoe", "adam", "Bea")))
    assert pair.knows("alice") == ["adam", "alice", "Bea", "bob", "Zoe"]
    assert set(peer.names(pair.ctx("alice")).values()) == {"adam", "alice", "Bea", "bob", "Zoe"}


def test_knowledge_is_each_ones_own(pair: Network) -> None:
    pair.settle()
    receive(pair, author_in(pair, "alice", "carol").introduce())
    assert pair.knows("alice") == ["alice", "bob", "carol"]
    assert pair.knows("bob") == ["alice", "bob"]
