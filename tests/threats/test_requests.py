"""Members who pass on requests that prove nothing, or that they made up, so that nobody else's is seen."""

from collections.abc import Sequence
from typing import Any

import pytest

from quire.core.certificate import invite_key, prove
from quire.core.encoding import to_text
from quire.core.ticket import decode_link
from quire.handlers import request, role
from quire.limits import MAX_PAGE, MAX_REQUESTS
from tests.events.builders import Made, digest
from tests.threats.attacker import Attacker
from tests.threats.community import Community, Person


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


def test_asking_for_somebody_by_ones_own_invite_takes_nothing_from_them() -> None:
    """dora asked by a link for admins; bob passes the same on, with the proof of a link of his own for guests."""
    c = Community("ann", "bob", "carl")
    link, own = c.ann.invite(role="admin", approve=True), c.bob.invite(role="guest", approve=True)
    c.meet()
    assert "asked" in c.person("dora").join(link, c.ann)
    secret = decode_link(own).secret
    proof = prove(secret, c.ann.member.space_id, c.dora.device)
    again = {**Attacker(c.dora).asked(link), "invite": invite_key(secret).text, "proof": proof}
    made = Attacker(c.bob).write("request", {"request": again}, ts=c.later())
    c.ann.take([made.sealed])
    assert waiting(c.ann) == ["dora"]
    request.approve(c.ann.ctx, "dora")
    assert c.ann.roles()["dora"] == "admin"
