"""What removals do to what the removed did meanwhile, and who wins: worked by hand."""

from quire.graph import changes, state
from quire.graph.resolve import Memory, resolve
from quire.graph.roles import Role
from quire.graph.rules import broken
from quire.limits import MAX_SEAT_ROUNDS, MAX_VERDICTS_REMEMBERED
from tests.graph.builders import Space, admit, invite, link, recover, remove, revoke, role


def three() -> tuple[Space, list[str]]:
    """ann the founder; ada, bea and cleo admins, who came in this order; and the heads by then."""
    space = Space()
    for name in ("ada", "bea", "cleo"):
        space.let_in(name, Role.ADMIN)
    return space, space.heads()


def roles(space: Space) -> str:
    return " ".join(f"{m.member}:{m.role.name.lower()}" for m in state.members(space.graph))


# --- Who wins.


def test_of_two_who_remove_each_other_the_more_senior_stays() -> None:
    space, heads = three()
    junior = space.do("bea1", remove("ada"), after=heads, ts=900)
    senior = space.do("ada1", remove("bea"), after=heads, ts=901)
    assert space.counts(senior)
    assert not space.counts(junior)
    assert roles(space) == "ann:founder ada:admin bea:none cleo:admin"


def test_a_ring_of_three_removals_is_weighed_from_the_most_senior() -> None:
    """ada's counts first, so bea's is void, so cleo's counts, which does not undo ada's."""
    space, heads = three()
    space.do("cleo1", remove("ada"), after=heads)
    space.do("bea1", remove("cleo"), after=heads)
    space.do("ada1", remove("bea"), after=heads)
    assert roles(space) == "ann:founder ada:none bea:none cleo:admin"


def test_a_puppet_of_older_standing_does_not_save_a_removed_admin() -> None:
    """old came before bea, but has its right from eve, who came after: its removal of bea weighs less."""
    space = Space()
    space.let_in("old")
    space.let_in("bea", Role.ADMIN)
    space.let_in("eve", Role.ADMIN)
    heads = space.heads()
    gone = space.do("bea1", remove("eve"), after=heads)
    gift = space.do("eve1", role("old", Role.ADMIN), after=heads, ts=91)
    back = space.do("old1", remove("bea"), after=[gift], ts=92)
    assert space.counts(gone)
    assert not space.counts(gift)
    assert not space.counts(back)


def test_an_admission_that_takes_a_remover_s_seat_does_not_undo_the_removal() -> None:
    """evil shares ada's invite with a puppet, dated before ada's admission, and ada has removed evil."""
    space = Space()
    space.do("ann1", invite(), "open")
    space.do("ann1", admit("evil", "evil1", "open"))
    space.do("ann1", invite(Role.ADMIN, uses=1), "single")
    before = space.heads()
    space.do("ann1", admit("ada", "ada1", "single"), after=before, ts=100)
    space.do("ada1", remove("evil"), ts=110)
    puppet = space.do("evil1", admit("pup", "pup1", "single"), after=before, ts=41)
    assert not space.counts(puppet)
    assert roles(space) == "ann:founder evil:none ada:admin"


def test_what_a_voided_removal_undid_comes_back() -> None:
    """cleo's right came from bea, whom ada removed meanwhile; what cleo removed is there again."""
    space = Space()
    space.let_in("ada", Role.ADMIN)
    space.let_in("bea", Role.ADMIN)
    space.with_people("cleo", "dan")
    heads = space.heads()
    space.do("bea1", role("cleo", Role.ADMIN), after=heads)
    space.do("cleo1", remove("dan"))
    made = space.do("dan1", invite(), after=heads)
    assert not space.counts(made)
    space.do("ada1", remove("bea"), after=heads)
    assert space.counts(made)
    assert space.role("cleo") == Role.MEMBER


def test_a_junior_removal_that_takes_the_ground_from_a_senior_one_does_not_undo_it() -> None:
    """ada's right came from flo, whom bea, who came later, removes meanwhile: as if flo had done it herself."""
    space = Space()
    space.let_in("flo", Role.ADMIN)
    space.with_people("ada", "dan")
    heads = space.heads()
    gift = space.do("flo1", role("ada", Role.ADMIN), after=heads, ts=200)
    made = space.do("ann1", invite(Role.ADMIN), after=heads, ts=300)
    came = space.do("ann1", admit("bea", "bea1", made), after=[made], ts=301)
    removal = space.do("ada1", remove("dan"), after=[gift], ts=201)
    act = space.do("dan1", invite(), after=heads)
    assert space.counts(removal)
    assert not space.counts(act)
    space.do("bea1", remove("flo"), after=[came], ts=302)
    assert not space.counts(gift)
    assert space.counts(removal)
    assert not space.counts(act)


def test_a_demotion_that_stays_makes_nobody_a_member_who_was_not_let_in() -> None:
    """flo lets in dan and demotes him; bea, who came later, removes flo meanwhile: dan was never let in."""
    space = Space()
    space.let_in("flo", Role.ADMIN)
    before = space.do("ann1", invite(Role.ADMIN, uses=9))
    let_in = space.do("flo1", admit("dan", "dan1", before))
    demoted = space.do("flo1", role("dan", Role.GUEST))
    space.do("dan1", link("dan2"), after=[let_in])
    bea = space.do("ann1", admit("bea", "bea1", before), after=[before], ts=900)
    space.do("bea1", remove("flo"), after=[bea], ts=901)
    assert space.counts(demoted)
    assert not space.counts(let_in)
    assert space.role("dan") == Role.NONE


def test_the_older_device_of_a_member_wins() -> None:
    space = Space().with_people("bob")
    space.do("bob1", link("bob2"))
    heads = space.heads()
    space.do("bob2", revoke("bob1"), after=heads)
    space.do("bob1", revoke("bob2"), after=heads)
    assert state.devices(space.graph, "bob") == ("bob1",)


def test_a_stolen_device_does_not_make_its_founder_leave() -> None:
    space = Space()
    space.do("ann1", link("ann2"))
    heads = space.heads()
    space.do("ann2", remove("ann"), after=heads)
    space.do("ann1", revoke("ann2"), after=heads)
    assert roles(space) == "ann:founder"


def test_a_removal_on_purpose_older_than_a_bad_admin_s_acts_undoes_them() -> None:
    """bea removes ada on old parents, and with her all that ada let in; ann removes bea on parents as old."""
    space = Space()
    space.let_in("ada", Role.ADMIN)
    space.let_in("bea", Role.ADMIN)
    heads = space.heads()
    space.let_in("dan", by="ada1")
    act = space.do("dan1", invite())
    space.do("bea1", remove("ada"), after=heads, ts=55)
    assert not space.counts(act)
    space.do("ann1", remove("bea"), after=heads)
    assert space.counts(act)
    assert roles(space) == "ann:founder ada:admin bea:none dan:member"


# --- What is void with a removal, and what not.


def test_a_removed_member_s_acts_meanwhile_are_void_whatever_their_date() -> None:
    space, heads = three()
    space.do("ann1", remove("bea"))
    late = space.do("bea1", link("bea2"), after=heads, ts=95)
    assert not space.counts(late)
    assert not space.counts(space.do("bea2", invite(), after=[late], ts=96))


def test_who_is_demoted_keeps_what_the_lesser_role_allows() -> None:
    space, heads = three()
    made = space.do("bea1", invite(), after=heads)
    right = space.do("bea1", role("cleo", Role.GUEST), after=heads)
    space.do("ann1", role("bea", Role.MEMBER), after=heads)
    assert space.counts(made)
    assert not space.counts(right)


def test_a_link_by_a_revoked_device_is_void() -> None:
    space = Space().with_people("bob")
    space.do("bob1", link("bob2"))
    heads = space.heads()
    stolen = space.do("bob2", link("thief"), after=heads)
    space.do("bob1", revoke("bob2"), after=heads)
    assert not space.counts(stolen)
    assert state.devices(space.graph, "bob") == ("bob1",)


def test_a_revocation_voids_other_claims_of_the_device() -> None:
    """A thief cannot take the stolen device's log to a puppet, by however early a date."""
    space = Space().with_people("cat", "bob")
    made = space.do("cat1", invite())
    heads = space.heads()
    space.do("bob1", link("bob2"), after=heads, ts=900)
    space.do("bob1", revoke("bob2", seq=7), ts=901)
    theft = space.do("cat1", admit("pup", "bob2", made), after=heads, ts=100)
    assert not space.counts(theft)
    assert state.hidden(space.graph, "bob2") == [(8, state.FOREVER)]


def test_a_root_key_given_up_recovers_nothing_any_more() -> None:
    space = Space().with_people("bob")
    heads = space.heads()
    space.do("bob1", changes.Rotate("bob", "bob-new"), after=heads)
    thief = space.do("thief", recover("bob"), after=heads)
    replay = space.do("ann1", admit("bob", "thief2", "invite-bob"), after=["invite-bob"], ts=25)
    assert not space.counts(thief)
    assert not space.counts(replay)
    assert state.devices(space.graph, "bob") == ("bob1",)


def test_an_invite_taken_back_lets_in_nobody_meanwhile() -> None:
    space = Space().with_people("bob", "cat")
    made = space.do("bob1", invite())
    let_in = space.do("cat1", admit("dan", "dan1", made), after=[made])
    assert space.counts(let_in)
    space.do("bob1", changes.RevokeInvite(made), after=[made])
    assert not space.counts(let_in)
    assert state.lost_seat(space.graph, let_in) == "invite-revoked"


def test_who_is_taken_out_of_an_audience_makes_no_key_of_it_meanwhile() -> None:
    space = Space().with_people("bob", "cat")
    made = space.do("bob1", changes.OpenAudience(("bob", "cat"), False))
    theirs = space.do("cat1", changes.NewKey(made, 1, (), ("cat1",)), after=[made])
    shared = space.do("cat1", changes.ShareKey(theirs, ("bob1",)), after=[theirs])
    other = space.do("cat1", changes.NewKey("", 1, (), ("cat1",)), after=[made])
    space.do("bob1", changes.SetAudience(made, "cat", False), after=[made])
    assert [space.counts(name) for name in (theirs, shared, other)] == [False, False, True]


def test_a_ban_wins_over_an_admission_that_did_not_know_of_it() -> None:
    space = Space()
    made = space.do("ann1", invite())
    space.do("ann1", role("dan", Role.BANNED), after=[made])
    let_in = space.do("ann1", admit("dan", "dan1", made), after=[made])
    assert space.role("dan") == Role.BANNED
    assert not state.devices(space.graph, "dan")
    assert state.lost_seat(space.graph, let_in) == "banned"


def test_nobody_is_kept_from_leaving_by_being_removed() -> None:
    """cat leaves while bob removes cat; whoever lets cat in again has to know of both."""
    space, heads = three()
    left = space.do("cleo1", remove("cleo"), after=heads)
    gone = space.do("ada1", remove("cleo"), after=heads)
    assert space.counts(left)
    space.do("ada1", admit("cleo", "cleo1", "invite-cleo"), after=[gone])
    assert space.role("cleo") == Role.NONE


# --- Seats.


def test_the_earlier_dated_admission_has_the_seat_though_it_comes_last() -> None:
    space = Space().with_people("bob", "cat")
    made = space.do("ann1", invite(uses=1))
    late = space.do("bob1", admit("dan", "dan1", made), after=[made], ts=300)
    act = space.do("dan1", invite(), ts=301)
    assert space.counts(act)
    early = space.do("cat1", admit("eve", "eve1", made), after=[made], ts=200)
    assert [space.counts(name) for name in (early, late, act)] == [True, False, False]
    assert state.lost_seat(space.graph, late) == "invite-used"
    assert space.graph.why_not(space.entries[-3]) == "invite-used"


def test_who_is_let_in_twice_takes_one_seat_and_keeps_both_devices() -> None:
    space = Space().with_people("bob", "cat")
    made = space.do("ann1", invite(uses=1))
    one = space.do("bob1", admit("dan", "dan1", made), after=[made])
    two = space.do("cat1", admit("dan", "dan2", made), after=[made])
    assert space.counts(one)
    assert space.counts(two)
    assert state.devices(space.graph, "dan") == ("dan1", "dan2")
    assert [taken.taken for taken in state.open_invites(space.graph, 0) if taken.node.event_id == made] == [1]


# --- Cost.


def chained(length: int) -> tuple[Space, str]:
    """Whoever finds no seat takes with it the removal of who let another be in the seat after: so often.

    And an admission to an invite of its own, the only one that counts, though one of an earlier date is void.
    """
    space = Space().with_people("rob")
    for place in range(length + 1):
        space.let_in(f"w{place}x", Role.ADMIN)
    seats = [space.do("ann1", invite(Role.ADMIN, uses=1)) for _ in range(length)]
    own = space.do("ann1", invite(uses=1))
    heads = space.heads()
    for place, seat in enumerate(seats):
        giver = f"w{place}x1" if place else "ann1"
        space.do(giver, admit(f"k{place}", f"k{place}-1", seat), after=heads, ts=2_000)
        late = space.do("ann1", admit(f"l{place}", f"l{place}-1", seat), after=heads, ts=3_000 + place)
        space.do(f"l{place}-1", remove(f"w{place + 1}x"), after=[late], ts=4_000)
    space.do("rob1", admit("yan", "yan1", own), after=heads, ts=2_000)
    space.do("ann1", remove("rob"), after=heads, ts=2_000)
    return space, space.do("ann1", admit("zoe", "zoe1", own), after=heads, ts=3_000)


def test_a_chain_of_lost_seats_is_followed_only_so_far() -> None:
    space, own = chained(MAX_SEAT_ROUNDS - 1)
    assert space.counts(own)
    space, own = chained(MAX_SEAT_ROUNDS)
    assert not space.counts(own)
    assert state.lost_seat(space.graph, own) == "invite-used"
    single = [
        made
        for made in state.open_invites(space.graph, 0)
        if isinstance(made.node.change, changes.Invite) and made.node.change.uses == 1
    ]
    assert single
    assert all(made.taken <= 1 for made in single)
    assert resolve(space.graph.ledger) == space.graph.valid


def test_only_so_many_verdicts_are_remembered() -> None:
    """The oldest is forgotten, and comes out alike when it is asked for again."""
    space = Space().with_people("bob", "cat")
    ledger, node = space.graph.ledger, space.node(space.do("bob1", invite()))
    memory = Memory(ledger)
    said = [memory.is_broken(ledger, node, mask) for mask in range(MAX_VERDICTS_REMEMBERED + 1)]
    assert len(memory.said) == MAX_VERDICTS_REMEMBERED
    assert (node.index, 0) not in memory.said
    assert (node.index, MAX_VERDICTS_REMEMBERED) in memory.said
    assert [memory.is_broken(ledger, node, mask) for mask in range(40)] == said[:40]
    assert said[:40] == [bool(broken(ledger, node, mask)) for mask in range(40)]
