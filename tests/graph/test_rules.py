"""Every rule refuses what breaks it and lets its nearest neighbour through."""

from collections.abc import Callable
from typing import get_args

import pytest

from quire.graph import changes
from quire.graph.changes import AnyChange
from quire.graph.roles import Role
from quire.graph.rules import REASONS, may_admit, may_hold, needed
from tests.graph.builders import Space, admit, dated, invite, key, link, recover, remove, revoke, role

Case = Callable[[], str]


def people() -> Space:
    """ann the founder, ada an admin, bob and cat members, gus a guest."""
    space = Space()
    space.let_in("ada", Role.ADMIN)
    space.with_people("bob", "cat")
    space.let_in("gus", Role.GUEST)
    return space


def asked(device: str, change: AnyChange) -> str:
    return people().why_not(device, change)


def void() -> str:
    return asked("bob1", changes.Void())


def ts(late: int) -> str:
    space = people()
    entry = space.entry("bob1", invite())
    last = max(space.node(name).ts for name in space.heads())
    return space.graph.why_not(dated(entry, last + late))


def found(after: list[str]) -> str:
    return people().why_not("ann1", changes.Found("ann", "wrap"), after=after)


def taken(device: str) -> str:
    space = people()
    return space.why_not("ann1", admit("dan", device, space.do("ann1", invite())))


def after_removal(then: bool) -> str:
    space = people()
    space.do("ann1", remove("bob"))
    if then:
        space.do("ann1", admit("bob", "bob1", space.do("ann1", invite())))
    return space.why_not("bob1", invite())


def demoted(as_: Role) -> str:
    """bob was removed, and comes again by a device that nobody brought back: its role is checked alone."""
    space = people()
    space.do("ann1", role("bob", as_))
    return space.why_not("bob1", link("bob2"))


def invited(change: changes.Admit, uses: int = 1, expires: int = 10**6, withdrawn: bool = False) -> str:
    space = people()
    space.do("ada1", invite(uses=uses, expires=expires), "invite")
    space.do("ann1", admit("eve", "eve1"))
    if withdrawn:
        space.do("ada1", changes.RevokeInvite("invite"))
    return space.why_not("cat1", change)


def inviter(as_: Role) -> str:
    space = people()
    space.do("bob1", invite(), "invite")
    if as_ != Role.MEMBER:
        space.do("ann1", role("bob", as_))
    return space.why_not("cat1", admit("dan", "dan1"))


def banned(as_: Role) -> str:
    space = people()
    space.do("ann1", invite(), "invite")
    space.do("ann1", role("bob", as_))
    return space.why_not("cat1", admit("bob", "bob1"))


def rotated(root: str) -> str:
    space = people()
    space.do("bob1", changes.Rotate("bob", "bob-new"))
    return space.why_not("bob2", recover("bob", root))


def in_audience(device: str, change: Callable[[str], AnyChange], fixed: bool = False) -> str:
    space = people()
    made = space.do("bob1", changes.OpenAudience(("bob", "cat"), fixed))
    return space.why_not(device, change(made))


def next_key(generation: int) -> str:
    space = people()
    first = space.do("ann1", key("ann1", "bob1"))
    return space.why_not("bob1", key("bob1", generation=generation, parents=[first]))


def concurrent_with(removal: AnyChange) -> str:
    space = people()
    heads = space.heads()
    space.do("ann1", removal, after=heads)
    return space.why_not("bob1", invite(), after=heads)


def removed_only(device: str) -> str:
    space = people()
    space.do("bob1", link("bob2"))
    space.do("bob1", revoke("bob1"))
    return space.why_not(device, invite())


#: By slug: what breaks the rule, and what only just does not.
CASES: dict[str, tuple[Case, Case]] = {
    "void": (void, lambda: asked("bob1", invite())),
    "time": (lambda: ts(0), lambda: ts(1)),
    "founder": (lambda: found(["found"]), lambda: found([])),
    "device": (lambda: removed_only("bob1"), lambda: removed_only("bob2")),
    "device-taken": (lambda: taken("bob1"), lambda: taken("dan1")),
    "guest": (lambda: asked("gus1", invite()), lambda: asked("gus1", link("gus2"))),
    "admin": (lambda: asked("bob1", remove("cat")), lambda: asked("ada1", remove("cat"))),
    "founder-stays": (lambda: asked("ada1", remove("ann")), lambda: asked("ann1", remove("ann"))),
    "not-there": (
        lambda: asked("ada1", role("dan", Role.ADMIN)),
        lambda: asked("ada1", role("bob", Role.ADMIN)),
    ),
    "role": (lambda: asked("ann1", invite(Role.FOUNDER)), lambda: asked("ann1", invite(Role.ADMIN))),
    "invite": (
        lambda: invited(admit("dan", "dan1", public="other"), uses=2),
        lambda: invited(admit("dan", "dan1"), uses=2),
    ),
    "invite-revoked": (
        lambda: invited(admit("dan", "dan1"), uses=2, withdrawn=True),
        lambda: invited(admit("dan", "dan1"), uses=2),
    ),
    "invite-expired": (
        lambda: invited(admit("dan", "dan1"), uses=2, expires=119),
        lambda: invited(admit("dan", "dan1"), uses=2, expires=120),
    ),
    "invite-used": (
        lambda: invited(admit("dan", "dan1"), uses=1),
        lambda: invited(admit("dan", "dan1"), uses=2),
    ),
    "invite-inviter": (lambda: inviter(Role.GUEST), lambda: inviter(Role.MEMBER)),
    "banned": (lambda: banned(Role.BANNED), lambda: banned(Role.NONE)),
    "already": (
        lambda: asked("ada1", role("bob", Role.MEMBER)),
        lambda: asked("ada1", role("bob", Role.GUEST)),
    ),
    "consent": (
        lambda: asked("bob1", changes.Link("bob2", "wrap", "cat")),
        lambda: asked("bob1", changes.Link("bob2", "wrap", "bob")),
    ),
    "own-device": (lambda: asked("ann1", revoke("bob1")), lambda: asked("bob1", revoke("bob1"))),
    "root": (lambda: rotated("bob"), lambda: rotated("bob-new")),
    "audience": (
        lambda: in_audience("ann1", lambda made: changes.SetAudience(made, "ada", True)),
        lambda: in_audience("cat1", lambda made: changes.SetAudience(made, "ada", True)),
    ),
    "audience-fixed": (
        lambda: in_audience("cat1", lambda made: changes.SetAudience(made, "ada", True), fixed=True),
        lambda: in_audience("cat1", lambda made: changes.SetAudience(made, "ada", True)),
    ),
    "generation": (lambda: next_key(3), lambda: next_key(2)),
    "recipients": (lambda: asked("bob1", key("bob1", "dan1")), lambda: asked("bob1", key("bob1", "gus1"))),
    "concurrent": (
        lambda: concurrent_with(role("bob", Role.GUEST)),
        lambda: concurrent_with(role("bob", Role.ADMIN)),
    ),
}


@pytest.mark.parametrize("slug", REASONS)
def test_the_rule_refuses_what_breaks_it(slug: str) -> None:
    assert CASES[slug][0]() == slug


@pytest.mark.parametrize("slug", REASONS)
def test_the_rule_allows_its_neighbour(slug: str) -> None:
    assert CASES[slug][1]() == ""


def test_every_case_is_of_a_rule() -> None:
    assert CASES.keys() == REASONS.keys()


# --- More ways to break them.


@pytest.mark.parametrize(
    ("slug", "device", "change"),
    [
        ("device", "stranger", invite()),
        ("role", "ann1", invite(Role.NONE)),
        ("role", "ann1", role("bob", Role.FOUNDER)),
        ("admin", "bob1", invite(Role.ADMIN)),
        ("admin", "bob1", role("bob", Role.ADMIN)),
        ("admin", "bob1", changes.Readmit("cat", "ada", {})),
        ("admin", "bob1", changes.Rename("mine")),
        ("already", "ada1", role("dan", Role.NONE)),
        ("already", "bob1", link("bob1")),
        ("device-taken", "bob1", link("cat1")),
        ("device-taken", "cat1", recover("bob")),
        ("founder-stays", "ada1", changes.Readmit("ann", "bob", {})),
        ("not-there", "ada1", changes.Readmit("bob", "dan", {})),
        ("not-there", "ada1", changes.Readmit("bob", "bob", {})),
        ("not-there", "dan1", recover("dan")),
        ("root", "bob2", recover("bob", "made-up")),
        ("root", "bob1", changes.Rotate("made-up", "mine")),
        ("invite", "bob1", admit("dan", "dan1", "found")),
        ("invite", "bob1", admit("dan", "dan1", "nowhere")),
        ("invite", "bob1", changes.RevokeInvite("found")),
        ("admin", "bob1", changes.RevokeInvite("invite-cat")),
        ("already", "bob1", admit("cat", "cat2", "invite-cat")),
        ("audience", "bob1", changes.OpenAudience(("cat", "ada"), False)),
        ("audience", "bob1", changes.OpenAudience(("bob", "cat", "ada"), True)),
        ("audience", "bob1", changes.SetAudience("found", "bob", True)),
        ("not-there", "bob1", changes.OpenAudience(("bob", "dan"), False)),
        ("generation", "bob1", key("bob1", generation=2)),
        ("generation", "bob1", key("bob1", parents=["found"], generation=2)),
        ("generation", "bob1", changes.ShareKey("found", ("bob1",))),
        ("audience", "bob1", key("bob1", scope="found")),
        ("guest", "gus1", key("gus1")),
    ],
)
def test_refused(slug: str, device: str, change: AnyChange) -> None:
    assert asked(device, change) == slug


def test_a_member_made_a_guest_keeps_what_guests_may() -> None:
    assert demoted(Role.GUEST) == ""
    assert demoted(Role.NONE) == "device"


def test_who_was_let_in_again_may_write_again() -> None:
    assert after_removal(then=False) == "device"
    assert after_removal(then=True) == ""


def test_an_old_root_key_lets_nobody_in_again() -> None:
    space = people()
    space.do("bob1", changes.Rotate("bob", "bob-new"))
    space.do("ann1", remove("bob"))
    assert space.why_not("ann1", admit("bob", "bob2", "invite-cat")) == "root"
    assert space.why_not("ann1", admit("bob", "bob2", "invite-cat", root="bob-new")) == ""


def test_who_comes_with_a_rotated_root_key_recovers_by_it() -> None:
    space = people()
    made = space.do("ann1", invite())
    space.do("ann1", admit("dan", "dan1", made, root="dan-new"))
    assert space.why_not("dan2", recover("dan", "dan-new")) == ""
    assert space.why_not("dan2", recover("dan", "dan")) == "root"
    assert space.why_not("dan1", changes.Rotate("dan", "mine")) == "root"
    assert space.why_not("dan1", changes.Rotate("dan-new", "mine")) == ""


def test_a_revoked_device_never_comes_back() -> None:
    space = people()
    space.do("bob1", link("bob2"))
    space.do("bob1", revoke("bob2"))
    assert space.why_not("bob1", link("bob2")) == "device-taken"
    assert space.why_not("bob2", recover("bob")) == "device-taken"
    assert space.why_not("bob1", revoke("bob2")) == "already"


def test_whoever_was_robbed_of_a_device_may_revoke_it() -> None:
    """A thief takes bob's new device to a puppet by an earlier dated admission, before bob knows."""
    space = people()
    before = space.heads()
    space.do("bob1", link("bob2"), after=before, ts=990)
    space.do("cat1", admit("pup", "bob2", space.do("cat1", invite(), after=before)), after=["event-0010"])
    assert space.graph.ledger.member_of("bob2", space.graph.valid) == "pup"
    assert space.why_not("bob1", revoke("bob2"), ts=2_000) == ""


def test_only_its_maker_takes_others_out_of_an_audience_and_everyone_may_leave() -> None:
    def out(member: str) -> Callable[[str], AnyChange]:
        return lambda made: changes.SetAudience(made, member, False)

    assert in_audience("cat1", out("bob")) == "audience"
    assert in_audience("bob1", out("cat")) == ""
    assert in_audience("cat1", out("cat")) == ""


def test_a_guest_may_leave_an_audience() -> None:
    space = people()
    made = space.do("bob1", changes.OpenAudience(("bob", "gus"), False))
    assert space.why_not("gus1", changes.SetAudience(made, "cat", True)) == "guest"
    assert space.why_not("gus1", changes.SetAudience(made, "gus", False)) == ""
    assert space.why_not("bob1", changes.SetAudience(made, "gus", True)) == "already"


def test_who_is_not_in_the_space_is_brought_into_no_audience() -> None:
    assert in_audience("bob1", lambda made: changes.SetAudience(made, "dan", True)) == "not-there"


def test_a_key_of_an_audience_is_for_those_inside() -> None:
    assert in_audience("bob1", lambda made: key("bob1", "cat1", scope=made)) == ""
    assert in_audience("bob1", lambda made: key("bob1", "ada1", scope=made)) == "recipients"
    assert in_audience("ada1", lambda made: key("ada1", scope=made)) == "audience"


def test_a_shared_key_goes_to_those_entitled() -> None:
    space = people()
    first = space.do("ann1", key("ann1"))
    assert space.why_not("bob1", changes.ShareKey(first, ("bob1",))) == ""
    assert space.why_not("bob1", changes.ShareKey(first, ("dan1",))) == "recipients"


def test_a_key_need_not_name_all_keys_before_it() -> None:
    """There may be more than an event can name; it follows all of them by its number."""
    space = people()
    heads = space.heads()
    one = space.do("ann1", key("ann1"), after=heads)
    two = space.do("bob1", key("bob1"), after=heads)
    assert space.why_not("bob1", key("bob1", generation=1)) == "generation"
    assert space.why_not("bob1", key("bob1", generation=2, parents=[one, two])) == ""
    three = space.do("bob1", key("bob1", generation=2, parents=[two]))
    assert space.node(three) in space.graph.ledger.last_keys("", space.graph.valid)
    assert len(space.graph.ledger.last_keys("", space.graph.valid)) == 1
    four = space.do("cat1", key("cat1", generation=3, parents=[three]), after=[three])
    assert space.why_not("bob1", key("bob1", generation=2, parents=[one])) == "generation"
    assert space.counts(four)


def test_a_key_has_a_higher_number_than_all_before_it() -> None:
    """Also than those before a void key that it names, which may have had a lower one."""
    space = people()
    first = space.do("ann1", key("ann1"))
    second = space.do("ann1", key("ann1", generation=2, parents=[first]))
    void = space.do("bob1", key("bob1"))
    assert not space.counts(void)
    assert space.why_not("bob1", key("bob1", generation=2, parents=[void])) == "generation"
    assert space.why_not("bob1", key("bob1", generation=3, parents=[void, second])) == ""


def test_keys_built_on_a_voided_key_stay() -> None:
    """A removed member cannot undo the keys of those who did not know yet by having made one they followed."""
    space = people()
    heads = space.heads()
    bad = space.do("bob1", key("bob1"), after=heads)
    good = space.do("cat1", key("cat1", generation=2, parents=[bad]), after=[bad])
    space.do("ann1", remove("bob"), after=heads)
    assert not space.counts(bad)
    assert space.counts(good)


def test_bans_are_lifted_to_nothing_and_by_admins() -> None:
    space = people()
    space.do("ann1", role("bob", Role.BANNED))
    assert space.why_not("ada1", role("bob", Role.MEMBER)) == "banned"
    assert space.why_not("ada1", role("bob", Role.NONE)) == ""


def test_the_same_questions_answer_commands() -> None:
    space = people()
    ledger, valid = space.graph.ledger, space.graph.valid
    made = space.node("invite-cat")
    assert may_admit(ledger, made, "dan", 100, valid) == ""
    assert may_hold(ledger, "", "gus1", valid)
    assert not may_hold(ledger, "", "dan1", valid)


@pytest.mark.parametrize("kind", get_args(AnyChange))
def test_every_change_takes_a_role(kind: type[changes.Change]) -> None:
    blank = {"role": Role.GUEST, "inside": True}
    change = kind(*(blank.get(name, "") for name in kind.__struct_fields__))
    assert Role.GUEST <= needed(people().graph.ledger, change, "somebody") <= Role.ADMIN  # type: ignore[arg-type]
