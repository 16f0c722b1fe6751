from collections.abc import Callable
from itertools import permutations

import pytest

from quire.errors import NotFound, QuireError, Refused, UserError
from quire.events.rebuild import rebuild
from quire.handlers import role, space
from quire.store.memberships import Membership
from tests.events.builders import (
    FOUNDED,
    MINUTE,
    NOW,
    Author,
    Made,
    Space,
    add_holder,
    bodies,
    give,
    make_home,
    state_of,
    views,
)
from tests.handlers.letters import apart
from tests.handlers.network import Network, author_in


def remove(space: Space, author: Author, upto: Made | None, as_: str = "none", ts: int = NOW) -> Made:
    """The founder's removal of an author, whose log counts up to `upto` (at the author's present place)."""
    marks = {author.id: [author.seq, upto.event_id]} if upto is not None else {}
    body = {"member": author.identity, "role": as_, "marks": marks}
    return space.founder.act("role", body, author.introduce(), ts=ts)


def shown_in_every_order(space: Space, *made: Made) -> list[str]:
    """What is shown of these, and the same whatever came first, at once or one by one, and after a rebuild."""
    outcomes = []
    for order in permutations(made):
        for batches in ([order], [[one] for one in order]):
            home = make_home()
            member = add_holder(home, space, "alice")
            for batch in batches:
                give(home, member, *batch, now=NOW + MINUTE)
            seen = views(home, member)
            rebuild(home, NOW + MINUTE)
            assert views(home, member) == seen
            outcomes.append((bodies(home, member), seen["hidden"], seen["members"]))
            home.close()
    assert all(outcome == outcomes[0] for outcome in outcomes)
    return outcomes[0][0]


# --- What a removed member writes ---------------------------------------------------------------------


@pytest.mark.slow
def test_what_comes_after_a_removal_is_not_shown_wherever_it_arrives_first() -> None:
    """Later, and dated before everything."""
    space = Space()
    carol = Author(space, "carol")
    kept = carol.say("kept")
    removal = remove(space, carol, kept)
    after = [carol.say("later"), carol.say("dated back", ts=FOUNDED + 5)]
    assert shown_in_every_order(space, carol.introduce(), kept, removal, *after) == ["kept"]


def test_what_the_remover_did_not_hold_is_not_shown() -> None:
    space = Space()
    carol = Author(space, "carol")
    kept = carol.say("kept")
    removal = remove(space, carol, kept)
    late = carol.say("written before the removal was heard of")
    assert shown_in_every_order(space, carol.introduce(), removal, late, kept) == ["kept"]


def test_nothing_counts_of_a_log_that_the_remover_never_saw() -> None:
    space = Space()
    carol = Author(space, "carol")
    unseen = carol.say("unseen")
    assert shown_in_every_order(space, carol.introduce(), remove(space, carol, None), unseen) == []


def test_a_guest_reads_and_nothing_else() -> None:
    space = Space()
    carol = Author(space, "carol")
    early = carol.say("as a member")
    demotion = remove(space, carol, early, "guest")
    silent = carol.say("as a guest")
    promotion = space.founder.act(
        "role",
        {"member": carol.identity, "role": "member", "marks": {carol.id: [carol.seq, silent.event_id]}},
        demotion,
        ts=NOW + 10,
    )
    again = carol.say("as a member again")
    made = (carol.introduce(), early, demotion, silent)
    assert shown_in_every_order(space, *made) == ["as a member"]
    home = make_home()
    member = add_holder(home, space, "alice")
    give(home, member, *made[::-1], again, promotion, now=NOW + MINUTE)
    assert bodies(home, member) == ["as a member", "as a member again"]
    home.close()


def test_what_a_removed_member_did_to_others_without_knowing_does_not_count() -> None:
    """It let somebody in at the time it was removed: both orders hide the guest's words."""
    space = Space()
    carol, dora = Author(space, "carol"), Author(space, "dora")
    intro = carol.introduce()
    body = {"invite": space.invite.event.event_id, "request": dora.request()}
    admit = carol.act("admit", body, intro)
    words = dora.say("let in by one who was going")
    removal = remove(space, carol, None)
    assert shown_in_every_order(space, intro, admit, words, removal) == []
    assert shown_in_every_order(Space(), intro, admit, words) == ["let in by one who was going"]


def test_a_removal_far_ahead_of_the_clock_waits() -> None:
    space, home = Space(), make_home()
    alice, carol = add_holder(home, space, "alice"), Author(space, "carol")
    kept = carol.say("kept")
    ahead = remove(space, carol, kept, ts=NOW + 60 * MINUTE)
    give(home, alice, carol.introduce(), kept, ahead, carol.say("meanwhile"))
    assert state_of(home, alice, ahead) == "blocked"
    assert bodies(home, alice) == ["kept", "meanwhile"]
    home.close()


def test_a_removal_by_who_may_not_changes_nothing() -> None:
    space = Space()
    carol, mallory = Author(space, "carol"), Author(space, "mallory")
    said = carol.say("still here")
    body = {"member": carol.identity, "role": "none", "marks": {}}
    by_member = mallory.act("role", body, carol.introduce(), mallory.introduce())
    assert shown_in_every_order(space, carol.introduce(), mallory.introduce(), said, by_member) == [
        "still here"
    ]


# --- Commands -----------------------------------------------------------------------------------------


def counts(net: Network, name: str) -> dict[str, str]:
    return {m.name: m.role for m in role.list_(net.ctx(name), everyone=True)}


def test_grant_and_list(pair: Network) -> None:
    pair.settle()
    assert [(m.name, m.role, m.me, m.devices) for m in role.list_(pair.ctx("bob"))] == [
        ("alice", "founder", False, 1),
        ("bob", "member", True, 1),
    ]
    for name in ("admin", "guest", "member"):
        assert role.grant(pair.ctx("alice"), "bob", name).role == name
        pair.settle()
        assert counts(pair, "bob") == counts(pair, "alice") == {"alice": "founder", "bob": name}


def test_a_member_is_removed_and_reads_no_more(pair: Network) -> None:
    pair.join("alice", "carol")
    pair.settle()
    before = pair.member("alice").content
    removed = role.remove(pair.ctx("alice"), "bob")
    assert (removed.name, removed.role) == ("bob", "none")
    assert pair.member("alice").content != before, "what comes is sealed under a new key"
    pair.send("alice", "general", "without bob")
    pair.settle()
    assert pair.texts("carol") == ["without bob"]
    assert pair.texts("bob") == []
    pair.send("bob", "general", "am I heard?")
    pair.settle()
    assert pair.texts("alice") == pair.texts("carol") == ["without bob"]
    assert pair.knows("carol") == ["alice", "carol"]


def test_a_removed_member_that_hears_of_it_is_refused_and_cannot_read_on() -> None:
    with apart() as there:
        there.join("bob")
        role.remove(there["ann"].ctx("ann"), "bob")
        there.say("ann", "without bob")
        report = there.give("ann", "bob")
        assert report.locked >= 1, "what is sealed under the new key stays closed"
        assert there.texts("bob") == []
        with pytest.raises(Refused, match="you are no member of this space any more"):
            there["bob"].link("bob")
        assert [one.kind for one in space.list_(there["bob"].ctx("bob"))] == ["removed"]
        with pytest.raises(Refused, match="Nobody would see that"):
            there.say("bob", "am I heard?")
        there.say_all_the_same("bob", "am I heard?")
        there.give("bob", "ann")
        assert there.texts("ann") == ["without bob"]


def test_ban_and_unban(pair: Network) -> None:
    pair.settle()
    assert role.ban(pair.ctx("alice"), "bob").role == "banned"
    assert counts(pair, "alice") == {"alice": "founder", "bob": "banned"}
    with pytest.raises(UserError, match="not a member any more"):
        role.remove(pair.ctx("alice"), "bob")
    role.unban(pair.ctx("alice"), "bob")
    assert counts(pair, "alice") == {"alice": "founder", "bob": "none"}
    with pytest.raises(UserError, match="not banned"):
        role.unban(pair.ctx("alice"), "bob")
    assert pair.knows("alice") == ["alice"]


def test_leaving(pair: Network) -> None:
    pair.settle()
    pair.send("alice", "general", "farewell")
    pair.settle()
    assert role.leave(pair.ctx("bob")).role == "none"
    pair.settle()
    assert pair.texts("bob") == ["farewell"], "what was synced stays"
    before = pair.member("alice").content
    pair.send("alice", "general", "gone?")
    assert pair.member("alice").content != before, "the first to write makes a new key"
    pair.settle()
    assert pair.texts("bob") == ["farewell"]


def test_what_nobody_may(pair: Network) -> None:
    pair.join("alice", "carol")
    pair.settle()
    acts: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: role.remove(pair.ctx("bob"), "carol"), "admin"),
        (lambda: role.grant(pair.ctx("bob"), "bob", "admin"), "admin"),
        (lambda: role.remove(pair.ctx("bob"), "alice"), "admin"),
        (lambda: role.grant(pair.ctx("alice"), "alice", "member"), "founder-stays"),
        (lambda: role.grant(pair.ctx("alice"), "bob", "member"), "already"),
    )
    for act, rule in acts:
        before = pair.sizes()
        with pytest.raises(Refused, match=f"rule `{rule}`"):
            act()
        assert pair.sizes() == before
    with pytest.raises(UserError, match="not 'founder'"):
        role.grant(pair.ctx("alice"), "bob", "founder")
    with pytest.raises(NotFound):
        role.remove(pair.ctx("alice"), "nobody")


def test_of_two_who_remove_each_other_the_senior_stays() -> None:
    with apart() as there:
        for name in ("bob", "carol"):
            there.join(name)
        there.settle()
        for name in ("bob", "carol"):
            role.grant(there["ann"].ctx("ann"), name, "admin")
        there.settle()
        there.pass_time()
        role.remove(there["carol"].ctx("carol"), "bob")
        role.remove(there["bob"].ctx("bob"), "carol")
        there.settle()
        for name in ("ann", "bob", "carol"):
            found = {m.name: m.role for m in role.list_(there[name].ctx(name), everyone=True)}
            assert found == {"ann": "founder", "bob": "admin", "carol": "none"}
        there.say("bob", "I stay")
        there.say("ann", "so you do")
        there.settle()
        assert there.texts("ann") == there.texts("bob") == ["I stay", "so you do"]


def holder(net: Network, name: str) -> Membership:
    return net.member(name)


def test_roles_that_are_none_are_kept_and_of_no_effect(net: Network) -> None:
    net.found("alice")
    carol = author_in(net, "alice", "carol")
    made = [carol.introduce()]
    made += [
        carol.act("role", {"member": member, "role": name, "marks": {}}, made[0])
        for member, name in ((carol.identity, "king"), ("no key", "none"), (carol.identity, "founder"))
    ]
    give(net.home, holder(net, "alice"), *made, now=net.now + 100)
    assert counts(net, "alice") == {"alice": "founder", "carol": "member"}


def test_operations_say_what_is_wrong_in_words(pair: Network) -> None:
    mistakes: tuple[Callable[[], object], ...] = (
        lambda: role.remove(pair.ctx("alice"), "x"),
        lambda: role.grant(pair.ctx("bob"), "bob", "x"),
    )
    for wrong in mistakes:
        with pytest.raises(QuireError) as error:
            wrong()
        assert str(error.value).endswith(".")
