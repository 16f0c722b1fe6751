"""An identity comes back from its phrase or key file, on a fresh home, by a link to one of its spaces."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from quire.core.certificate import certify, consent
from quire.core.phrase import entropy_of, phrase_of, root_key
from quire.core.wrapping import WrapKey, seal_to
from quire.errors import BadEvent, Damaged, UserError
from quire.events import keyring
from quire.events.append import append
from quire.events.context import Context
from quire.handlers import recovering, siblings
from quire.limits import MAX_LETTER_BYTES, RECOVERY_PARENTS
from tests.events.builders import invite_keys
from tests.handlers.devices import (
    LONG,
    Town,
    ask,
    counts,
    force,
    graph,
    heads,
    key,
    knows,
    member,
    spaces,
    texts,
)
from tests.node.world import Station


def phrase(station: Station) -> str:
    return str(ask(station, "showPhrase")["phrase"])


def recover(town: Town, words: str, link: str, name: str = "fresh", **more: Any) -> Station:
    station = town.station(name)
    ask(station, "recoverIdentity", link=link, name="ann", phrase=words, **more)
    station.up()
    return station


def direct(station: Station, target: str) -> list[str]:
    return sorted(one["body_text"] for one in ask(station, "getMessages", target=target))


def joined(station: Station) -> str:
    (whole,) = ask(station, "getStatus")["identities"]
    return str(whole["spaces"][0]["joining"])


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_an_identity_comes_back_by_its_phrase_when_every_device_is_lost(tmp_path: Path, loss: float) -> None:
    town = Town(tmp_path, loss)
    bob = town.friend("bob")
    town.says(town.ann, "before the flood")
    ask(bob, "sendMessage", target="@ann", text="for ann alone")
    ask(town.ann, "sendMessage", target="@bob", text="for bob alone")
    town.seen("before the flood", bob)
    town.until(lambda: direct(bob, "@ann") == direct(town.ann, "@bob") == ["for ann alone", "for bob alone"])
    words, before = phrase(town.ann), member(town.ann).account_id
    town.ann.down()
    invite = ask(bob, "createInvite")["link"]
    fresh = recover(town, words, invite, device_name="new laptop")
    town.until(lambda: spaces(fresh) == ["club"] and texts(fresh) == ["before the flood"])
    assert ask(fresh, "listIdentities") == [{"pubkey": before, "name": "ann"}]
    town.until(lambda: "bob" in town.names(fresh))
    town.until(lambda: direct(fresh, "@bob") == ["for ann alone", "for bob alone"])
    town.says(fresh, "back again")
    town.seen("back again", bob)
    assert {one["sender"] for one in ask(bob, "getMessages", target="general")} == {before}
    assert [one["name"] for one in ask(fresh, "listDevices")] == ["first device", "new laptop"]
    assert phrase(fresh) == words
    # No seat of the invite is used: somebody else still joins by it.
    carol = town.station("carol")
    ask(carol, "joinSpace", link=invite, name="carol")
    carol.up()
    town.until(lambda: len(ask(bob, "listMembers")) == 3)
    town.close()


def test_an_identity_comes_back_by_its_key_file(town: Town) -> None:
    bob = town.friend("bob")
    content = ask(town.ann, "exportIdentity", passphrase="correct horse battery")["content"]
    ask(town.ann, "rotateIdentity")
    newer = ask(town.ann, "exportIdentity", passphrase="correct horse battery")["content"]
    fresh = town.station("fresh")
    link = ask(bob, "createInvite")["link"]
    with pytest.raises(UserError, match="passphrase is wrong"):
        ask(
            fresh,
            "recoverIdentity",
            link=link,
            name="ann",
            key_file_text=newer,
            passphrase="wrong horse battery",
        )
    ask(
        fresh,
        "recoverIdentity",
        link=link,
        name="ann",
        key_file_text=newer,
        passphrase="correct horse battery",
    )
    fresh.up()
    town.until(lambda: len(ask(fresh, "listMembers")) == 2)
    assert ask(fresh, "listIdentities")[0]["pubkey"] == member(town.ann).account_id
    stale = town.station("stale")
    ask(
        stale,
        "recoverIdentity",
        link=link,
        name="ann",
        key_file_text=content,
        passphrase="correct horse battery",
    )
    stale.up()
    town.until(lambda: "newer one" in joined(stale))


def test_the_other_spaces_come_from_the_siblings_that_are_left(town: Town) -> None:
    ask(town.ann, "createSpace", name="roof")
    fresh = recover(town, phrase(town.ann), ask(town.ann, "createInvite", "club")["link"])
    town.until(lambda: set(spaces(fresh)) == {"club", "roof"})
    ask(fresh, "createSpace", name="cellar")
    town.until(lambda: "cellar" in spaces(town.ann))


def test_a_strangers_phrase_gets_nothing(town: Town) -> None:
    bob = town.friend("bob")
    stranger = phrase_of(bytes(range(32)))
    fresh = recover(town, stranger, ask(bob, "createInvite")["link"])
    town.until(lambda: "no member" in joined(fresh))
    town.run(LONG)
    assert fresh.home.store.db.all("SELECT * FROM blobs WHERE space = ?", (member(fresh).space,)) == []
    assert [one["devices"] for one in ask(bob, "listMembers")] == [1, 1]
    # The right one, typed after that, takes its place.
    ask(fresh, "recoverIdentity", link=ask(bob, "createInvite")["link"], name="ann", phrase=phrase(town.ann))
    town.until(lambda: len(ask(fresh, "listMembers")) == 2)
    assert ask(fresh, "listIdentities") == [{"pubkey": member(town.ann).account_id, "name": "ann"}]


def test_who_was_removed_does_not_come_back_by_a_phrase(town: Town) -> None:
    bob = town.friend("bob")
    words = phrase(bob)
    ask(town.ann, "removeMember", name="bob")
    fresh = recover(town, words, ask(town.ann, "createInvite")["link"])
    town.until(lambda: "no member" in joined(fresh))
    assert texts(town.ann) == []


def test_recovery_events_that_no_present_root_certified_do_not_count(town: Town) -> None:
    """A member writes, with its own device, that it is ann's: by a stranger's root, and by ann's old one."""
    bob = town.friend("bob")
    old = root_key(entropy_of(phrase(town.ann)))
    ask(town.ann, "rotateIdentity")
    town.run(LONG)

    def forged(root_seed: str = "") -> str:
        root = key(root_seed) if root_seed else old
        ctx = Context(bob.home, bob.now(), member(bob).account, member(bob))
        own, ann = siblings.own(ctx), member(town.ann).account_id
        link = certify(root, ann, own.device, own.wrap)
        agreed = consent(member(bob).device_key, ann, own.wrap)
        fields = {"identity": ann, "root": root.text, "wrap": own.wrap, "consent": agreed, "name": "x"}
        return force(bob, "recovery", {**fields, "certificate": link, "after": heads(bob)})

    events = [forged("stranger"), forged()]
    town.until(lambda: all(knows(town.ann, one)() for one in events))
    for station in (bob, town.ann):
        assert [counts(station, one) for one in events] == [False, False]
        claim = graph(station).ledger.standing(member(bob).device, graph(station).valid)
        assert claim is not None
        assert claim.member == member(bob).account_id


def test_a_certificate_for_another_device_gets_no_key(town: Town) -> None:
    """Who listens in, and asks again with somebody else's letter, is not that device."""
    bob = town.friend("bob")
    fresh = town.station("fresh")
    ask(fresh, "recoverIdentity", link=ask(bob, "createInvite")["link"], name="ann", phrase=phrase(town.ann))
    mine = member(fresh)
    (letter,) = recovering.greet(Context(fresh.home, fresh.now(), mine.account, mine), member(bob).device)
    theirs = Context(bob.home, bob.now(), member(bob).account, member(bob))
    with pytest.raises(BadEvent, match="bad-request"):
        recovering.answer(theirs, key("thief").text, letter)
    assert recovering.answer(theirs, mine.device, letter)[0][:1] == recovering.KEY


def test_a_key_that_anybody_sent_first_does_no_harm(town: Town) -> None:
    """Who has the link can answer before a member does, with a key of its own making."""
    bob = town.friend("bob")
    fresh = town.station("fresh")
    ask(fresh, "recoverIdentity", link=ask(bob, "createInvite")["link"], name="ann", phrase=phrase(town.ann))
    mine = member(fresh)
    ctx = Context(fresh.home, fresh.now(), mine.account, mine)
    none = siblings.SpaceKey(bytes(32), keyring.control_key(bytes(32)), keyring.name_of(bytes(32)))
    said = msgspec.msgpack.encode(recovering.Answer("club", none, [bytes(32)], 1))
    context = b"quire recovered 1" + mine.raw_space_id + mine.device_key.public
    sealed = seal_to(WrapKey(mine.device_key.seed).public, said, bytes(32), context)
    recovering.answer(ctx, key("thief").text, recovering.KEY + sealed)
    assert member(fresh).kind == "invited"
    fresh.up()
    town.until(lambda: len(ask(fresh, "listMembers")) == 2)
    town.says(fresh, "in after all")
    town.seen("in after all", bob)
    assert joined(fresh) == ""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc0",
        msgspec.msgpack.encode([b"", b"", b"", b"", b"", "x"]),
        b"\x96" + b"\xc4\x00" * 5 + b"\xa1\xff",
    ],
)
def test_what_is_no_letter_is_refused(town: Town, body: bytes) -> None:
    mine = member(town.ann)
    ctx = Context(town.ann.home, town.ann.now(), mine.account, mine)
    with pytest.raises(BadEvent):
        recovering.answer(ctx, key("x").text, recovering.ASK + body)


def test_letters_fit_however_wide_the_graph_is(town: Town) -> None:
    bob = town.friend("bob")
    store = bob.home.store
    store.memberships.set_kind(member(bob), "invited", "🦆" * 80)
    name = store.memberships.all()[0].name
    mine = member(bob, name)
    after = [
        node.event_id for node in graph(bob, name).ledger.entries(mine.account_id, graph(bob, name).valid)
    ]
    limits = {"role": "member", "uses": 1, "expires": bob.now() + LONG, "approve": False, "after": after}
    for number in range(RECOVERY_PARENTS + 4):
        keys = invite_keys(key(str(number)).seed, mine.space_id, mine.device)
        append(bob.home, mine, "invite", [{**keys, **limits}], bob.now())
    assert len(graph(bob, name).ledger.dag.latest(graph(bob, name).valid)) > RECOVERY_PARENTS
    fresh = town.station("fresh")
    ask(fresh, "recoverIdentity", link=ask(bob, "createInvite")["link"], name="ann", phrase=phrase(town.ann))
    asking = member(fresh, name)
    (letter,) = recovering.greet(
        Context(fresh.home, fresh.now(), asking.account, asking), member(bob, name).device
    )
    (answer,) = recovering.answer(
        Context(bob.home, bob.now(), member(bob, name).account, member(bob, name)), asking.device, letter
    )
    assert answer[:1] == recovering.KEY
    assert len(answer) <= MAX_LETTER_BYTES


def test_what_recovers_nothing_is_said_at_once(town: Town) -> None:
    fresh = town.station("fresh")
    link = ask(town.ann, "createInvite")["link"]
    with pytest.raises(UserError, match="24 words"):
        ask(fresh, "recoverIdentity", link=link, name="ann", phrase="abandon ability")
    with pytest.raises(UserError, match="phrase"):
        ask(fresh, "recoverIdentity", link=link, name="ann")
    with pytest.raises(Damaged):
        ask(fresh, "recoverIdentity", link=link, name="ann", key_file_text="AAAA")
    with pytest.raises(UserError, match="link to one of"):
        ask(
            fresh,
            "recoverIdentity",
            link=ask(town.ann, "linkDevice")["link"],
            name="ann",
            phrase=phrase(town.ann),
        )
    phone = town.linked()
    with pytest.raises(UserError, match="this home already"):
        ask(phone, "recoverIdentity", link=link, name="ann", phrase=phrase(town.ann))
