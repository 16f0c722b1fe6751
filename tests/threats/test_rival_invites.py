"""Members who put the key of another's invite into one of their own, or let somebody in again, as less."""

from typing import Any

import pytest

from quire.core import canonical
from quire.core.certificate import invite_key, prove, words
from quire.core.ticket import decode_link
from quire.errors import Refused
from quire.events import keyring
from quire.graph.changes import Admit
from quire.handlers import invite, invite_revoke, request, role
from tests.events.builders import Made, digest, invite_keys
from tests.threats.attacker import Attacker, reach
from tests.threats.community import DAY, Community, Person, agreed


def first_key(person: Person) -> bytes:
    """The key of the graph that the space began with."""
    held = keyring.first_control(person.home, person.member, person.ctx.graph)
    assert held is not None
    return held.key


def came_by(person: Person) -> str:
    """The event that let a person in: old parents to build on."""
    nodes = person.ctx.graph.ledger.dag.nodes
    return next(n.event_id for n in nodes if isinstance(n.change, Admit) and n.change.member == person.id)


def another(liar: Person, link: str, **fields: Any) -> Made:
    """An invite of a link's key, on old parents."""
    keys = invite_keys(decode_link(link).secret, liar.member.space_id, liar.device)
    limits = {"role": "guest", "uses": 9, "expires": liar.community.now + DAY, "approve": False}
    body = {**keys, **limits, **fields}
    return Attacker(liar).change("invite", body, [came_by(liar)], under=first_key(liar))


def called(person: Person, link: str) -> int:
    return len(invite.called(person.ctx, invite_key(decode_link(link).secret).text))


def hear_of(person: Person, other: Person, made: list[Made], first: bool) -> None:
    """Take a liar's events, and all that another holds, in this order or the other."""
    if not first:
        person.hear(other)
    person.take([one.sealed for one in made])
    person.hear(other)


@pytest.mark.parametrize("first", [True, False], ids=["heard-first", "heard-last"])
def test_a_copied_key_makes_no_invite(first: bool) -> None:
    """bob has never seen the link: the key alone stands in the graph."""
    c = Community("ann", "bob", "carl")
    link = c.ann.invite(role="admin", uses=5)
    c.bob.hear(c.ann)
    copied = another(
        c.bob, link, proof=invite_keys(digest("x"), c.bob.member.space_id, c.bob.device)["proof"]
    )
    hear_of(c.carl, c.ann, [copied], first)
    assert c.person("dora").join(link, c.carl) == ""
    assert c.carl.roles()["dora"] == "admin"
    c.meet(c.ann, c.carl)
    assert invite_revoke.create(c.ann.ctx, link).state == "revoked"
    c.meet(c.ann, c.carl)
    for member in (c.ann, c.carl):
        assert "revoked" in c.person(f"late at {member.name}").join(link, member)
    view = agreed(c, c.ann, c.carl, sealed=[copied.sealed])
    assert copied.event_id in view["graph"]
    assert copied.event_id not in view["valid"]


@pytest.mark.parametrize("first", [True, False], ids=["heard-first", "heard-last"])
def test_who_has_a_link_and_makes_another_invite_of_it_takes_nothing_from_it(first: bool) -> None:
    """bob was sent it: who comes by it is let in as before, and it is taken back as a whole."""
    c = Community("ann", "bob", "carl")
    role.grant(c.ann.ctx, "carl", "admin")
    c.meet()
    link = c.ann.invite(role="admin", uses=5)
    made = [another(c.bob, link), another(c.bob, link, uses=1, role="member", expires=0)]
    hear_of(c.carl, c.ann, made, first)
    assert called(c.carl, link) == 3
    assert c.person("dora").join(link, c.carl) == ""
    assert c.carl.roles()["dora"] == "admin"
    c.ann.hear(c.carl)
    assert invite_revoke.create(c.carl.ctx, link).state == "revoked"
    c.meet(c.ann, c.carl)
    for member in (c.ann, c.carl):
        assert "revoked" in c.person(f"late at {member.name}").join(link, member)
    agreed(c, c.ann, c.carl)


def test_a_member_takes_back_its_own_of_a_link_and_is_told_that_anothers_is_open() -> None:
    c = Community("ann", "bob", "carl")
    link = c.bob.invite(uses=5)
    c.meet()
    assert c.person("dora").join(link, c.bob) == ""
    c.meet()
    c.bob.take([another(c.dora, link).sealed])
    left = invite_revoke.create(c.bob.ctx, link)
    assert (left.by, left.state) == ("dora", "open")
    with pytest.raises(Refused, match="admin"):
        invite_revoke.create(c.bob.ctx, link)
    c.meet(c.ann, c.bob)
    assert invite_revoke.create(c.ann.ctx, link).state == "revoked"


def test_who_waits_for_a_word_comes_in_by_the_invite_that_gives_most() -> None:
    c = Community("ann", "bob")
    link = c.ann.invite(role="admin", uses=5, approve=True)
    c.meet()
    assert "asked" in c.person("dora").join(link, c.ann)
    request.approve(c.ann.ctx, "dora")
    c.dora.knock(c.ann)
    c.meet()
    assert "asked" in c.person("eve").join(link, c.ann)
    c.ann.take([another(c.dora, link, approve=True).sealed])
    request.approve(c.ann.ctx, "eve")
    assert c.ann.roles()["eve"] == "admin"


def lets_in_again(liar: Attacker, secret: bytes, alter: bool) -> list[Made]:
    """A liar's invite of a link's key, for guests, on old parents; and by it all who asked by the same, or `alter`ed,
    all who ever asked by any.
    """
    bob = liar.person
    keys = invite_keys(secret, bob.member.space_id, bob.device)
    limits = {"role": "guest", "uses": 9, "expires": bob.community.now + DAY, "approve": False}
    made = [liar.change("invite", {**keys, **limits}, [came_by(bob)], under=first_key(bob))]
    opened: list[Any] = [canonical.decode(data) for data in reach(bob, bob.blobs())[1].values()]
    for asked in (event["request"] for event in opened if event["type"] == "admit"):
        if alter:
            said = words(asked["name"], asked["seq"])
            proof = prove(secret, bob.member.space_id, asked["device"], said)
            asked = {**asked, "invite": keys["public"], "proof": proof}
        if asked["invite"] == keys["public"]:
            body = {"invite": made[0].event_id, "request": asked}
            made.append(liar.change("admit", body, [made[0].event_id], under=first_key(bob)))
    return made


def crowd() -> tuple[Community, list[str]]:
    """carl and dora, admins, and the links that they came by."""
    c = Community("ann", "bob")
    links = [c.ann.invite(), c.ann.invite(role="admin")]
    for name, link in zip(("carl", "dora"), links, strict=True):
        assert c.person(name).join(link, c.ann) == ""
    c.meet()
    c.dora.say("before")
    c.meet()
    role.grant(c.ann.ctx, "carl", "admin")
    c.carl.say("I too")
    return c, links


def nothing_is_lost(c: Community, made: list[Made]) -> None:
    c.ann.take([one.sealed for one in made])
    c.dora.say("after")
    agreed(c, c.ann, c.carl, c.dora, sealed=[one.sealed for one in made])
    for person in (c.ann, c.carl, c.dora):
        assert person.roles() == {"ann": "founder", "bob": "member", "carl": "admin", "dora": "admin"}
        assert sorted(person.texts()) == ["I too", "after", "before"]


def test_letting_somebody_in_again_as_a_guest_takes_and_hides_nothing() -> None:
    """Any member who has a link can, by another invite of its key and the request that stands in the graph."""
    c, links = crowd()
    liar = Attacker(c.bob)
    made = [one for link in links for one in lets_in_again(liar, decode_link(link).secret, alter=False)]
    nothing_is_lost(c, made)
    assert [c.ann.counts(one.event_id) for one in made] == [True] * 4, "it breaks no rule"


def test_nobody_comes_by_an_invite_that_they_did_not_ask_by() -> None:
    """The request in the graph is the newcomer's own word, and serves for no invite that a member makes."""
    c, _ = crowd()
    made = lets_in_again(Attacker(c.bob), digest("bob's own"), alter=True)
    nothing_is_lost(c, made)
    assert [c.ann.counts(one.event_id) for one in made] == [True] + [False] * 3
