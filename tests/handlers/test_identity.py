import pytest

from quire.core.certificate import chain_holds, consent_holds
from quire.core.encoding import to_text
from quire.core.phrase import entropy_of, root_key
from quire.errors import NotFound, QuireError, Refused, UserError
from quire.events.rebuild import rebuild
from quire.handlers import identity, joining, message, space
from quire.limits import MAX_NAME_CHARS
from quire.store.memberships import HOME
from tests.events.builders import NOW
from tests.handlers.network import Network


def test_create_makes_a_root_and_a_device_that_it_certifies(net: Network) -> None:
    made = identity.create(net.ctx(), "alice")
    assert identity.list_(net.ctx()) == [made]
    own = net.home.store.memberships.home(net.ctx("alice").account)
    assert own.account_id == made.pubkey != own.device
    assert own.kind == HOME
    chain = identity.chain_of(net.ctx("alice"), own.account)
    assert chain_holds(made.pubkey, own.device, identity.wrap_text(own.device_key), chain)
    rows = net.rows("SELECT state FROM events WHERE space_id = ?", own.space_id)
    assert rows == [("valid",)], "its identity event"
    assert net.rows("SELECT pubkey, name FROM identity_rows") == [(made.pubkey, "alice")]


def test_an_introduction_shows_whose_the_device_is(net: Network) -> None:
    net.found("alice")
    shown, device = identity.introduction(net.ctx("alice")), net.member("alice").device
    assert shown["identity"] == net.member("alice").account_id
    assert consent_holds(str(shown["identity"]), device, str(shown["wrap"]), str(shown["consent"]))


def test_the_phrase_brings_the_root_back(net: Network) -> None:
    net.create("alice")
    words = identity.phrase(net.ctx("alice")).phrase
    assert len(words.split()) == 24
    assert root_key(entropy_of(words)).text == identity.list_(net.ctx())[0].pubkey


def test_a_device_without_the_root_has_no_phrase(net: Network) -> None:
    net.create("alice")
    net.home.store.db.execute("UPDATE device_keys SET root = NULL")
    with pytest.raises(Refused, match="another one"):
        identity.phrase(net.ctx("alice"))


def test_private_keys_are_in_no_event(net: Network) -> None:
    net.found("alice")
    seed = net.home.store.memberships.device_key(1).seed
    root = net.home.store.memberships.root(1)
    assert root is not None
    secrets = (seed, root, to_text(seed), to_text(root))
    for table in ("blobs", "identity_rows", "peer_rows", "events", "graph_events"):
        for row in net.rows(f"SELECT * FROM {table}"):
            assert not any(value in secrets for value in row)


def test_the_own_log_is_never_synced(net: Network) -> None:
    net.create("alice")
    assert net.home.store.memberships.all() == []


@pytest.mark.parametrize("name", ["", " ", "\n", "a\nb", "\x1b[31m", "x" * (MAX_NAME_CHARS + 1), "a\udcff"])
def test_names_that_are_none(net: Network, name: str) -> None:
    with pytest.raises(UserError, match="no control characters"):
        identity.create(net.ctx(), name)
    assert identity.list_(net.ctx()) == []


@pytest.mark.parametrize("name", ["x" * MAX_NAME_CHARS, "Zoë 🦆", "böse", "O'Brien", 'a"b'])
def test_names(net: Network, name: str) -> None:
    net.create(name)
    assert [known.name for known in identity.list_(net.ctx())] == [name]
    assert identity.name_of(net.ctx(name)) == name


def test_a_name_is_taken_once(net: Network) -> None:
    net.create("alice")
    with pytest.raises(UserError, match="already an identity"):
        net.create("alice")
    net.create("bob")
    assert [known.name for known in identity.list_(net.ctx())] == ["alice", "bob"]
    with pytest.raises(UserError, match="already an identity"):
        identity.rename(net.ctx("bob"), "alice")


def test_another_name_is_told_in_every_space(pair: Network) -> None:
    pair.settle()
    space.create(pair.ctx("bob"), "yard")
    identity.rename(pair.ctx("bob"), "Robert")
    assert [known.name for known in identity.list_(pair.ctx())] == ["alice", "Robert"]
    assert pair.member("Robert").identity_name == "Robert"
    assert pair.knows("Robert") == ["Robert"], "in the yard"
    pair.settle()
    assert pair.knows("alice") == ["alice", "Robert"]


def test_lookup_by_name_or_key(net: Network) -> None:
    net.create("alice", "bob")
    key = identity.list_(net.ctx())[1].pubkey
    assert identity.account_called(net.ctx(), "bob") == identity.account_called(net.ctx(), key) == 2
    with pytest.raises(NotFound, match="carol"):
        identity.account_called(net.ctx(), "carol")


def test_keys_outlive_a_rebuild(pair: Network) -> None:
    pair.settle()
    rebuild(pair.home, NOW)
    assert [known.name for known in identity.list_(pair.ctx())] == ["alice", "bob"]
    pair.send("bob", "general", "still here")
    pair.settle()
    assert pair.texts("alice") == ["still here"]


def test_operations_say_what_is_wrong_in_words(net: Network) -> None:
    for wrong in (lambda: message.list_(net.ctx(), "general"), lambda: joining.join(net.ctx(), "", "bob")):
        with pytest.raises(QuireError) as error:
            wrong()
        assert str(error.value).endswith((".", "#"))
