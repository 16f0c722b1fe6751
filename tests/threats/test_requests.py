"""Members who pass on requests that prove nothing, or that they made up, so that nobody else's is seen."""

from collections.abc import Sequence
from typing import Any

import pytest

from quire.core.certificate import prove, words
from quire.core.encoding import to_text
from quire.core.ticket import decode_link
from quire.errors import BadEvent
from quire.handlers import invite, joining, request, role
from quire.limits import MAX_PAGE, MAX_REQUESTS
from tests.events.builders import Made, digest
from tests.threats.attacker import Attacker
from tests.threats.community import Community, Person
from tests.threats.test_invites import control


def passed_on(liar: Person, asked: Sequence[dict[str, Any]]) -> list[bytes]:
    """Events in which a member passes requests on, dated before all that is true."""
    attacker = Attacker(liar)
    made: list[Made] = [
        attacker.write("request", {"request": one}, ts=1_000 + n) for n, one in enumerate(asked)
    ]
    return [one.sealed for one in made]


def made_up(liar: Person, link: str, number: int) -> list[dict[str, Any]]:
    """Requests of people who are made up, with proofs that hold: by a link that the liar has."""
    return [Attacker.made_up(liar, f"nobody {n}").asked(link) for n in range(number)]


def waiting(person: Person) -> list[str]:
    return [one.name for one in request.list_(person.ctx)]


@pytest.mark.parametrize("lie", ["no-proof", "another-device", "another-name"])
def test_requests_that_prove_nothing_keep_nobody_out(lie: str) -> None:
    """bob does not have the link; he knows its public key, and what others have asked by it."""
    c = Community("ann", "bob", "carl")
    link = c.ann.invite(uses=5, approve=True)
    assert "asked" in c.person("eve").join(link, c.ann)
    c.meet(c.ann, c.bob, c.carl)
    true = Attacker(c.eve).asked(link)
    lies = [
        {
            "no-proof": {"identity": to_text(digest(f"nobody {n}")), "device": to_text(digest(f"no {n}"))},
            "another-device": {"device": to_text(digest(f"no {n}"))},
            "another-name": {"name": f"eve {n}"},
        }[lie]
        for n in range(MAX_REQUESTS)
    ]
    sealed = passed_on(c.bob, [{**true, **one} for one in lies])
    for member in (c.ann, c.carl):
        member.take(sealed)
    assert "asked" in c.person("dora").join(link, c.carl)
    c.meet(c.ann, c.carl)
    for member in (c.ann, c.carl):
        assert sorted(waiting(member))[0] == "dora"
        assert len(waiting(member)) == 2
    request.approve(c.ann.ctx, "dora")
    assert c.ann.roles()["dora"] == "member"


@pytest.mark.parametrize("invites", [1, MAX_PAGE // 20])
def test_requests_by_a_members_own_invites_crowd_out_no_others(invites: int) -> None:
    """Each proves what it says; bob made the links, and the people who ask by them."""
    c = Community("ann", "bob", "carl")
    links = [c.bob.invite(uses=5, approve=True) for _ in range(invites)]
    link = c.ann.invite(approve=True)
    c.meet()
    asked = made_up(c.bob, links[0], MAX_PAGE + 1) if invites == 1 else []
    asked += [one for n, own in enumerate(links) for one in made_up(c.bob, own, n + 1)[-1:]]
    sealed = passed_on(c.bob, asked)
    assert "asked" in c.person("dora").join(link, c.carl)
    c.meet(c.ann, c.carl)
    for member in (c.ann, c.carl):
        member.take(sealed)
        assert "dora" in waiting(member)
        assert len(waiting(member)) == min(MAX_PAGE, len({one["identity"] for one in asked}) + 1)
    role.ban(c.ann.ctx, "bob")
    c.meet(c.ann, c.carl)
    for member in (c.ann, c.carl):
        assert waiting(member) == ["dora"]


def test_asking_in_somebodys_place_by_an_invite_that_gives_less_takes_nothing_from_them() -> None:
    """dora asked by a link for admins; bob passes on, later, that she asked by a link of his own for guests."""
    c = Community("ann", "bob", "carl")
    link, own = c.ann.invite(role="admin", approve=True), c.bob.invite(role="guest", approve=True)
    c.meet()
    assert "asked" in c.person("dora").join(link, c.ann)
    again = Attacker(c.dora).asked(own)
    made = Attacker(c.bob).write("request", {"request": again}, ts=c.later())
    c.ann.take([made.sealed])
    assert waiting(c.ann) == ["dora"]
    request.approve(c.ann.ctx, "dora")
    assert c.ann.roles()["dora"] == "admin"


@pytest.mark.parametrize(
    "lie", [{"seq": 1_000}, {"name": "nobody"}, {"seq": 1_000, "name": "nobody"}], ids=str
)
@pytest.mark.parametrize("has_link", [False, True], ids=["without-link", "with-link"])
def test_nobody_else_says_what_a_newcomer_says_of_itself(lie: dict[str, Any], has_link: bool) -> None:
    """bob passes dora's request on, and lets her in, called otherwise and with her words hidden."""
    c = Community("ann", "bob", "carl")
    link = c.ann.invite(uses=5, approve=True)
    c.meet()
    assert "asked" in c.person("dora").join(link, c.carl)
    c.bob.hear(c.carl)
    altered = {**Attacker(c.dora).asked(link), **lie}
    if has_link:
        said = words(altered["name"], altered["seq"])
        altered["proof"] = prove(decode_link(link).secret, c.ann.member.space_id, altered["device"], said)
    (passed,) = passed_on(c.bob, [altered])
    made = invite.find(c.bob.ctx, altered["invite"])
    assert made is not None
    body = {"invite": made.event_id, "request": altered}
    let_in = Attacker(c.bob).change("admit", body, under=control(c.bob))
    c.ann.take([passed, let_in.sealed])
    assert c.ann.counts(let_in.event_id) is False
    c.ann.hear(c.carl)
    assert waiting(c.ann) == ["dora"]
    request.approve(c.ann.ctx, "dora")
    c.dora.knock(c.ann)
    c.dora.say("I am dora")
    c.meet()
    for member in (c.ann, c.bob, c.carl):
        assert member.roles()["dora"] == "member"
        assert member.senders() == {"I am dora": "dora"}


def test_a_letter_that_says_otherwise_than_was_signed_is_not_heard() -> None:
    c = Community("ann", "bob")
    link = c.ann.invite(uses=5)
    newcomer = Attacker.made_up(c.bob, "dora")
    for lie in ({"seq": 7}, {"name": "nobody"}):
        lying = newcomer.letter(link, **lie)
        with pytest.raises(BadEvent):
            joining.answer(c.ann.ctx, newcomer.key.text, lying)


def test_letting_somebody_in_again_gives_them_no_other_name() -> None:
    """What a member writes into the request of who has not said yet what they are called."""
    c = Community("ann", "bob", "carl")
    link = c.ann.invite(uses=5)
    c.meet()
    assert c.person("dora").join(link, c.ann) == ""
    c.meet(c.ann, c.bob, c.carl)
    asked = {**Attacker(c.dora).asked(link), "name": "fool"}
    made = invite.find(c.bob.ctx, asked["invite"])
    assert made is not None
    body = {"invite": made.event_id, "request": asked}
    c.carl.take([Attacker(c.bob).change("admit", body, under=control(c.bob)).sealed])
    for _ in range(2):
        assert c.carl.roles() == {"ann": "founder", "bob": "member", "carl": "member", "dora": "member"}
        c.carl.rebuild()
