import pytest

from quire.errors import NotFound, Refused, UserError
from tests.handlers.devices import LONG, Town, ask, force, graph, heads, member, spaces, texts


def test_a_revoked_device_is_out_of_every_space(town: Town) -> None:
    bob, phone = town.friend("bob"), town.linked()
    ask(phone, "createSpace", name="roof")
    town.until(lambda: "roof" in spaces(town.ann))
    town.run(LONG)
    said = ask(town.ann, "revokeDevice", name="phone")
    assert (said["name"], said["spaces"]) == ("phone", 2)
    assert [one["revoked"] for one in ask(town.ann, "listDevices")] == [False, True]
    town.says(town.ann, "without the phone")
    town.seen("without the phone", bob)
    town.run(LONG)
    assert "without the phone" not in texts(phone)


def test_a_device_that_finds_itself_revoked_says_so_and_writes_nothing(town: Town) -> None:
    phone = town.linked()
    ask(town.ann, "revokeDevice", name=member(phone).device)

    def revoked() -> bool:
        (whole,) = ask(phone, "getStatus")["identities"]
        return bool(whole["spaces"][0]["revoked"])

    town.until(revoked)
    with pytest.raises(Refused, match="revoked"):
        town.says(phone, "still me")
    with pytest.raises(Refused, match="revoked"):
        ask(phone, "createInvite")
    assert phone.troubles() == []


def test_it_cites_the_last_event_held(town: Town) -> None:
    phone = town.linked()
    town.says(phone, "the last one")
    town.seen("the last one", town.ann)
    device, mine = member(phone).device, member(town.ann)
    number = town.ann.home.store.names.known_device(mine.space, device)
    assert number is not None
    seq, last = town.ann.home.store.blobs.head(number)
    ask(town.ann, "revokeDevice", name="phone")
    (node,) = graph(town.ann).ledger.dag.each(graph(town.ann).ledger.revocations(device))
    assert (node.change.seq, node.change.last) == (seq, last)  # type: ignore[union-attr]


def test_a_sibling_carries_it_into_spaces_of_its_own(town: Town) -> None:
    """The one that revokes need not be in every space: whoever is says it there."""
    phone, tablet = town.linked("phone"), town.linked("tablet")
    town.ann.down()
    ask(tablet, "createSpace", name="attic")
    town.until(lambda: "attic" in spaces(phone))
    town.run(LONG)
    tablet.down()
    town.ann.up()
    ask(town.ann, "revokeDevice", name="phone")
    phone.down()
    tablet.up()
    attic = graph(tablet, "attic").ledger
    town.until(lambda: bool(attic.revocations(member(phone).device) & graph(tablet, "attic").valid))


def test_the_device_at_hand_and_unknown_ones_are_not_revoked(town: Town) -> None:
    with pytest.raises(UserError, match="this very device"):
        ask(town.ann, "revokeDevice", name="first device")
    with pytest.raises(NotFound, match="no device called"):
        ask(town.ann, "revokeDevice", name="toaster")


def test_devices_of_one_name_are_told_apart_by_key(town: Town) -> None:
    phone, other = town.linked("phone"), town.station("other")
    other.up()
    ask(town.ann, "confirmDevice", code=town.begin(other, name="phone")["code"])
    town.until(lambda: "club" in spaces(other))
    with pytest.raises(NotFound, match="Several devices"):
        ask(town.ann, "revokeDevice", name="phone")
    ask(town.ann, "revokeDevice", name=member(other).device)
    found = {one["key"]: one["revoked"] for one in ask(town.ann, "listDevices")}
    assert found[member(other).device]
    assert not found[member(phone).device]


def test_nobody_revokes_anothers_device(town: Town) -> None:
    bob = town.friend("bob")
    device = member(town.ann).device
    forged = force(bob, "device-revoke", {"device": device, "last_seq": 0, "last": "", "after": heads(bob)})
    town.run(LONG)
    assert not graph(town.ann).counts(forged)
    town.says(town.ann, "still here")
    town.seen("still here", bob)
