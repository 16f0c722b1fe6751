"""Members, guests and admins who take more than they have, and removals that meet."""

import pytest

from quire.errors import Refused
from quire.graph.roles import Role
from quire.handlers import role
from tests.events.builders import Made
from tests.threats.attacker import Attacker, reads
from tests.threats.community import Community, Person, agreed


def control(person: Person) -> bytes:
    """The key that the graph is sealed under."""
    return person.member.epochs[person.member.control][0]


def assert_void(c: Community, made: Made, *honest: Person) -> None:
    view = agreed(c, *honest, sealed=[made.sealed])
    assert made.event_id in view["graph"], "it has to be taken in, and to count for nothing"
    assert made.event_id not in view["valid"]


@pytest.mark.parametrize("to", ["member", "admin", "founder"])
def test_self_promotion_gives_nothing(to: str) -> None:
    c = Community("ann", "bob", "carl")
    c.admit("gus", c.ann, role="guest")
    c.meet()
    for liar in (c.gus, c.bob):
        made = Attacker(liar).set_role(liar.id, to, under=control(liar))
        assert_void(c, made, c.ann, c.carl)
    assert c.carl.roles() == {"ann": "founder", "bob": "member", "carl": "member", "gus": "guest"}
    role.grant(c.ann.ctx, "bob", "admin")
    c.meet(c.ann, c.carl)
    assert c.carl.roles()["bob"] == "admin"


def test_member_promotes_or_removes_nobody() -> None:
    c = Community("ann", "bob", "carl", "dora")
    for to in ("admin", "guest", "none", "banned"):
        made = Attacker(c.bob).set_role(c.carl.id, to, under=control(c.bob))
        assert_void(c, made, c.ann, c.dora)
    with pytest.raises(Refused):
        role.remove(c.bob.ctx, "carl")
    assert c.dora.roles() == {"ann": "founder", "bob": "member", "carl": "member", "dora": "member"}


@pytest.mark.parametrize("to", ["none", "banned", "guest", "admin"])
def test_admin_cannot_remove_or_change_the_founder(to: str) -> None:
    c = Community("ann", "bob", "carl")
    role.grant(c.ann.ctx, "bob", "admin")
    c.meet()
    made = Attacker(c.bob).set_role(c.ann.id, to, under=control(c.bob))
    assert_void(c, made, c.ann, c.carl)
    assert c.carl.roles()["ann"] == "founder"
    role.remove(c.bob.ctx, "carl")
    c.meet(c.ann, c.bob)
    assert c.ann.roles() == {"ann": "founder", "bob": "admin"}


def test_second_founding_gives_nothing() -> None:
    """The space's id names its founder's root: another founder's event is void, with or without what was before."""
    c = Community("ann", "bob", "carl")
    body = {
        "identity": c.bob.id,
        "name": "garden",
        "salt": "AAAAAAAAAAAAAAAAAAAAAA",
        "history": "all",
        **{k: v for k, v in Attacker(c.bob).introduction().items() if k in ("wrap", "chain", "consent")},
    }
    orders: tuple[list[str] | None, ...] = ([], None)
    for after in orders:
        made = Attacker(c.bob).change("space", body, after, under=control(c.bob))
        assert_void(c, made, c.ann, c.carl)
    assert c.carl.roles()["bob"] == "member"


def demoted(c: Community) -> tuple[Attacker, list[str]]:
    """bob, who was an admin, and what he knew when he was one."""
    role.grant(c.ann.ctx, "bob", "admin")
    c.meet()
    bob = Attacker(c.bob)
    return bob, bob.heads()


def test_demoted_admin_uses_old_rights_by_building_on_the_past() -> None:
    """Written after the demotion, as if it had not been heard of: it loses to the demotion, everywhere."""
    c = Community("ann", "bob", "carl", "dora")
    bob, past = demoted(c)
    role.grant(c.ann.ctx, "bob", "member")
    c.meet()
    for made in (
        bob.set_role(c.carl.id, "none", past, under=control(c.bob)),
        bob.set_role(c.bob.id, "admin", past, under=control(c.bob)),
        bob.set_role(c.carl.id, "admin", under=control(c.bob)),
    ):
        assert_void(c, made, c.ann, c.carl, c.dora)
    assert c.dora.roles() == {"ann": "founder", "bob": "member", "carl": "member", "dora": "member"}


def test_demoted_admin_uses_old_rights_on_the_other_side_of_a_partition() -> None:
    """What it did before it could hear of its demotion is void; what a member may do stays."""
    c = Community("ann", "bob", "carl", "dora")
    role.grant(c.ann.ctx, "bob", "admin")
    c.meet()
    role.grant(c.ann.ctx, "bob", "member")
    role.remove(c.bob.ctx, "carl")
    link = c.bob.invite()
    c.dora.hear(c.bob)
    assert "carl" not in c.dora.roles()
    c.meet()
    assert c.person("eve").join(link, c.dora) == ""
    view = agreed(c, c.ann, c.dora)
    assert c.dora.roles() == {
        "ann": "founder",
        "bob": "member",
        "carl": "member",
        "dora": "member",
        "eve": "member",
    }
    assert len(view["members"]) == 5
    c.ann.say("welcome back")
    c.heal(c.ann, c.carl, c.dora)
    assert "welcome back" in c.carl.texts()


def test_of_two_who_remove_each_other_the_senior_stays() -> None:
    c = Community("ann", "bob", "carl", "dora")
    role.grant(c.ann.ctx, "bob", "admin")
    role.grant(c.ann.ctx, "carl", "admin")
    c.meet()
    role.remove(c.carl.ctx, "bob")
    role.remove(c.bob.ctx, "carl")
    c.bob.say("for those who stay")
    view = agreed(c, c.ann, c.dora, c.bob)
    standing = {one.member for one in view["members"] if one.role >= Role.GUEST}
    assert standing == {c.ann.id, c.bob.id, c.dora.id}
    assert c.dora.texts() == ["for those who stay"]
    assert reads(c.carl, c.ann, c.bob, c.dora) == []


def test_removed_admin_takes_nobody_along() -> None:
    """Removing others, and letting accomplices in, by building on the time before the removal."""
    c = Community("ann", "bob", "carl", "dora")
    bob, past = demoted(c)
    role.remove(c.ann.ctx, "bob")
    c.meet(c.ann, c.carl, c.dora)
    made = [
        bob.set_role(person.id, "banned", past, under=control(c.bob)) for person in (c.ann, c.carl, c.dora)
    ]
    view = agreed(c, c.ann, c.carl, c.dora, sealed=[one.sealed for one in made])
    assert {one.event_id for one in made} & set(view["valid"]) == set()
    assert c.carl.roles() == {"ann": "founder", "carl": "member", "dora": "member"}


def test_event_of_the_graph_signed_by_somebody_else_is_refused() -> None:
    """In the founder's name, by another's key; and the founder's own event of another space."""
    c, other = Community("ann", "bob", "carl"), Community("ann", seed="other")
    liar = Attacker(c.bob)
    forged = liar.set_role(c.bob.id, "admin", under=control(c.bob), author=c.ann.device, seq=9, prev="A" * 43)
    elsewhere = Attacker(c.ann).set_role(
        c.bob.id, "admin", under=control(c.ann), space_id=other.ann.member.raw_space_id
    )
    for person in (c.ann, c.carl):
        report = person.take([forged.sealed, elsewhere.sealed])
        assert report.rejected == {"bad-signature": 2}
    view = agreed(c, c.ann, c.carl)
    assert {forged.event_id, elsewhere.event_id}.isdisjoint(view["graph"])
    assert c.carl.roles()["bob"] == "member"


def test_events_and_letters_of_another_space_say_nothing_here() -> None:
    """Two spaces of the same people: nothing that was said in one can be played into the other."""
    c, other = Community("ann", "bob", "carl"), Community("ann", "bob", "carl", seed="other")
    other.ann.say("elsewhere")
    role.grant(other.ann.ctx, "bob", "admin")
    before = c.ann.view()
    for person in (c.ann, c.carl):
        report = person.take(other.ann.blobs())
        assert (report.valid, report.blocked) == (0, 0)
        resealed = [
            Attacker(c.bob).resealed(data, key)
            for data in other.ann.opened()
            for key in (control(c.bob), c.bob.content())
        ]
        report = person.take(resealed)
        assert report.valid == 0
    assert c.ann.view() == c.carl.view() == before
    c.bob.say("here")
    c.meet()
    assert c.ann.texts() == c.carl.texts() == ["here"]
