from dataclasses import replace
from pathlib import Path

import pytest

from quire.core.ticket import decode_link, encode_link
from quire.errors import NotFound, UserError
from quire.limits import MAX_CHAIN, PAIRING_GAP_MS, PAIRING_MS
from quire.store.memberships import PAIRING
from tests.handlers.devices import LONG, Town, ask, held, spaces, texts


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_a_device_is_linked_once_the_person_has_compared_the_digits(tmp_path: Path, loss: float) -> None:
    town = Town(tmp_path, loss)
    bob, phone = town.friend("bob"), town.station("phone")
    phone.up()
    town.says(town.ann, "before")
    ask(bob, "sendMessage", target="@ann", text="for ann alone")
    shown = town.begin(phone)
    assert ask(phone, "getPairing")["code"] == shown["code"]
    assert len(shown["code"].replace(" ", "")) == 6
    assert shown["device"] == "phone"
    town.run(LONG)
    assert spaces(phone) == []
    assert ask(town.ann, "confirmDevice", code=shown["code"].replace(" ", ""))["state"] == "confirmed"
    town.until(lambda: "club" in spaces(phone))
    town.says(phone, "from the phone")
    town.seen("from the phone", town.ann, bob, phone)
    assert texts(phone) == texts(town.ann)
    town.until(
        lambda: [one["body_text"] for one in ask(phone, "getMessages", target="@bob")] == ["for ann alone"]
    )
    sender = ask(bob, "getMessages", target="general")[-1]["sender_name"]
    assert sender == "ann"
    assert [one["devices"] for one in ask(bob, "listMembers")] == [2, 1]
    town.close()


def test_history_comes_from_any_member_when_the_old_device_sleeps(town: Town) -> None:
    town.friend("bob")
    for number in range(20):
        town.says(town.ann, f"note {number}")
    phone = town.station("phone")
    phone.up()
    ask(town.ann, "confirmDevice", code=town.begin(phone)["code"])
    town.until(lambda: "club" in spaces(phone))
    town.until(lambda: all(held(one) == held(phone) for one in [phone]) and held(phone) > 0)
    town.ann.down()
    town.until(lambda: len(texts(phone)) == 20)


def test_other_digits_make_the_link_void_on_both_sides(town: Town) -> None:
    phone = town.station("phone")
    phone.up()
    code = town.begin(phone)["code"]
    other = f"{(int(code.replace(' ', '')) + 1) % 10**6:06}"
    said = ask(town.ann, "confirmDevice", code=other)
    assert said["state"] == "void"
    assert "differ" in said["reason"]
    town.until(lambda: ask(phone, "getPairing")["state"] == "void")
    with pytest.raises(NotFound, match="void"):
        ask(town.ann, "confirmDevice", code=code)
    town.run(LONG)
    assert spaces(phone) == []
    assert len(ask(town.ann, "listDevices")) == 1


def test_giving_up_on_the_new_device_is_told_on_the_old_one(town: Town) -> None:
    phone = town.station("phone")
    phone.up()
    code = town.begin(phone)["code"]
    assert ask(phone, "cancelPairing")["state"] == "void"
    town.until(lambda: ask(town.ann, "getPairing")["state"] == "void")
    with pytest.raises(NotFound):
        ask(town.ann, "confirmDevice", code=code)


def test_a_link_is_for_one_device(town: Town) -> None:
    phone, thief = town.station("phone"), town.station("thief")
    phone.up()
    thief.up()
    link = ask(town.ann, "linkDevice")["link"]
    ask(phone, "joinDevice", link=link)
    town.until(lambda: ask(town.ann, "getPairing")["state"] == "compare")
    ask(thief, "joinDevice", link=link)
    town.until(lambda: ask(thief, "getPairing")["state"] == "void")
    ask(town.ann, "confirmDevice", code=ask(town.ann, "getPairing")["code"])
    town.until(lambda: "club" in spaces(phone))
    # Replayed when it was used: nothing more.
    late = town.station("late")
    late.up()
    ask(late, "joinDevice", link=link)
    town.run(LONG)
    assert spaces(late) == spaces(thief) == []
    assert len(ask(town.ann, "listDevices")) == 2


def test_an_altered_link_shows_other_digits(town: Town) -> None:
    """Who changes the secret in a link, and lets everything else pass, is found out by the digits."""
    phone = town.station("phone")
    phone.up()
    ticket = decode_link(ask(town.ann, "linkDevice")["link"])
    ask(phone, "joinDevice", link=encode_link(replace(ticket, secret=bytes(32))))
    town.until(lambda: {ask(one, "getPairing")["state"] for one in (town.ann, phone)} == {"compare"})
    assert ask(phone, "getPairing")["code"] != ask(town.ann, "getPairing")["code"]


def test_a_link_ends_with_its_time(town: Town) -> None:
    phone = town.station("phone")
    phone.up()
    code = town.begin(phone)["code"]
    assert ask(phone, "getPairing")["expires"] - phone.now() <= PAIRING_MS
    town.run(PAIRING_MS + PAIRING_GAP_MS)
    assert ask(town.ann, "getPairing")["state"] == ask(phone, "getPairing")["state"] == "none"
    with pytest.raises(NotFound):
        ask(town.ann, "confirmDevice", code=code)
    assert phone.home.store.memberships.doors() == []
    assert phone.home.store.db.all("SELECT * FROM device_keys") == []


def test_a_pairing_door_shows_nowhere(town: Town) -> None:
    phone = town.station("phone")
    phone.up()
    town.begin(phone)
    assert ask(phone, "listIdentities") == []
    assert ask(phone, "getStatus")["identities"] == []
    assert spaces(town.ann) == ["club"]
    (said,) = ask(town.ann, "getStatus")["identities"]
    assert [one["name"] for one in said["spaces"]] == ["club"]
    assert [one.kind for one in phone.home.store.memberships.doors()] == [PAIRING]


def test_a_newer_link_replaces_the_one_before(town: Town) -> None:
    phone = town.station("phone")
    phone.up()
    first = ask(town.ann, "linkDevice")["link"]
    ask(town.ann, "linkDevice", name="desk")
    ask(phone, "joinDevice", link=first)
    town.run(LONG)
    assert ask(phone, "getPairing")["state"] == "waiting"
    assert [one["name"] for one in ask(town.ann, "listDevices")] == ["desk"]


def test_linking_takes_a_running_node(town: Town) -> None:
    link = ask(town.ann, "linkDevice")["link"]
    asleep = town.station("asleep")
    with pytest.raises(UserError, match="quire up"):
        ask(asleep, "joinDevice", link=link)
    town.ann.down()
    with pytest.raises(UserError, match="quire up"):
        ask(town.ann, "linkDevice")


def test_links_of_the_other_kind_are_refused(town: Town) -> None:
    phone = town.station("phone")
    phone.up()
    with pytest.raises(UserError, match="quire join"):
        ask(phone, "joinDevice", link=ask(town.ann, "createInvite")["link"])
    link = ask(town.ann, "linkDevice")["link"]
    with pytest.raises(UserError, match="device join"):
        ask(phone, "joinSpace", link=link, name="x")
    with pytest.raises(UserError, match="this very home"):
        ask(town.ann, "joinDevice", link=link)


def test_devices_link_devices_up_to_the_longest_chain(town: Town) -> None:
    last = town.ann
    for number in range(MAX_CHAIN - 1):
        last = town.linked(f"device {number}", last)
    one_more = town.station("one more")
    one_more.up()
    code = town.begin(one_more, last)["code"]
    with pytest.raises(UserError, match="too many times"):
        ask(last, "confirmDevice", code=code)
    town.says(last, "far away")
    town.seen("far away", town.ann)
    assert len(ask(town.ann, "listDevices")) == MAX_CHAIN
