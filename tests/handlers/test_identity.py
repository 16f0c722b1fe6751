import msgspec
import pytest

from quire.core.encoding import to_text
from quire.errors import NotFound, QuireError, Refused, UserError
from quire.events.rebuild import rebuild
from quire.handlers import identity, message, space
from quire.handlers.invite_link import decode_link, encode_link
from quire.limits import MAX_ADDRESSES, MAX_CLOCK_AHEAD_MS, MAX_NAME_CHARS
from quire.store.memberships import HOME
from tests.events.builders import NOW, Author, Space, digest
from tests.handlers.network import Network


def test_create_makes_a_key_pair_and_introduces_it(net: Network) -> None:
    made = identity.create(net.ctx(), "alice")
    assert identity.list_(net.ctx()) == [made]
    own = net.home.store.memberships.home(net.ctx("alice").account)
    assert own.account_id == own.device_key.text == made.pubkey
    assert own.kind == HOME
    rows = net.rows("SELECT event_id, state FROM events WHERE space_id = ?", own.space_id)
    assert [state for _, state in rows] == ["valid", "valid"], "its identity and its peer event"
    assert net.rows("SELECT pubkey, name FROM peer_rows") == [(made.pubkey, "alice")]


def test_the_private_key_is_in_no_event(net: Network) -> None:
    net.found("alice")
    seed = net.home.store.memberships.device_key(1).seed
    for table in ("blobs", "identity_rows", "peer_rows", "events"):
        for row in net.rows(f"SELECT * FROM {table}"):
            assert not any(value in (seed, to_text(seed)) for value in row)


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


def test_lookup_by_name_or_key(net: Network) -> None:
    net.create("alice", "bob")
    key = identity.list_(net.ctx())[1].pubkey
    assert identity.account_called(net.ctx(), "bob") == identity.account_called(net.ctx(), key) == 2
    with pytest.raises(NotFound, match="carol"):
        identity.account_called(net.ctx(), "carol")


def test_join_through_an_invite(pair: Network) -> None:
    """The invitee knows the inviter at once; the inviter learns of the invitee when the envelope arrives."""
    alice, bob = pair.member("alice"), pair.member("bob")
    assert pair.knows("bob") == ["alice", "bob"]
    assert pair.knows("alice") == ["alice"]
    of_alice = pair.rows(
        "SELECT account FROM peer_rows WHERE pubkey = ? AND space = ?", alice.account_id, alice.space
    )
    assert sorted(of_alice) == [(alice.account,), (bob.account,)], "one event, two entries"
    assert pair.rows("SELECT recipient FROM outgoing") == [(alice.account_id,)]
    pair.tick()
    assert pair.knows("alice") == ["alice", "bob"]
    ids = [set(pair.holdings(name)) for name in ("alice", "bob")]
    assert len(ids[0] & ids[1]) >= 2


def test_join_reports_where_one_is(net: Network) -> None:
    net.found("alice")
    joined = net.join("alice", "bob")
    assert (joined.name, joined.identity, joined.inviter) == ("garden", "bob", net.member("alice").account_id)
    assert joined.space_id == net.member("alice").space_id == net.member("bob").space_id
    assert net.member("bob").epochs == net.member("alice").epochs


def test_join_with_an_identity_that_exists(net: Network) -> None:
    net.found("alice")
    net.create("bob")
    net.join("alice", "bob")
    assert [known.name for known in identity.list_(net.ctx())] == ["alice", "bob"]


def test_who_has_invited_does_not_join(net: Network) -> None:
    net.found("alice")
    net.found("bob", "yard")
    link = net.link("alice")
    net.link("bob")
    with pytest.raises(Refused, match="has invited others"):
        identity.join(net.ctx(), link, "bob")
    assert len(net.home.store.memberships.of_account(net.ctx("bob").account)) == 1
    with pytest.raises(UserError, match="your own invite link"):
        identity.join(net.ctx(), link, "alice")
    identity.join(net.ctx(), link, "carol")


def test_founding_does_not_forbid_joining(net: Network) -> None:
    net.found("alice")
    net.found("bob", "yard")
    assert net.join("alice", "bob").name == "garden"


def test_a_newer_link_tells_where_the_inviter_is_now(pair: Network) -> None:
    before = pair.sizes()
    assert identity.join(pair.ctx(), pair.link("alice"), "bob").name == "garden"
    assert pair.sizes() == before, "the same link again changes nothing"
    pair.addresses = ("192.0.2.9:99",)
    link = pair.link("alice")
    pair.link("bob")  # who has invited others may still take a newer link to the same space
    identity.join(pair.ctx(), link, "bob")
    bob, alice = pair.member("bob"), pair.member("alice")
    assert pair.home.store.memberships.addresses_of(bob.account, alice.account_id) == ["192.0.2.9:99"]
    assert [s.name for s in space.list_(pair.ctx("bob"))] == ["garden"]


def test_a_failed_join_leaves_nothing(net: Network) -> None:
    net.found("alice")
    before = net.sizes()
    invite = decode_link(net.link("alice"))
    with pytest.raises(UserError, match="no control characters"):
        identity.join(net.ctx(), encode_link(invite), "a\nb")
    stranger = Author(Space("garden"), "stranger")
    for introduction in (b"", b"x" * 100, invite.introduction[:-1], stranger.introduce().sealed[8:]):
        link = encode_link(msgspec.structs.replace(invite, introduction=introduction))
        with pytest.raises(UserError, match="does not introduce the inviter"):
            identity.join(net.ctx(), link, "bob")
    someone = msgspec.structs.replace(invite, inviter=digest("someone"))
    with pytest.raises(UserError, match="does not introduce the inviter"):
        identity.join(net.ctx(), encode_link(someone), "bob")
    assert net.sizes() == before
    assert identity.join(net.ctx(), encode_link(invite), "bob").identity == "bob", (
        "and nothing stands in the way"
    )


def test_a_clock_far_behind_is_named(net: Network) -> None:
    net.found("alice")
    link = net.link("alice")
    net.now -= MAX_CLOCK_AHEAD_MS + 60_000
    with pytest.raises(UserError, match="clock is more than five minutes behind"):
        identity.join(net.ctx(), link, "bob")
    net.now += MAX_CLOCK_AHEAD_MS
    assert identity.join(net.ctx(), link, "bob").identity == "bob"


def test_an_invite_needs_a_space(net: Network) -> None:
    net.create("alice")
    with pytest.raises(UserError, match="in no space yet"):
        net.link("alice")


def test_an_invite_carries_where_the_inviter_can_be_found(net: Network) -> None:
    net.found("alice")
    net.addresses = ("192.0.2.1:7700",)
    member = net.member("alice")
    for number in range(20):
        for device, host in (("somebody else", "192.0.2.3"), (member.account_id, "192.0.2.2")):
            address = f"{host}:{number}"
            net.home.store.memberships.remember_address(member.account, member.space, device, address, number)
    assert decode_link(net.link("alice")).addresses == ["192.0.2.1:7700"], (
        "of a running node: where it listens"
    )
    net.addresses = ()
    invite = decode_link(net.link("alice"))
    assert invite.addresses == [f"192.0.2.2:{number}" for number in range(19, 19 - MAX_ADDRESSES, -1)]
    net.join("alice", "bob")
    bob = net.member("bob")
    known = net.home.store.memberships.addresses(bob.account, bob.space, 100)
    assert sorted(address for _, address, _ in known) == sorted(invite.addresses)
    assert {(device, reached) for device, _, reached in known} == {(member.account_id, 0)}


def test_keys_outlive_a_rebuild(pair: Network) -> None:
    pair.settle()
    rebuild(pair.home, NOW)
    assert [known.name for known in identity.list_(pair.ctx())] == ["alice", "bob"]
    pair.send("bob", "general", "still here")
    pair.settle()
    assert pair.texts("alice") == ["still here"]


def test_operations_say_what_is_wrong_in_words(net: Network) -> None:
    for wrong in (lambda: message.list_(net.ctx(), "general"), lambda: identity.join(net.ctx(), "", "bob")):
        with pytest.raises(QuireError) as error:
            wrong()
        assert str(error.value).endswith((".", "#"))
