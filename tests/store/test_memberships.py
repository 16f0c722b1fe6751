from pathlib import Path

import pytest

from quire.core.encoding import to_text
from quire.core.keys import DeviceKey, as_control
from quire.core.sealing import key_id
from quire.core.vault import Vault
from quire.errors import HomeError
from quire.limits import MAX_ADDRESSES, MAX_ADDRESSES_KEPT
from quire.store.memberships import FOUNDER, HOME, INVITED, PAIRING, SIBLINGS
from quire.store.store import Store
from tests.events.builders import VAULT, digest, undone


def add_account(store: Store, name: str) -> int:
    nonces = digest(f"nonces {name}", 48)
    root = digest(f"entropy {name}")
    return store.memberships.add_account(f"root of {name}", DeviceKey(digest(name)), "[]", nonces, root)


@pytest.fixture
def store() -> Store:
    store = Store(":memory:", VAULT)
    memberships = store.memberships
    for name in ("alice", "bob"):
        account = add_account(store, name)
        memberships.add(account, to_text(digest(f"home {name}")), digest("h"), name, HOME)
    member = memberships.add(1, to_text(digest("garden")), digest("link"), "garden", INVITED)
    epoch = memberships.add_key(member, digest("key"), to_text(key_id(digest("key"))))
    memberships.seal_under(member, epoch, epoch)
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
    assert (member.account_id, member.identity_name) == ("root of alice", "alice")
    assert (member.device, member.raw_space_id) == (DeviceKey(digest("alice")).text, digest("garden"))
    assert member.link_key == digest("link")
    assert member.epochs[member.content][0] == member.epochs[member.control][0] == digest("key")
    assert memberships.root(1) == digest("entropy alice")
    assert memberships.chain(1) == "[]"
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
        account = add_account(store, "carol")
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


def test_device_keys_are_stored_sealed_and_open_with_their_vault_alone(tmp_path: Path) -> None:
    path, key = tmp_path / "quire.db", DeviceKey(digest("alice"))
    store = Store(path, VAULT)
    account = add_account(store, "alice")
    nonces = digest("nonces alice", 48)
    assert store.db.one("SELECT seed, root FROM device_keys") == (
        VAULT.seal(nonces[:24], key.seed, b"device" + key.public),
        VAULT.seal(nonces[24:], digest("entropy alice"), b"root" + key.public),
    )
    store.close()
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert key.seed not in stored
    assert digest("entropy alice") not in stored
    another = Store(path, Vault(digest("another home")))
    with pytest.raises(HomeError, match="cannot be opened"):
        another.memberships.device_key(account)
    another.close()


def test_an_identity_that_was_linked_has_no_root_here(store: Store) -> None:
    account = store.memberships.add_account("x", DeviceKey(digest("x")), "[]", digest("nonces", 48))
    assert store.memberships.root(account) is None


def test_keys_go_by_the_name_of_their_content_key(store: Store) -> None:
    member, name = store.memberships.of_account(1)[0], to_text(key_id(digest("key")))
    epoch = store.memberships.add_key(member, digest("control"), name)
    assert store.memberships.add_key(member, digest("control"), name) == epoch, "once"
    assert store.memberships.add_key(member, digest("control"), "claimed", is_certain=False) == epoch
    assert store.memberships.key_name(member, epoch) == name
    assert sorted(store.memberships.keys_called(member, name)) == sorted([digest("key"), digest("control")])
    assert store.memberships.keys_called(member, "other") == []
    with pytest.raises(KeyError):
        store.memberships.key_name(member, 99)


def test_a_certain_name_takes_the_place_of_a_claimed_one(store: Store) -> None:
    member = store.memberships.of_account(1)[0]
    epoch = store.memberships.add_key(member, digest("control"), "claimed", is_certain=False)
    assert store.memberships.key_name(member, epoch) == "claimed"
    store.memberships.add_key(member, digest("control"), "certain")
    assert store.memberships.key_name(member, epoch) == "certain"


def test_whether_a_key_is_for_content_is_told_by_the_key_alone(store: Store) -> None:
    member = store.memberships.of_account(1)[0]
    control = as_control(digest("control"))
    content = store.memberships.add_key(member, digest("another"), "any name")
    store.memberships.add_key(member, control, to_text(key_id(control)))
    assert store.memberships.get(member.account, member.space).contents == {member.content, content}


def test_kind_and_name_may_change(store: Store) -> None:
    member = store.memberships.set_kind(store.memberships.of_account(1)[0], FOUNDER, "yard")
    assert (member.kind, member.name) == (FOUNDER, "yard")
    assert store.memberships.all() == [member]


def test_a_sealed_key_is_bound_to_its_identity(store: Store) -> None:
    """Who can write to the file cannot make one identity sign as another."""
    store.db.execute(
        "UPDATE device_keys SET seed = (SELECT seed FROM device_keys WHERE account = 2) WHERE account = 1"
    )
    with pytest.raises(HomeError, match="cannot be opened"):
        store.memberships.device_key(1)
    assert store.memberships.device_key(2) == DeviceKey(digest("bob"))


def test_where_a_device_was_reached_in_any_space(store: Store) -> None:
    remember = store.memberships.remember_address
    for number in range(MAX_ADDRESSES + 2):
        remember(1, 1, "d", f"192.0.2.1:{number}", number + 1)
    remember(1, 2, "d", "192.0.2.1:0", 100)
    remember(2, 1, "d", "192.0.2.9:1", 200)
    found = store.memberships.addresses_of(1, "d")
    assert len(found) == MAX_ADDRESSES
    assert found[:2] == ["192.0.2.1:0", f"192.0.2.1:{MAX_ADDRESSES + 1}"]


def test_addresses_are_bounded_and_the_latest_reached_stay(store: Store) -> None:
    """MAX_ADDRESSES_KEPT in each space of each identity."""
    space = store.memberships.of_account(1)[0].space
    remember = store.memberships.remember_address
    remember(2, space, "other", "192.0.2.9:1", 1)
    for number in range(MAX_ADDRESSES_KEPT + 50):
        remember(1, space, f"d{number}", f"192.0.2.1:{number}", number + 1)
    for number in range(100):
        remember(1, space, "hearsay", f"192.0.2.2:{number}", 0)
    found = store.memberships.addresses(1, space, 10_000)
    assert [reached for *_, reached in found] == list(range(MAX_ADDRESSES_KEPT + 50, 50, -1))
    assert len(store.memberships.addresses(2, space, 10)) == 1
    assert len(store.memberships.addresses(1, space, 5)) == 5


def test_a_device_in_many_places_makes_no_other_forgotten(store: Store) -> None:
    space = store.memberships.of_account(1)[0].space
    remember = store.memberships.remember_address
    remember(1, space, "quiet", "192.0.2.1:1", 1)
    remember(1, space, "heard of", "192.0.2.1:2", 0)
    for number in range(2 * MAX_ADDRESSES_KEPT):
        remember(1, space, "restless", f"192.0.2.2:{number}", number + 2)
        remember(1, space, "said to be everywhere", f"192.0.2.3:{number}", 0)
    kept = [device for device, *_ in store.memberships.addresses(1, space, 10_000)]
    assert {device: kept.count(device) for device in kept} == {
        "quiet": 1,
        "heard of": 1,
        "restless": MAX_ADDRESSES,
        "said to be everywhere": MAX_ADDRESSES,
    }


def test_many_devices_in_many_places_leave_the_latest_of_each(store: Store) -> None:
    space = store.memberships.of_account(1)[0].space
    remember = store.memberships.remember_address
    remember(1, space, "quiet", "192.0.2.1:1", 1)
    for number in range(2 * MAX_ADDRESSES_KEPT):
        remember(1, space, f"restless {number % 64}", f"192.0.2.2:{number}", number + 2)
    found = store.memberships.addresses(1, space, 10_000)
    assert len(found) <= MAX_ADDRESSES_KEPT
    assert "quiet" in [device for device, *_ in found]


def test_hearsay_does_not_age_what_is_known(store: Store) -> None:
    for reached in (7, 0, 5):
        store.memberships.remember_address(1, 1, "d", "192.0.2.1:1", reached)
    assert store.memberships.addresses(1, 1, 9) == [("d", "192.0.2.1:1", 7)]


def test_doors_that_are_no_spaces_are_listed_apart(store: Store) -> None:
    memberships = store.memberships
    siblings = memberships.add(1, to_text(digest("siblings")), digest("s"), "siblings", SIBLINGS)
    nobody = add_account(store, "not linked yet")
    pairing = memberships.add(nobody, to_text(digest("pairing")), digest("p"), "ann", PAIRING)
    assert memberships.accounts() == [1, 2]
    assert [m.name for m in memberships.all()] == ["garden"]
    assert memberships.doors() == [siblings, pairing]
    assert memberships.doors_of(1, SIBLINGS) == [siblings]
    assert memberships.doors_of(1, PAIRING) == []


def test_closing_the_door_of_a_device_that_was_not_linked_leaves_nothing_of_it(store: Store) -> None:
    memberships = store.memberships
    before = store.db.all("SELECT * FROM device_keys"), store.db.all("SELECT * FROM accounts")
    nobody = add_account(store, "not linked yet")
    pairing = memberships.add(nobody, to_text(digest("pairing")), digest("p"), "ann", PAIRING)
    memberships.remember_address(nobody, pairing.space, "device", "127.0.0.1:1", 1)
    memberships.remove(pairing)
    assert (store.db.all("SELECT * FROM device_keys"), store.db.all("SELECT * FROM accounts")) == before
    assert store.db.all("SELECT * FROM addresses") == []
    assert memberships.doors() == []


def test_closing_a_door_of_an_identity_leaves_the_identity(store: Store) -> None:
    memberships = store.memberships
    memberships.remove(memberships.add(1, to_text(digest("pairing")), digest("p"), "ann", PAIRING))
    assert memberships.accounts() == [1, 2]
    assert memberships.device_key(1) == DeviceKey(digest("alice"))


def test_a_device_may_become_an_identitys_and_a_root_may_change(store: Store) -> None:
    memberships = store.memberships
    memberships.become(1, "another root")
    assert [m.account_id for m in memberships.of_account(1)] == ["another root"]
    assert store.names.account_name(1) == "another root"
    memberships.set_chain(1, "[1]")
    assert memberships.chain(1) == "[1]"
    memberships.set_root(1, digest("new root"), digest("nonce", 24))
    assert memberships.root(1) == digest("new root")
    assert digest("new root") not in store.db.one("SELECT root FROM device_keys WHERE account = 1")[0]  # type: ignore[index]
