"""What views and commands ask."""

from quire.graph import changes, state
from quire.graph.roles import Role
from quire.graph.state import FOREVER
from tests.graph.builders import Space, admit, invite, key, link, remove, revoke, role


def test_members_come_in_the_order_in_which_they_were_let_in() -> None:
    space = Space().with_people("bob", "cat")
    space.do("bob1", link("bob2"))
    space.do("ann1", remove("cat"))
    assert list(state.members(space.graph)) == [
        ("ann", Role.FOUNDER, 10, ("ann1",)),
        ("bob", Role.MEMBER, 30, ("bob1", "bob2")),
        ("cat", Role.NONE, 50, ()),
    ]


def test_known_devices_are_those_whose_logs_may_be_shown() -> None:
    space = Space().with_people("bob")
    space.do("bob1", link("bob2"))
    space.do("bob1", revoke("bob2"))
    assert state.known_devices(space.graph, "bob") == ["bob1", "bob2"]
    assert state.known_devices(space.graph, "dan") == []


# --- Which part of a log is shown.


def test_all_of_a_member_s_log_is_shown() -> None:
    space = Space().with_people("bob")
    assert state.hidden(space.graph, "bob1") == []
    assert state.hidden(space.graph, "stranger") == [(1, FOREVER)]


def test_a_guest_s_log_is_hidden_until_it_may_write() -> None:
    space = Space()
    space.let_in("gus", Role.GUEST)
    assert state.hidden(space.graph, "gus1") == [(1, FOREVER)]
    space.do("ann1", role("gus", Role.MEMBER, gus1=3))
    assert state.hidden(space.graph, "gus1") == [(1, 3)]


def test_a_removed_member_s_log_ends_at_the_mark_and_begins_again_where_it_came_back() -> None:
    space = Space().with_people("bob")
    space.do("ann1", remove("bob", bob1=50))
    assert state.hidden(space.graph, "bob1") == [(51, FOREVER)]
    space.do("ann1", admit("bob", "bob1", "invite-bob", seq=70))
    assert state.hidden(space.graph, "bob1") == [(51, 70)]


def test_a_device_that_a_removal_does_not_name_ends_before_it_began() -> None:
    space = Space().with_people("bob")
    space.do("bob1", link("bob2"))
    space.do("ann1", remove("bob", bob1=50))
    assert state.hidden(space.graph, "bob2") == [(1, FOREVER)]


def test_a_promotion_that_names_no_device_hides_nothing() -> None:
    space = Space().with_people("bob")
    space.do("ann1", role("bob", Role.ADMIN))
    assert state.hidden(space.graph, "bob1") == []


def test_being_let_in_again_as_a_guest_hides_nothing() -> None:
    """Neither of who came in as a member, nor of who was made one."""
    space = Space()
    made = [space.do("ann1", invite(given), f"by-{given}") for given in (Role.GUEST, Role.MEMBER)]
    before = space.heads()
    for member, by in (("gus", made[0]), ("bob", made[1])):
        came = space.do("ann1", admit(member, f"{member}1", by), after=before)
        if member == "gus":
            space.do("ann1", role("gus", Role.MEMBER, gus1=3), after=[came])
        again = space.do("ann1", admit(member, f"{member}1", made[0], seq=5), after=before)
        assert space.counts(again)
    assert state.hidden(space.graph, "bob1") == []
    assert state.hidden(space.graph, "gus1") == [(1, 3)]


def test_of_concurrent_removals_the_least_mark_counts_whatever_their_dates() -> None:
    """A friend cannot let a removed member go on writing by removing it too, with a generous mark."""
    for first, second in ((30, 900), (900, 30)):
        space = Space().with_people("bob")
        before = space.heads()
        space.do("ann1", remove("bob", bob1=first), after=before)
        space.do("ann1", remove("bob", bob1=second), after=before)
        assert state.hidden(space.graph, "bob1") == [(31, FOREVER)]


def test_a_claim_to_have_come_back_early_shows_nothing_that_was_cut_off() -> None:
    space = Space().with_people("bob")
    space.do("ann1", remove("bob", bob1=50))
    space.do("ann1", admit("bob", "bob1", "invite-bob", seq=20))
    assert state.hidden(space.graph, "bob1") == []
    space.do("ann1", role("bob", Role.GUEST, bob1=60))
    assert state.hidden(space.graph, "bob1") == [(61, FOREVER)]


def test_a_revoked_device_ends_at_the_least_seq() -> None:
    space = Space().with_people("bob")
    space.do("bob1", link("bob2"))
    before = space.heads()
    space.do("bob1", revoke("bob2", seq=9), after=before)
    space.do("bob1", revoke("bob2", seq=7), after=before)
    assert state.hidden(space.graph, "bob2") == [(8, FOREVER)]


# --- Keys.


def test_the_current_key_is_the_latest_and_of_rivals_the_one_with_the_least_id() -> None:
    space = Space().with_people("bob")
    assert state.current_key(space.graph, "") is None
    assert not state.is_stale(space.graph, "")
    first = space.do("ann1", key("ann1", "bob1"), "z")
    for device, name in (("ann1", "b"), ("bob1", "a")):
        space.do(device, key("ann1", "bob1", generation=2, parents=[first]), name, after=[first])
    assert state.current_key(space.graph, "") is space.node("a")
    assert [node.event_id for node in state.last_keys(space.graph, "")] == ["a", "b"]
    assert state.is_stale(space.graph, "")
    space.do("ann1", key("ann1", "bob1", generation=3, parents=["a", "b"]), "c")
    assert state.current_key(space.graph, "") is space.node("c")
    assert not state.is_stale(space.graph, "")
    assert state.latest_first(space.graph) == [space.node(name) for name in ("c", "a", "b", "z")]


def test_a_key_is_stale_when_its_maker_left_somebody_out() -> None:
    """Who came in elsewhere was not left out, nor is who was given it by another event."""
    space = Space().with_people("bob", "cat")
    before = space.heads()
    made = space.do("ann1", key("ann1", "bob1"))
    space.do("bob1", link("bob2"), after=before)
    assert state.left_out(space.graph, space.node(made)) == ["cat1"]
    assert state.is_stale(space.graph, "")
    space.do("bob1", changes.ShareKey(made, ("cat1",)))
    assert state.left_out(space.graph, space.node(made)) == []
    assert not state.is_stale(space.graph, "")
    assert state.left_behind(space.graph, space.node(made)) == ["bob2"]


def test_an_audience_none_of_whose_keys_counts_is_to_be_given_one() -> None:
    """The phone that began it was revoked by who had not heard of its key."""
    space = Space().with_people("bob")
    space.do("ann1", link("ann2"))
    pair = space.do("ann2", changes.OpenAudience(("ann", "bob"), True))
    before = space.heads()
    assert state.is_stale(space.graph, pair)
    made = space.do("ann2", key("ann1", "ann2", "bob1", scope=pair))
    assert not state.is_stale(space.graph, pair)
    space.do("ann1", revoke("ann2"), after=before)
    assert space.graph.counts(pair)
    assert not space.graph.counts(made)
    assert state.is_stale(space.graph, pair)
    space.do("bob1", key("ann1", "bob1", scope=pair))
    assert not state.is_stale(space.graph, pair)


def test_a_key_is_stale_when_a_holder_must_not_have_it() -> None:
    space = Space().with_people("bob")
    made = space.do("ann1", key("ann1"))
    space.do("ann1", changes.ShareKey(made, ("bob1",)))
    assert state.holders(space.graph, space.node(made)) == {"ann1", "bob1"}
    assert not state.is_stale(space.graph, "")
    space.do("bob1", link("bob2"))
    assert state.entitled(space.graph, "") == ["ann1", "bob1", "bob2"]
    space.do("bob2", revoke("bob1"))
    assert state.entitled(space.graph, "") == ["ann1", "bob2"]
    assert state.is_stale(space.graph, "")


def test_only_those_inside_are_entitled_to_an_audience_s_keys() -> None:
    space = Space().with_people("bob", "cat")
    made = space.do("bob1", changes.OpenAudience(("bob", "cat"), False))
    assert state.entitled(space.graph, made) == ["bob1", "cat1"]
    assert state.audience_members(space.graph, made) == ["bob", "cat"]
    space.do("ann1", remove("cat"))
    assert state.audience_members(space.graph, made) == ["bob"]
    assert state.audience_members(space.graph, "nowhere") == []


# --- Invites and what to build on.


def test_open_invites_say_why_they_let_in_nobody_more() -> None:
    space = Space()
    one = space.do("ann1", invite(uses=2, expires=100))
    two = space.do("ann1", invite())
    space.do("ann1", admit("bob", "bob1", one))
    space.do("ann1", changes.RevokeInvite(two))
    nodes = space.node(one), space.node(two)
    assert state.open_invites(space.graph, 100) == [(nodes[0], 1, False, False), (nodes[1], 0, False, True)]
    assert state.open_invites(space.graph, 101)[0].expired


def test_why_somebody_has_no_seat() -> None:
    space = Space().with_people("bob")
    made = space.do("ann1", invite(uses=1, expires=65))
    assert state.lost_seat(space.graph, space.do("ann1", admit("dan", "dan1", made))) == ""
    assert state.lost_seat(space.graph, space.do("ann1", admit("eve", "eve1", made), ts=65)) == "invite-used"
    assert state.lost_seat(space.graph, space.do("ann1", admit("eve", "eve1", made))) == "invite-expired"
    assert state.lost_seat(space.graph, "nowhere") == "waiting"
    assert state.lost_seat(space.graph, made) == "waiting"


def test_a_new_event_builds_on_all_that_counts_first_on_what_gives_its_author_rights() -> None:
    space = Space().with_people("bob")
    for place in range(5):
        space.do("ann1", invite(), f"head-{place}", after=["found"])
    heads = [f"head-{place}" for place in range(5)]
    assert state.parents(space.graph, "bob1") == ["admit-bob", *heads]
    assert state.parents(space.graph, "nobody's") == ["admit-bob", *heads]
    space.do("ann1", role("bob", Role.GUEST), "guest", after=["admit-bob"])
    assert state.parents(space.graph, "bob1")[0] == "guest"


def new_key(
    name: str, generation: int, parents: list[str], *recipients: str, scope: str = ""
) -> changes.NewKey:
    return changes.NewKey(scope, generation, tuple(parents), recipients, name)


def test_what_devices_were_given_stays_theirs() -> None:
    space = Space().with_people("bob", "cat")
    ledger = space.graph.ledger
    space.do("ann1", new_key("first", 1, [], "ann1"), "k1")
    space.do("ann1", new_key("second", 2, ["k1"], "ann1", "bob1"), "k2")
    assert [sorted(ledger.given(device)) for device in ("ann1", "bob1", "cat1")] == [
        ["first", "second"],
        ["second"],
        [],
    ]
    assert [node.event_id for node in ledger.keys_called("second")] == ["k2"]
    assert ledger.keys_called("third") == []
    space.do("bob1", changes.ShareKey("k2", ("cat1",)), "share", after=["k2"])
    space.do("ann1", remove("bob"), "gone", after=["k2"])
    assert not space.counts("share")
    assert sorted(ledger.given("cat1")) == ["second"], "given by what does not count"
    space.do("cat1", new_key("scoped", 1, [], "cat1", scope="audience"))
    space.do("ann1", changes.ShareKey("k1", ("cat1",)), after=["admit-cat"])
    assert sorted(ledger.given("cat1")) == ["second"], "of the space, by who had heard of the key"


def test_what_does_not_count_crowds_out_nothing() -> None:
    space = Space().with_people("bob")
    for place in range(5):
        space.do("stranger", invite(), after=["found"], ts=10**9 + place)
    assert state.parents(space.graph, "bob1") == ["admit-bob"]


def test_the_space_has_the_last_name_and_of_concurrent_ones_the_last_dated() -> None:
    space = Space()
    space.let_in("ada", Role.ADMIN)
    assert state.space_name(space.graph) == ""
    before = space.heads()
    space.do("ada1", changes.Rename("late"), after=before, ts=900)
    space.do("ann1", changes.Rename("early"), after=before, ts=800)
    assert state.space_name(space.graph) == "late"
    space.do("ann1", changes.Rename("new"), ts=901)
    assert state.space_name(space.graph) == "new"


def test_what_was_dated_ahead_is_looked_past_unless_somebody_built_on_it() -> None:
    space = Space().with_people("bob")
    early = space.do("ann1", invite(), "early", ts=900)
    mask = state.ahead(space.graph, "ann1", 899)
    assert mask == 1 << space.node(early).index
    assert state.ahead(space.graph, "ann1", 900) == state.ahead(space.graph, "bob1", 500) == 0
    seen = space.graph.without(mask)
    assert state.parents(seen, "ann1") == ["admit-bob"]
    assert state.parents(space.graph, "ann1") == ["early"], "that is a view"
    space.do("bob1", invite(), after=["early"])
    assert state.ahead(space.graph, "ann1", 899) == 0
    assert state.ahead(space.graph, "ann1", 0) == 0, "the founding is never ahead"
