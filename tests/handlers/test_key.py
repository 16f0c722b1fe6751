import pytest

from quire.core.encoding import to_text
from quire.core.sealing import key_id
from quire.events.home import Home
from quire.handlers import key, key_share, role
from quire.handlers import key as key_module
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
    state_of,
    views,
)
from tests.handlers.letters import Apart, apart

NEW, RIVAL = digest("new key"), digest("rival key")


def held(home: Home, member: Membership) -> set[bytes]:
    now = home.store.memberships.get(member.account, member.space)
    return {content for content, _ in now.epochs.values()}


def sealing(home: Home, member: Membership) -> bytes:
    now = home.store.memberships.get(member.account, member.space)
    return now.epochs[now.content][0]


def rekeyed(
    space: Space, by: Author, content: bytes, *to: Author, name: str = "", generation: int = 2
) -> Made:
    body = space.new_key(content, to, generation, [space.first_key])
    after = [space.first_key, by.introduce(), *(one.introduce() for one in to)]
    return by.act("key", {**body, **({"name": name} if name else {})}, *after)


def counts(home: Home, made: Made) -> list[int]:
    return [
        n for (n,) in home.store.db.all("SELECT counts FROM auth_graph WHERE event_id = ?", (made.event_id,))
    ]


# --- What others make ---------------------------------------------------------------------------------


def test_a_new_key_is_taken_and_sealed_under() -> None:
    space, home = Space(), make_home()
    alice, carol = add_holder(home, space, "alice"), Author(space, "carol")
    made = rekeyed(space, carol, NEW, Author(space, "alice"), carol)
    said = carol.say("under the new key", under=NEW)
    assert give(home, alice, said).locked == 1
    assert home.store.locked.count(alice.account, alice.space) == 1
    give(home, alice, carol.introduce(), made)
    assert bodies(home, alice) == ["under the new key"]
    assert home.store.locked.count(alice.account, alice.space) == 0
    assert sealing(home, alice) == NEW
    assert counts(home, made) == [1]
    home.close()


def test_keys_that_do_not_count_are_not_sealed_under() -> None:
    """Made by a stranger or a guest, of an inflated generation, or with a box for somebody who is not in."""
    space = Space()
    alice, carol, guest = (Author(space, name) for name in ("alice", "carol", "guest"))
    guests = space.founder.invite("guest")
    stranger = Author(space, "stranger")
    let_in = guest.introduce(invite=guests, ts=NOW - MINUTE)
    by_guest = guest.act(
        "key", space.new_key(NEW, [alice], 2, [space.first_key]), space.first_key, let_in, alice.introduce()
    )
    by_stranger = rekeyed(space, stranger, NEW, alice)
    inflated = rekeyed(space, carol, NEW, alice, carol, generation=1_000)
    for_stranger = carol.act(
        "key",
        space.new_key(RIVAL, [alice, stranger], 2, [space.first_key]),
        space.first_key,
        carol.introduce(),
        alice.introduce(),
    )
    home = make_home()
    member = add_holder(home, space, "alice")
    give(home, member, carol.introduce(), guests.event, let_in)
    give(home, member, by_guest, by_stranger, inflated, for_stranger, now=NOW + MINUTE)
    for made in (by_guest, inflated, for_stranger):
        assert counts(home, made) == [0]
    assert state_of(home, member, by_stranger) == "blocked"
    assert sealing(home, member) == space.key
    home.close()


def test_a_key_that_does_not_count_opens_what_others_sealed_all_the_same() -> None:
    """Its maker was removed at the time; somebody honest sealed under it before hearing so. Both orders read it."""
    space = Space()
    alice, carol, dora = (Author(space, name) for name in ("alice", "carol", "dora"))
    made = rekeyed(space, carol, NEW, alice, carol, dora)
    said = dora.say("sealed in good faith", under=NEW)
    removal = space.founder.act(
        "role", {"member": carol.identity, "role": "none", "marks": {}}, carol.introduce(), ts=NOW
    )
    seen = []
    for order in ((made, said, removal), (removal, said, made), (said, removal, made)):
        home = make_home()
        member = add_holder(home, space, "alice")
        give(home, member, carol.introduce(), dora.introduce())
        for one in order:
            give(home, member, one, now=NOW + MINUTE)
        assert bodies(home, member) == ["sealed in good faith"]
        assert counts(home, made) == [0]
        assert sealing(home, member) == space.key
        seen.append(views(home, member))
        home.close()
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("name", [to_text(key_id(RIVAL)), to_text(bytes(8))])
def test_a_wrapped_key_whose_name_does_not_match_is_not_kept(name: str) -> None:
    space, home = Space(), make_home()
    alice, carol = add_holder(home, space, "alice"), Author(space, "carol")
    before = held(home, alice)
    give(home, alice, carol.introduce(), rekeyed(space, carol, NEW, Author(space, "alice"), name=name))
    assert held(home, alice) == before
    assert sealing(home, alice) == space.key
    home.close()


@pytest.mark.parametrize("name", ["", "x", "!", "\ud7ff", to_text(bytes(9)), "A" * 500])
def test_names_that_are_none_stop_nothing(name: str) -> None:
    """Such an event once made every batch fail that it came in."""
    space, home = Space(), make_home()
    alice, carol = add_holder(home, space, "alice"), Author(space, "carol")
    me = Author(space, "alice")
    share = {"key": space.first_key.event_id, **space.wrapped(space.key, [me]), "name": name}
    after = (space.first_key, carol.introduce(), me.introduce())
    made = [
        rekeyed(space, carol, NEW, me, name=name or "?"),
        carol.act("key-share", share, *after),
        carol.say("and on"),
    ]
    assert give(home, alice, carol.introduce(), *made).valid == 4
    assert bodies(home, alice) == ["and on"]
    assert counts(home, made[1]) == [0]
    home.close()


# --- What we make -------------------------------------------------------------------------------------


def test_rekey_reaches_everyone() -> None:
    with apart() as there:
        for name in ("bob", "carol"):
            there.join(name)
        there.settle()
        done = key.rekey(there["bob"].ctx("bob"))
        assert (done.generation, done.devices) == (2, 3)
        there.say("bob", "new")
        there.settle()
        assert there.texts("ann") == there.texts("carol") == ["new"]
        keys = {sealing(there[name].home, there[name].member(name)) for name in there.homes}
        assert len(keys) == 1


def rivals(there: Apart) -> None:
    for name in ("bob", "carol"):
        there.join(name)
    there.settle()
    there.pass_time()
    for name in ("bob", "carol"):
        key.rekey(there[name].ctx(name))
        there.say(name, f"{name} under a key of its own")
    there.settle()


def test_two_keys_at_the_same_time_are_both_readable_and_the_next_writer_merges_them() -> None:
    with apart() as there:
        rivals(there)
        for name in there.homes:
            assert sorted(there.texts(name)) == [
                "bob under a key of its own",
                "carol under a key of its own",
            ]
        there.say("ann", "merged")
        rows = there["ann"].rows("SELECT count(*) FROM auth_graph WHERE action = 'newkey' AND counts")
        assert rows == [(4,)]
        there.say("ann", "once is enough")
        assert there["ann"].rows("SELECT count(*) FROM auth_graph WHERE action = 'newkey'") == [(4,)]
        there.settle()
        assert there.texts("bob")[2:] == there.texts("carol")[2:] == ["merged", "once is enough"]


def test_who_comes_after_a_merge_reads_both_branches() -> None:
    with apart() as there:
        rivals(there)
        there.say("ann", "merged")
        there.settle()
        there.join("dora", link=there["ann"].link("ann"))
        there.settle()
        assert len(there.texts("dora")) == 3
        assert there["dora"].knows("dora") == ["ann", "bob", "carol", "dora"]


def test_a_guest_cannot_make_a_key_and_writes_under_the_old_one() -> None:
    with apart() as there:
        there.join("bob")
        there.join("carol")
        there.settle()
        role.grant(there["ann"].ctx("ann"), "bob", "guest")
        role.leave(there["carol"].ctx("carol"))
        there.settle()
        before = sealing(there["bob"].home, there["bob"].member("bob"))
        there.say_all_the_same("bob", "not shown")
        assert sealing(there["bob"].home, there["bob"].member("bob")) == before
        there.settle()
        assert there.texts("ann") == []


def test_more_devices_than_one_event_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """KEY_BOXES: the others get theirs in events of their own."""
    monkeypatch.setattr(key_module, "KEY_BOXES", 2)
    monkeypatch.setattr(key_share, "KEY_BOXES", 2)
    with apart() as there:
        for name in ("bob", "carol", "dora", "erin"):
            there.join(name)
        there.settle()
        before = there["ann"].rows("SELECT count(*) FROM auth_graph WHERE action = 'sharekey'")[0][0]
        assert key.rekey(there["ann"].ctx("ann")).devices == 5
        after = there["ann"].rows("SELECT count(*) FROM auth_graph WHERE action = 'sharekey'")[0][0]
        assert after == before + 2
        there.say("ann", "for all")
        there.settle()
        for name in there.homes:
            assert there.texts(name) == ["for all"]
