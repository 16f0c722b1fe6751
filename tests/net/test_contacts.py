import pytest

from quire.core.keys import DeviceKey
from quire.limits import MAX_LINKS_KEPT, STRANGERS_PER_SECOND
from quire.net.contacts import Contacts, Crowded
from quire.net.link import Door, Link
from quire.net.standing import Standing

DOOR = Door(b"S" * 32, b"K" * 32)
US, THEM = DeviceKey(b"u" * 32), DeviceKey(b"t" * 32)
LINK = Link(DOOR, US, THEM.public)
SAID = Link(DOOR, THEM, US.public).seal(bytes(24), b"hello")
FORGED = SAID[:-1] + bytes((SAID[-1] ^ 1,))


def who(number: int, local: bytes = b"us") -> tuple[bytes, bytes, bytes]:
    return b"space", local, number.to_bytes(4, "big")


@pytest.mark.parametrize("standing", [Standing.MEMBER, Standing.REMOVED])
def test_a_known_device_s_key_is_agreed_upon_once(standing: Standing) -> None:
    contacts, made = Contacts(), []
    for _ in range(2 * STRANGERS_PER_SECOND):
        assert contacts.open(who(1), standing, FORGED, lambda: made.append(1) or LINK, 0) is None
    assert contacts.open(who(1), standing, SAID, lambda: made.append(1) or LINK, 0) == (LINK, b"hello")
    assert made == [1]


@pytest.mark.parametrize("standing", list(Standing))
def test_so_many_keys_are_agreed_upon_in_a_second(standing: Standing) -> None:
    contacts = Contacts()
    for number in range(STRANGERS_PER_SECOND):
        contacts.open(who(number), standing, FORGED, lambda: LINK, 0)
    with pytest.raises(Crowded):
        contacts.open(who(STRANGERS_PER_SECOND), standing, SAID, lambda: LINK, 999)
    for other in Standing:
        if other is not standing:
            assert contacts.open(who(STRANGERS_PER_SECOND), other, SAID, lambda: LINK, 999)
    assert contacts.open(who(STRANGERS_PER_SECOND), standing, SAID, lambda: LINK, 1_000)


def test_so_many_links_are_kept_those_of_who_spoke_last_and_none_of_unknown_devices() -> None:
    contacts = Contacts()
    for number in range(MAX_LINKS_KEPT + 1):
        contacts.open(who(0), Standing.MEMBER, SAID, lambda: LINK, 1_000 * number)
        contacts.open(who(number), Standing.MEMBER, FORGED, lambda: LINK, 1_000 * number)
        contacts.open(who(number), Standing.UNKNOWN, SAID, lambda: LINK, 1_000 * number)
    assert len(contacts) == MAX_LINKS_KEPT
    assert contacts.open(who(0), Standing.MEMBER, SAID, lambda: None, 0)
    assert contacts.open(who(1), Standing.MEMBER, SAID, lambda: None, 10_000_000) is None


def test_a_local_device_that_left_leaves_nothing() -> None:
    contacts = Contacts()
    contacts.open(who(1), Standing.MEMBER, SAID, lambda: LINK, 0)
    contacts.open(who(1, b"other"), Standing.REMOVED, SAID, lambda: LINK, 0)
    contacts.forget(b"space", b"us")
    assert len(contacts) == 1
