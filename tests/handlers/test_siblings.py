from pathlib import Path

import pytest

from quire.errors import BadEvent
from quire.events.context import Context
from quire.handlers import siblings
from quire.limits import ADDRESSES_HANDED, SIBLINGS_GAP_MS, SPACES_HANDED, SPACES_TOLD
from quire.store.memberships import SIBLINGS
from tests.handlers.devices import LONG, Town, ask, member, spaces, texts


def test_a_space_of_one_device_becomes_a_space_of_all(town: Town) -> None:
    phone = town.linked()
    ask(phone, "createSpace", name="roof")
    ask(town.ann, "createSpace", name="cellar")
    everything = {"club", "roof", "cellar"}
    town.until(lambda: set(spaces(phone)) == set(spaces(town.ann)) == everything)
    town.says(town.ann, "on the roof", "roof")
    town.says(phone, "in the cellar", "cellar")
    town.until(
        lambda: texts(phone, "roof") == ["on the roof"] and texts(town.ann, "cellar") == ["in the cellar"]
    )


def test_more_spaces_than_one_answer_hands_on(town: Town) -> None:
    for number in range(SPACES_HANDED + 1):
        ask(town.ann, "createSpace", name=f"room {number}")
    phone = town.station("phone")
    phone.up()
    ask(town.ann, "confirmDevice", code=town.begin(phone)["code"])
    town.until(lambda: len(spaces(phone)) == SPACES_HANDED + 2)


def test_siblings_find_each_other_before_they_share_a_space(tmp_path: Path) -> None:
    town = Town(tmp_path)
    loner, other = town.station("loner"), town.station("other")
    ask(loner, "createIdentity", name="loner")
    loner.up()
    other.up()
    ask(loner, "confirmDevice", code=town.begin(other, loner)["code"])
    town.until(lambda: ask(other, "listIdentities") != [])
    ask(other, "createSpace", name="hut")
    town.until(lambda: spaces(loner) == ["hut"])
    town.close()


def test_a_third_device_knows_the_second(town: Town) -> None:
    phone = town.linked("phone")
    tablet = town.linked("tablet")
    town.until(lambda: len(ask(phone, "listDevices")) == 3)
    town.ann.down()
    ask(tablet, "createSpace", name="attic")
    town.until(lambda: "attic" in spaces(phone))
    names = [one["name"] for one in ask(phone, "listDevices")]
    assert names == ["first device", "phone", "tablet"]
    assert [one["name"] for one in ask(tablet, "listDevices") if one["here"]] == ["tablet"]


def test_a_space_joined_by_one_device_is_joined_by_all(town: Town) -> None:
    phone = town.linked()
    carol = town.station("carol")
    ask(carol, "createIdentity", name="carol")
    ask(carol, "createSpace", name="choir")
    carol.up()
    ask(phone, "joinSpace", link=ask(carol, "createInvite")["link"], name="ann")
    town.until(lambda: "choir" in spaces(town.ann))
    town.says(town.ann, "la", "choir")
    town.until(lambda: texts(carol, "choir") == ["la"])
    assert [one["name"] for one in ask(carol, "listMembers")] == ["carol", "ann"]


def test_a_stranger_is_handed_nothing(town: Town) -> None:
    town.linked()
    bob = town.friend("bob")
    mine = member(town.ann)
    ctx = Context(town.ann.home, town.ann.now(), mine.account, mine)
    assert siblings.answer(ctx, member(bob).device, siblings.HAVE) == []
    assert siblings.greet(ctx, member(bob).device) == []
    door = town.ann.home.store.memberships.doors_of(mine.account, SIBLINGS)[0]
    assert siblings.answer(ctx.within(door), member(bob).device, siblings.HAVE) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc0",
        b"\x95\xc4\x00\xc4\x00\xc0\xa1a\x90",
        b"\x95\xc4\x00\xc4\x00\xc0\xa1\xff\x90",
        b"\x84\xa6device\xa1\xff",
    ],
)
def test_what_is_no_letter_is_refused(town: Town, body: bytes) -> None:
    phone = town.linked()
    mine = member(town.ann)
    ctx = Context(town.ann.home, town.ann.now(), mine.account, mine)
    with pytest.raises(BadEvent, match="bad-letter"):
        siblings.answer(ctx, member(phone).device, siblings.HAND + body)
    with pytest.raises(BadEvent, match="bad-letter"):
        siblings.answer(ctx, member(phone).device, siblings.SELF + body)


def test_letters_fit_however_much_there_is_to_say(town: Town) -> None:
    phone = town.linked()
    mine = member(town.ann)
    store = town.ann.home.store
    long = "🦆" * 80
    store.memberships.set_kind(mine, mine.kind, long)
    for number in range(ADDRESSES_HANDED + 2):
        store.memberships.remember_address(
            mine.account, mine.space, mine.device, f"[2001:db8::{number}]:65535", 1
        )
    ctx = Context(town.ann.home, town.ann.now(), mine.account, mine)
    (letter,) = [
        one for one in siblings.answer(ctx, member(phone).device, siblings.HAVE) if long.encode() in one
    ]
    assert len(letter) <= 1_024
    assert 1 + SPACES_TOLD * 8 <= 1_024


def test_siblings_speak_again_after_a_while(town: Town) -> None:
    phone = town.linked()
    town.run(LONG)
    mine = member(town.ann)
    town.ann.home.noted.clear()
    ctx = Context(town.ann.home, town.ann.now(), mine.account, mine)
    assert len(siblings.greet(ctx, member(phone).device)) == 2
    assert siblings.greet(ctx, member(phone).device) == []
    later = Context(town.ann.home, town.ann.now() + SIBLINGS_GAP_MS, mine.account, mine)
    assert len(siblings.greet(later, member(phone).device)) == 2
