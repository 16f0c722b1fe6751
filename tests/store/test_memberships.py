import pytest

from quire.core.encoding import to_text
from quire.core.keys import DeviceKey
from quire.limits import MAX_ADDRESSES_KEPT
from quire.store.memberships import HOME, INVITED
from quire.store.store import Store
from tests.events.builders import digest, undone


@pytest.fixture
def store() -> Store:
    store = Store(":memory:")
    memberships = store.memberships
    for name in ("alice", "bob"):
        account = memberships.add_account(DeviceKey(digest(name)))
        memberships.add(account, to_text(digest(f"home {name}")), digest("h"), name, HOME)
    memberships.add(1, to_text(digest("garden")), digest("key"), "garden", INVITED)
    return store


def test_who_is_where(store: Store) -> None:
    memberships = store.memberships
    assert memberships.accounts() == [1, 2]
    assert [m.name for m in memberships.of_account(1)] == ["garden"]
    assert memberships.of_account(2) == []
    assert [m.name for m in memberships.all()] == ["garden"]
    assert memberships.home(2).name == "bob"
    assert memberships.device_key(1) == DeviceKey(digest("alice"))
    member = memberships.of_account(1)[0]
    assert (member.account_id, member.raw_space_id) == (DeviceKey(digest("alice")).text, digest("garden"))
    assert member.epochs[member.current_epoch][0] == digest("key")
    for wrong in (
        lambda: memberships.get(2, member.space),
        lambda: memberships.home(9),
        lambda: memberships.device_key(9),
    ):
        with pytest.raises(KeyError):
            wrong()


def test_a_rollback_forgets_memberships_and_names(store: Store) -> None:
    memberships = store.memberships
    with undone(store.db):
        account = memberships.add_account(DeviceKey(digest("carol")))
        member = memberships.add(account, to_text(digest("new")), digest("key"), "new", INVITED)
        device = store.names.device_number(member.space, "carol")
        assert len(memberships.all()) == 2
    assert len(memberships.all()) == 1
    assert memberships.accounts() == [1, 2]
    with pytest.raises(KeyError):
        memberships.get(account, member.space)
    assert store.names.known_device(member.space, "carol") is None
    assert store.names.device_number(1, "dora") == device, "the number is given again, to another"
    assert store.names.device_name(device) == "dora"


def test_keys_do_not_show_in_a_repr(store: Store) -> None:
    assert repr(digest("alice")) not in repr(store.memberships.of_account(1)[0].device_key)


def test_inviting_is_remembered(store: Store) -> None:
    member = store.memberships.of_account(1)[0]
    assert not store.memberships.has_invited(1)
    store.memberships.mark_invited(member)
    assert store.memberships.has_invited(1)
    assert not store.memberships.has_invited(2)


def test_addresses_are_bounded_and_the_latest_reached_stay(store: Store) -> None:
    """MAX_ADDRESSES_KEPT in each space of each identity."""
    space = store.memberships.of_account(1)[0].space
    remember = store.memberships.remember_address
    remember(2, space, "other", "192.0.2.9:1", 1)
    for number in range(MAX_ADDRESSES_KEPT + 50):
        remember(1, space, f"d{number % 7}", f"192.0.2.1:{number}", number + 1)
    for number in range(100):
        remember(1, space, "hearsay", f"192.0.2.2:{number}", 0)
    found = store.memberships.addresses(1, space, 10_000)
    assert [reached for *_, reached in found] == list(range(MAX_ADDRESSES_KEPT + 50, 50, -1))
    assert len(store.memberships.addresses(2, space, 10)) == 1
    assert len(store.memberships.addresses(1, space, 5)) == 5


def test_hearsay_does_not_age_what_is_known(store: Store) -> None:
    for reached in (7, 0, 5):
        store.memberships.remember_address(1, 1, "d", "192.0.2.1:1", reached)
    assert store.memberships.addresses(1, 1, 9) == [("d", "192.0.2.1:1", 7)]
