"""What the nodes say, as of what counts."""

from quire.graph import changes
from quire.graph.ledger import admitted
from quire.graph.roles import Role
from tests.graph.builders import Space, admit, invite, link, recover, remove, revoke, role


def test_the_least_of_concurrent_roles_counts() -> None:
    space = Space().with_people("bob")
    before = space.heads()
    space.do("ann1", role("bob", Role.ADMIN), after=before)
    space.do("ann1", role("bob", Role.GUEST), after=before)
    assert space.role("bob") == Role.GUEST


def test_of_several_ways_in_the_one_that_gives_most_counts() -> None:
    """Any member can let anybody in once more, as a guest, by an invite of its own."""
    space = Space().with_people("bob")
    before = space.heads()
    admin = space.do("ann1", invite(Role.ADMIN), after=before)
    guest = space.do("bob1", invite(Role.GUEST), after=before)
    space.do("ann1", admit("cat", "cat1", admin), after=[admin])
    space.do("bob1", admit("cat", "cat1", guest), after=[guest])
    assert space.role("cat") == Role.ADMIN
    space.do("ann1", role("cat", Role.GUEST))
    assert space.role("cat") == Role.GUEST


def test_a_later_role_replaces_those_that_it_knows() -> None:
    space = Space().with_people("bob")
    space.do("ann1", role("bob", Role.GUEST))
    space.do("ann1", role("bob", Role.ADMIN))
    assert space.role("bob") == Role.ADMIN


def test_a_grant_that_lost_to_a_removal_is_not_back_with_the_member() -> None:
    """bob is made an admin while being removed; let in again as a guest, a guest is what he is."""
    space = Space().with_people("bob")
    before = space.heads()
    space.do("ann1", role("bob", Role.ADMIN), after=before)
    gone = space.do("ann1", remove("bob"), after=before)
    made = space.do("ann1", invite(Role.GUEST), after=[gone])
    space.do("ann1", admit("bob", "bob1", made), after=[made])
    assert space.role("bob") == Role.GUEST


def test_being_let_in_counts_only_in_knowledge_of_every_removal() -> None:
    space = Space().with_people("bob")
    before = space.heads()
    one = space.do("ann1", remove("bob"), after=before)
    two = space.do("ann1", remove("bob"), after=before)
    space.do("ann1", admit("bob", "bob1", "invite-bob"), after=[one])
    assert space.role("bob") == Role.NONE
    space.do("ann1", admit("bob", "bob1", "invite-bob"), after=[one, two])
    assert space.role("bob") == Role.MEMBER


def test_a_promotion_survives_a_second_admission_that_did_not_know() -> None:
    space = Space().with_people("bob")
    space.do("ann1", role("bob", Role.ADMIN))
    second = space.do("ann1", admit("bob", "bob1", "invite-bob"), after=["invite-bob"])
    assert space.counts(second)
    assert space.role("bob") == Role.ADMIN


def test_a_removal_ends_devices_that_were_there_and_those_linked_meanwhile() -> None:
    space = Space().with_people("bob")
    before = space.heads()
    gone = space.do("ann1", remove("bob"), after=before)
    space.do("bob1", link("bob2"), after=before)
    space.do("bob3", recover("bob"), after=before)
    space.do("ann1", admit("bob", "bob4", "invite-bob"), after=[gone])
    devices = [name for name in ("bob1", "bob2", "bob3", "bob4") if space.graph.ledger.standing(name, -1)]
    assert devices == ["bob4"]


def test_a_removed_device_comes_back_when_it_is_linked_again() -> None:
    space = Space().with_people("bob")
    space.do("ann1", remove("bob"))
    space.do("ann1", admit("bob", "bob2", "invite-bob"))
    assert space.counts(space.do("bob2", link("bob1")))
    claim = space.graph.ledger.standing("bob1", space.graph.valid)
    assert claim is not None
    assert (claim.member, claim.wrap) == ("bob", "wrap-bob1")


def test_a_device_claimed_by_two_is_the_earlier_claim_s() -> None:
    space = Space().with_people("bob", "cat")
    before = space.heads()
    space.do("bob1", link("shared"), after=before, ts=500)
    space.do("cat1", link("shared"), after=before, ts=400)
    ledger = space.graph.ledger
    assert ledger.member_of("shared", space.graph.valid) == "cat"
    assert [claim.member for claim in ledger.claims("shared", space.graph.valid)] == ["cat", "bob"]
    assert ledger.claimants("shared") == ["bob", "cat"]


def test_the_root_is_the_last_one_and_of_concurrent_ones_the_earlier_dated() -> None:
    space = Space().with_people("bob")
    before = space.heads()
    assert space.graph.ledger.root("bob", space.graph.valid) == "bob"
    space.do("bob1", changes.Rotate("bob", "late"), after=before, ts=500)
    space.do("bob1", changes.Rotate("bob", "early"), after=before, ts=400)
    assert space.graph.ledger.root("bob", space.graph.valid) == "early"


def test_leaving_an_audience_wins_over_what_is_concurrent() -> None:
    space = Space().with_people("bob", "cat")
    made = space.do("bob1", changes.OpenAudience(("bob",), False))
    before = space.do("bob1", changes.SetAudience(made, "cat", True))
    again = space.do("bob1", changes.SetAudience(made, "cat", False), after=[before])
    space.do("cat1", changes.SetAudience(made, "cat", False), after=[before])
    space.do("bob1", changes.SetAudience(made, "cat", True), after=[again])
    assert not space.graph.ledger.inside(made, "cat", space.graph.valid)
    space.do("bob1", changes.SetAudience(made, "cat", True))
    assert space.graph.ledger.inside(made, "cat", space.graph.valid)
    assert space.graph.ledger.audience_people(made) == ["bob", "cat"]


def test_who_was_removed_comes_back_without_audiences_but_with_conversations_of_two() -> None:
    space = Space().with_people("bob", "cat")
    group = space.do("bob1", changes.OpenAudience(("bob", "cat"), False))
    pair = space.do("bob1", changes.OpenAudience(("bob", "cat"), True))
    space.do("ann1", remove("cat"))
    space.do("ann1", admit("cat", "cat1", "invite-cat"))
    ledger, valid = space.graph.ledger, space.graph.valid
    assert not ledger.inside(group, "cat", valid)
    assert ledger.inside(pair, "cat", valid)
    space.do("bob1", changes.SetAudience(group, "cat", True))
    assert ledger.inside(group, "cat", space.graph.valid)


def test_seats_are_counted_by_people() -> None:
    space = Space()
    made = space.do("ann1", invite(uses=2))
    for device in ("bob1", "bob2"):
        space.do("ann1", admit("bob", device, made), after=[made])
    ledger = space.graph.ledger
    assert ledger.seats_taken(made, "", space.graph.valid, 2) == 1
    assert ledger.seats_taken(made, "bob", space.graph.valid, 2) == 0
    assert [admitted(node) for node in ledger.admits(made, space.graph.valid)] == ["bob", "bob"]
    assert not ledger.is_crowded(made)


def test_what_has_a_flaw_says_nothing() -> None:
    space = Space()
    space.do("stranger", revoke("ann1"))
    space.do("stranger", remove("ann"))
    space.do("stranger", recover("ann", "made-up"))
    ledger = space.graph.ledger
    assert (ledger.revocations("ann1"), ledger.removals("ann"), ledger.devices_ever("ann")) == (
        0,
        0,
        ["ann1"],
    )


def test_what_is_asked_of_nobody_is_empty() -> None:
    ledger = Space().graph.ledger
    assert ledger.role("dan", -1) == Role.NONE
    assert ledger.standing("dan1", -1) is None
    assert (ledger.scope_of("found"), ledger.invite("found"), ledger.node("nowhere")) == ("", None, None)
    assert not ledger.inside("found", "ann", -1)
    assert not ledger.is_crowded("found")
