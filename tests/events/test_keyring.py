from pathlib import Path

import pytest

from quire.core.encoding import to_text
from quire.core.sealing import key_id
from quire.core.wrapping import WrapKey, unwrap, wrap
from quire.errors import BadEvent
from quire.events.home import Home
from quire.events.keyring import (
    CONTENT,
    CONTROL,
    HeldKey,
    audience_keys,
    control_key,
    control_of,
    first_control,
    first_epoch,
    handed,
    held_key,
    hold,
    name_of,
    seal_older,
    wrap_context,
)
from quire.events.standing import graph_of
from quire.limits import MAX_LOCKED
from quire.store import locked as locked_module
from quire.store.memberships import Membership
from tests.events.builders import (
    MINUTE,
    NOW,
    Author,
    Made,
    Space,
    add_holder,
    bodies,
    digest,
    give,
    make_home,
    undone,
)

NEW, NEWER = digest("new key"), digest("newer key")


def older(there: Space, under: bytes, *keys: tuple[int, bytes]) -> list[dict[str, str]]:
    """Keys of the past as a key event has them."""
    found = []
    for kind, key in keys:
        above = HeldKey(CONTENT, name_of(under), under)
        own = HeldKey(CONTENT, name_of(key), key)
        if kind == CONTROL:
            above, own = control_of(above), control_of(own)
        sealed = seal_older(above, own, digest(f"nonce {name_of(key)}", 24), there.raw_id)
        name = "content" if kind == CONTENT else "control"
        found.append({"kind": name, "name": sealed.name, "sealed": to_text(sealed.sealed)})
    return found


def crossed(there: Space, under: bytes, kind: int, key: bytes) -> dict[str, str]:
    """A key of the past as one of the other kind, under its own name."""
    above = HeldKey(CONTENT, name_of(under), under)
    above = control_of(above) if kind == CONTROL else above
    sealed = seal_older(above, HeldKey(kind, name_of(key), key), digest("crossed", 24), there.raw_id)
    return {
        "kind": "content" if kind == CONTENT else "control",
        "name": sealed.name,
        "sealed": to_text(sealed.sealed),
    }


def keys(home: Home, member: Membership) -> set[bytes]:
    now = home.store.memberships.get(member.account, member.space)
    return {key for key, _ in now.epochs.values()}


def test_names_and_controls() -> None:
    assert control_key(NEW) != NEW
    assert key_id(control_key(NEW)) != key_id(NEW)
    held = HeldKey(CONTENT, name_of(NEW), NEW)
    assert control_of(held) == HeldKey(CONTROL, name_of(NEW), control_key(NEW))


def test_what_is_wrapped_for_one_space_opens_in_no_other() -> None:
    key = WrapKey(digest("seed"))
    ours, theirs = Space(), Space("elsewhere")
    public, (box,) = wrap(NEW, [key.public], digest("e"), wrap_context(ours.raw_id, name_of(NEW)))
    assert unwrap(box, public, key, wrap_context(ours.raw_id, name_of(NEW))) == NEW
    with pytest.raises(BadEvent):
        unwrap(box, public, key, wrap_context(theirs.raw_id, name_of(NEW)))


def chain_of_keys(there: Space, carol: Author, kind: int) -> list[Made]:
    """Two keys after the first; each hands on the one before. Their events are sealed under the first one."""
    first = there.new_key(NEW, [carol], 2, [there.first_key])
    first["older"] = older(there, NEW, (kind, there.key))
    one = carol.act("key", first, there.first_key, carol.introduce())
    second = there.new_key(NEWER, [carol], 3, [one])
    second["older"] = older(there, NEWER, (kind, NEW))
    two = carol.act("key", second, one)
    return [one, two]


@pytest.mark.parametrize("kind", [CONTENT, CONTROL])
@pytest.mark.parametrize("order", [1, -1])
def test_the_last_key_leads_back_to_those_before(kind: int, order: int) -> None:
    """Who holds the newest key, and the graph's first one, opens the graph from its beginning."""
    there, home = Space(), make_home()
    carol = Author(there, "carol")
    events = [*there.founding, carol.introduce(), *chain_of_keys(there, carol, kind)]
    words = [carol.say("old"), carol.say("new", under=NEW), carol.say("newer", under=NEWER)]
    member = add_holder(home, there, "alice", let_in=False)
    home.store.db.execute("DELETE FROM space_keys WHERE account = ?", (member.account,))
    home.store.memberships._forget()
    member = home.store.memberships.get(member.account, member.space)
    with home.store.transaction():
        newest = HeldKey(CONTENT, name_of(NEWER), NEWER)
        began = control_of(HeldKey(CONTENT, name_of(there.key), there.key))
        hold(home, member, graph_of(home, member), [newest, began])
    for batch in ([events[:3], events[3:], words])[::order]:
        give(home, member, *batch, now=NOW + MINUTE)
    expected = {NEWER, NEW, there.key} if kind == CONTENT else {NEWER}
    assert keys(home, member) & {NEWER, NEW, there.key} == expected
    assert control_key(there.key) in keys(home, member)
    assert bodies(home, member) == (["new", "newer", "old"] if kind == CONTENT else ["newer"])
    assert held_key(home, member, "", name_of(NEWER)) == NEWER
    home.close()


def test_the_first_control_is_the_one_that_the_first_key_came_under() -> None:
    """Whatever else was handed out by its name."""
    there, home = Space(), make_home()
    alice = add_holder(home, there, "alice")
    first = HeldKey(CONTROL, name_of(there.key), control_key(there.key))
    with home.store.transaction():
        home.store.memberships.add_key(alice, control_key(digest("false")), first.name)
    graph = graph_of(home, alice)
    assert first_control(home, alice, graph) == first
    carol = Author(there, "carol")
    one, two = chain_of_keys(there, carol, CONTENT)
    give(home, alice, carol.introduce(), one, two)
    assert graph.ledger.node(two.event_id) is not None
    assert first_control(home, alice, graph) == first
    assert home.store.names.key_id(first_epoch(home, alice, graph)) == key_id(first.key)
    home.close()


def test_there_is_no_first_control_before_the_graph_is_known() -> None:
    there, home = Space(), make_home()
    alice = add_holder(home, there, "alice", let_in=False)
    assert first_control(home, alice, graph_of(home, alice)) is None
    assert first_epoch(home, alice, graph_of(home, alice)) == 0
    home.close()


def test_what_older_keys_open_nothing_is_left_alone() -> None:
    """Wrong bytes, a wrong name, another kind: no key comes of it, and nothing breaks."""
    there, home = Space(), make_home()
    alice, carol, me = add_holder(home, there, "alice"), Author(there, "carol"), Author(there, "alice")
    body = there.new_key(NEW, [me], 2, [there.first_key])
    sound = older(there, NEW, (CONTENT, NEWER))[0]
    body["older"] = [
        {**sound, "sealed": "AAAA"},
        {**sound, "sealed": "!"},
        {**sound, "name": "!"},
        {**sound, "name": name_of(digest("another"))},
        {**sound, "kind": "control"},
        {**sound, "kind": "king"},
        crossed(there, NEW, CONTROL, NEWER),
        crossed(there, NEW, CONTENT, control_key(NEWER)),
    ]
    before = keys(home, alice)
    made = carol.act("key", body, there.first_key, carol.introduce(), me.introduce())
    give(home, alice, carol.introduce(), made)
    assert keys(home, alice) - before == {NEW, control_key(NEW)}
    home.close()


@pytest.mark.parametrize("name", ["AAAAAAAAAAA", name_of(NEW), name_of(NEWER)])
def test_a_content_key_handed_on_beforehand_as_one_of_the_graph_is_known_as_what_it_is(name: str) -> None:
    """What is sealed under it is compared with those alone who have it."""
    there, home = Space(history="from-join"), make_home()
    alice, carol, me = add_holder(home, there, "alice"), Author(there, "carol"), Author(there, "alice")
    everybody = [carol.introduce(), me.introduce()]
    body = there.new_key(NEW, [me], 2, [there.first_key])
    above = control_of(HeldKey(CONTENT, name_of(NEW), NEW))
    sealed = seal_older(above, HeldKey(CONTROL, name, NEWER), digest("crossed", 24), there.raw_id)
    body["older"] = [{"kind": "control", "name": name, "sealed": to_text(sealed.sealed)}]
    early = carol.act("key", body, there.first_key, *everybody)
    later = carol.act(
        "key", there.new_key(NEWER, [me, carol], 2, [there.first_key]), there.first_key, *everybody
    )
    give(home, alice, *everybody, early)
    give(home, alice, later, carol.say("hello", under=NEWER))
    assert bodies(home, alice) == ["hello"]
    assert held_key(home, alice, "", name_of(NEWER)) == NEWER
    now = home.store.memberships.get(alice.account, alice.space)
    assert {now.epochs[epoch][0] for epoch in now.apart} == {there.key, NEW, NEWER}
    assert (
        home.store.index(alice.account, alice.space, lambda: now.apart).whole().count
        == len(home.store.blobs.held_after(alice.account, alice.space, 0, 99)) - 1
    )
    home.close()


@pytest.mark.parametrize("order", [1, -1])
def test_a_key_of_the_graph_is_called_by_the_key_that_it_is_derived_from(order: int) -> None:
    """Whatever it was called when it was handed on by itself."""
    there, home = Space(), make_home()
    alice = add_holder(home, there, "alice")
    content = HeldKey(CONTENT, name_of(NEW), NEW)
    handed_on = [HeldKey(CONTROL, "AAAAAAAAAAA", control_key(NEW)), content]
    with home.store.transaction():
        for held in handed_on[::order]:
            hold(home, alice, graph_of(home, alice), [held])
    epoch = home.store.names.epoch_number(alice.space, key_id(control_key(NEW)))
    assert home.store.memberships.key_name(alice, epoch) == name_of(NEW)
    home.close()


def test_no_letter_brings_a_key_of_the_other_kind() -> None:
    first = control_key(NEW)
    assert handed(NEWER, first, name_of(NEW)) == [
        HeldKey(CONTENT, name_of(NEWER), NEWER),
        HeldKey(CONTROL, name_of(NEW), first),
    ]
    for key, began in ((first, first), (NEWER, NEW), (NEWER[1:], first), (NEWER, b"")):
        with pytest.raises(BadEvent, match="bad-letter"):
            handed(key, began, name_of(NEW))


def test_a_kept_key_of_what_is_no_audience_opens_nothing_and_is_in_nobodys_way() -> None:
    """A home that took one before such events were void goes on all the same."""
    there, home = Space(), make_home()
    alice = add_holder(home, there, "alice")
    audience = to_text(digest("audience"))
    with home.store.transaction():
        for scope in ("no id", audience):
            home.store.audiences.add_key(alice.account, alice.space, scope, name_of(NEW), NEW)
    assert [key.audience for key in audience_keys(home, alice)[name_of(NEW)]] == [digest("audience")]
    assert held_key(home, alice, "no id", name_of(NEW)) is None
    assert held_key(home, alice, audience, name_of(NEW)) == NEW
    home.close()


def test_locked_blobs_are_bounded_and_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """MAX_LOCKED: the others are counted as refused for want of room, and are taken when they come again."""
    assert MAX_LOCKED > 1_000
    monkeypatch.setattr(locked_module, "MAX_LOCKED", 2)
    there, home = Space(), make_home()
    alice, carol, me = add_holder(home, there, "alice"), Author(there, "carol"), Author(there, "alice")
    give(home, alice, carol.introduce())
    words = [carol.say(str(number), under=NEW) for number in range(5)]
    report = give(home, alice, *words)
    assert (report.locked, report.rejected) == (2, {"waiting-list-full": 3})
    made = carol.act(
        "key",
        there.new_key(NEW, [me], 2, [there.first_key]),
        there.first_key,
        carol.introduce(),
        me.introduce(),
    )
    give(home, alice, made)
    assert bodies(home, alice) == ["0", "1"]
    give(home, alice, *words)
    assert bodies(home, alice) == ["0", "1", "2", "3", "4"]
    home.close()


@pytest.mark.parametrize("how", ["a restart", "a rollback"])
def test_what_a_key_opens_is_taken_in_whatever_comes_after_it(how: str, tmp_path: Path) -> None:
    """A key that came by a letter opens nothing until the next batch: a crash may come first, or a full disk."""
    there, home = Space(), make_home(tmp_path / "quire.db")
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    give(home, alice, carol.introduce(), carol.say("before the key", under=NEW))
    with home.store.transaction():
        hold(home, alice, graph_of(home, alice), [HeldKey(CONTENT, name_of(NEW), NEW)])
    if how == "a restart":
        home.close()
        home = make_home(tmp_path / "quire.db")
    else:
        with undone(home.store.db):
            give(home, alice, carol.say("lost"))
    give(home, home.store.memberships.get(alice.account, alice.space))
    assert bodies(home, alice) == ["before the key"]
    assert home.store.locked.count(alice.account, alice.space) == 0
    home.close()
