from quire.events.rebuild import rebuild
from quire.handlers import key, key_share, message
from quire.limits import HEAL_MS
from tests.events.builders import NOW, Author, Space, add_holder, bodies, digest, give, make_home
from tests.handlers.letters import Apart, apart

NEW = digest("new key")


def shares(there: Apart, name: str) -> int:
    return int(there[name].rows("SELECT count(*) FROM auth_graph WHERE action = 'sharekey'")[0][0])


def left_out(there: Apart) -> None:
    """Bob makes a key while Ann lets Carol in: Carol's device lacks it."""
    there.join("bob")
    there.settle()
    there.pass_time()
    key.rekey(there["bob"].ctx("bob"))
    there.say("bob", "under a key that carol lacks")
    there.knock("carol", there["ann"].link("ann"))
    there.ask("carol", "ann")
    there.settle()
    assert there.texts("carol") == []


def test_whoever_made_the_key_heals_at_once() -> None:
    with apart() as there:
        left_out(there)
        before = shares(there, "bob")
        there["bob"].tick()
        assert shares(there, "bob") == before + 1
        there.settle()
        assert there.texts("carol") == ["under a key that carol lacks"]
        there["bob"].tick(3)
        assert shares(there, "bob") == before + 1, "once"


def test_the_others_wait_the_junior_the_longer() -> None:
    """HEAL_MS for the most senior, more for the others by the root of how many come before them."""
    with apart() as there:
        left_out(there)
        before = shares(there, "ann")
        net = there["ann"]
        for waited in range(0, HEAL_MS - 1_000, 1_000):
            net.tick()
            assert shares(there, "ann") == before, waited
        net.tick(3)
        assert shares(there, "ann") == before + 1
        there.settle()
        there.pass_time(HEAL_MS * 5)
        for name in ("bob", "carol"):
            there[name].tick(2)
            assert shares(there, name) == before + 1, "nothing is left to do"
        assert there.texts("carol") == ["under a key that carol lacks"]


def test_a_shared_key_opens_what_waited() -> None:
    space, home = Space(), make_home()
    alice, carol, me = add_holder(home, space, "alice"), Author(space, "carol"), Author(space, "alice")
    made = carol.act(
        "key", space.new_key(NEW, [carol], 2, [space.first_key]), space.first_key, carol.introduce()
    )
    said = carol.say("locked", under=NEW)
    share = carol.act("key-share", {"key": made.event_id, **space.wrapped(NEW, [me])}, made, me.introduce())
    assert give(home, alice, said, carol.introduce(), made).locked == 1
    assert bodies(home, alice) == []
    give(home, alice, share)
    assert bodies(home, alice) == ["locked"]
    rebuild(home, NOW)
    assert bodies(home, alice) == ["locked"]
    home.close()


def test_a_share_of_another_key_is_not_taken() -> None:
    space, home = Space(), make_home()
    alice, carol, me = add_holder(home, space, "alice"), Author(space, "carol"), Author(space, "alice")
    wrapped = {**space.wrapped(NEW, [me]), "name": space.wrapped(space.key, [me])["name"]}
    share = carol.act(
        "key-share", {"key": space.first_key.event_id, **wrapped}, space.first_key, me.introduce()
    )
    give(home, alice, carol.introduce(), share)
    now = home.store.memberships.get(alice.account, alice.space)
    assert NEW not in {content for content, _ in now.epochs.values()}
    home.close()


def test_nothing_is_shared_by_who_lacks_it() -> None:
    with apart() as there:
        left_out(there)
        assert key_share.share_missing(there["carol"].ctx("carol")) == 0
        assert key_share.share_missing(there["bob"].ctx("bob")) == 1
        assert key_share.share_missing(there["bob"].ctx("bob")) == 0
        assert message.list_(there["bob"].ctx("bob"), "general") != []


def test_what_is_no_base64_opens_nothing() -> None:
    assert key_share.raw("!") == b""
    assert key_share.raw_boxes({"device": "é"}) == {"device": b""}
