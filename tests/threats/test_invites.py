"""Strangers with a link, and members who lie about one."""

from dataclasses import replace

import msgspec
import pytest

from quire.core.certificate import certify, consent, invite_key, prove, words
from quire.core.encoding import to_text
from quire.core.keys import DeviceKey
from quire.core.ticket import decode_link, encode_link
from quire.core.wrapping import WrapKey
from quire.errors import BadEvent, Refused
from quire.graph.roles import Role
from quire.graph.rules import REASONS
from quire.handlers import admit, admit_letter, invite, invite_revoke, joining, request, role
from tests.events.builders import invite_keys
from tests.threats.attacker import Attacker, reach, reads
from tests.threats.community import DAY, Community, Person, agreed, refused


def shown_reason(slug: str) -> str:
    return f"not let in: {REASONS[slug]}"


def knock_with(attacker: Attacker, member: Person, letter: bytes) -> list[bytes]:
    return list(joining.answer(member.ctx, attacker.key.text, letter))


def assert_outside(outsider: Person, *members: Person) -> None:
    """Nobody lists the outsider, and it opens nothing of what members hold."""
    for member in members:
        assert outsider.name not in member.roles()
        assert reach(outsider, member.blobs()) == (set(), {})


def test_forged_invite_lets_nobody_in() -> None:
    """A link with a secret that no member made, to the right space and door."""
    c = Community("ann", "bob")
    link = c.ann.invite()
    forged = encode_link(replace(decode_link(link), secret=bytes(32)))
    mallory = c.person("mallory")
    assert "waiting" in mallory.join(forged, c.ann, c.bob)
    c.ann.say("among us")
    assert set(agreed(c, c.ann, c.bob)["names"]) == {(c.ann.id, "ann"), (c.bob.id, "bob")}
    assert_outside(mallory, c.ann, c.bob)
    assert c.person("carl").join(link, c.bob) == ""


def test_link_to_another_space_opens_nothing_here() -> None:
    """A true link of one's own space, with the id of somebody else's."""
    c, theirs = Community("ann", "bob"), Community("mallory", "eve")
    ours = decode_link(c.ann.invite())
    c.meet()
    crossed = encode_link(replace(decode_link(theirs.mallory.invite()), space_id=ours.space_id))
    stranger = c.person("stranger")
    assert "waiting" in stranger.join(crossed, c.ann, c.bob)
    assert_outside(stranger, c.ann, c.bob)
    assert c.person("carl").join(encode_link(ours), c.bob) == ""


def test_reused_invite_lets_in_nobody_more() -> None:
    c = Community("ann", "bob")
    link = c.ann.invite(uses=1)
    assert c.person("carl").join(link, c.ann) == ""
    c.meet(c.ann, c.bob)
    mallory = c.person("mallory")
    assert mallory.join(link, c.ann) == shown_reason("invite-used")
    assert mallory.join(link, c.bob) == shown_reason("invite-used")
    assert_outside(mallory, c.ann, c.bob)
    c.meet(c.ann, c.bob, c.carl)
    assert c.carl.name in c.bob.roles()
    agreed(c, c.ann, c.bob, c.carl)


def test_stolen_link_is_worth_nothing_once_its_seats_are_taken() -> None:
    """The thief comes with as many identities as it likes; who came in stays, and may ask again."""
    c = Community("ann", "bob")
    link = c.ann.invite(uses=2)
    for name in ("carl", "dora"):
        assert c.person(name).join(link, c.ann) == ""
    c.meet(c.ann, c.bob)
    size = len(c.bob.ctx.graph.ledger.dag.nodes)
    for number in range(5):
        thief = c.person(f"thief {number}")
        assert thief.join(link, c.bob, c.ann) == shown_reason("invite-used")
        assert_outside(thief, c.ann, c.bob)
    again = Attacker(c.carl).letter(link)
    assert joining.answer(c.bob.ctx, c.carl.device, again)[0][:1] == admit_letter.WELCOME
    assert len(c.bob.ctx.graph.ledger.dag.nodes) == size


def test_expired_invite_with_a_wrong_clock_lets_nobody_in() -> None:
    """Neither the newcomer's clock nor that of a member who has heard of later things brings an invite back."""
    c = Community("ann", "bob", "carl")
    link, lasting = c.ann.invite(expires="1h"), c.ann.invite(expires="7d")
    c.meet()
    c.later(DAY)
    c.ann.say("a day later")
    c.meet()
    mallory = c.person("mallory")
    mallory.skew = -DAY
    assert mallory.join(link, c.ann, c.carl) == shown_reason("invite-expired")
    for wrong in (-DAY, -30 * DAY, -30 * 60_000):
        c.bob.skew = wrong
        assert mallory.join(link, c.bob) != ""
        assert "mallory" not in c.bob.roles()
    c.meet(c.ann, c.bob, c.carl)
    assert_outside(mallory, c.ann, c.bob, c.carl)
    c.bob.skew = 0
    assert c.person("dora").join(lasting, c.bob) == ""
    agreed(c, c.ann, c.bob, c.carl)


def test_member_who_lets_in_by_an_expired_invite_lets_in_nobody() -> None:
    """The admission is dated when it is made, or before what it builds on: void either way."""
    c = Community("ann", "bob", "carl")
    link = c.ann.invite(expires="1h")
    c.meet()
    c.later(DAY)
    c.ann.say("a day later")
    c.meet()
    made = invite.find(c.carl.ctx, invite_key(decode_link(link).secret).text)
    assert made is not None
    outsider = outside(c, "mallory", link)
    asked = {"invite": made.event_id, "request": msgspec.to_builtins(outsider.request(link))}
    liar = Attacker(c.carl)
    under = control(c.carl)
    late = liar.change("admit", asked, under=under)
    early = liar.change("admit", asked, ts=made.ts, under=under)
    c.ann.take([late.sealed, early.sealed])
    c.bob.take([early.sealed, late.sealed])
    assert not c.ann.counts(late.event_id)
    assert not c.bob.counts(early.event_id)
    assert "mallory" not in agreed(c, c.ann, c.bob, c.carl)["names"]


def outside(c: Community, name: str, link: str) -> Attacker:
    """Somebody who has the link and has asked nobody yet."""
    person = c.people.get(name) or c.person(name)
    joining.join(person.ctx, link, name)
    return Attacker(person)


def control(person: Person) -> bytes:
    """The key that the graph is sealed under."""
    member = person.member
    return member.epochs[member.control][0]


def test_invite_used_after_it_was_revoked() -> None:
    """By who has heard of it, and by who has not: the revocation wins over an admission made without knowing."""
    c = Community("ann", "bob", "carl")
    link, other = c.ann.invite(uses=5), c.ann.invite(uses=5)
    c.meet()
    public = invite_key(decode_link(link).secret).text
    invite_revoke.create(
        c.ann.ctx,
        next(one.invite_id for one in invite.list_(c.ann.ctx) if public_of(c.ann, one.invite_id) == public),
    )
    assert c.person("mallory").join(link, c.ann) == shown_reason("invite-revoked")
    assert c.person("eve").join(link, c.bob) == ""
    assert "eve" in c.bob.roles()
    assert c.person("dora").join(other, c.bob) == ""
    c.eve.hear(c.bob)
    c.eve.say("not for long")
    c.bob.hear(c.eve)
    c.meet(c.ann, c.bob, c.carl)
    for member in (c.ann, c.bob, c.carl):
        assert {"mallory", "eve"}.isdisjoint(member.roles())
        assert "dora" in member.roles()
        assert "not for long" not in member.texts()
    c.ann.say("among us")
    assert reads(c.eve, c.ann, c.bob, c.carl) == ["not for long"]
    agreed(c, c.ann, c.bob, c.carl)


def entry_of(person: Person) -> list[str]:
    """What let a person in."""
    graph = person.ctx.graph
    return [node.event_id for node in graph.ledger.entries(person.id, graph.valid)]


def public_of(person: Person, invite_id: str) -> str:
    node = person.ctx.graph.ledger.invite(invite_id)
    assert node is not None
    return node.public


def test_two_take_the_last_seat_on_either_side_of_a_partition() -> None:
    """One is in, the same one everywhere; the other is told why, and what it wrote is shown nowhere."""
    c = Community("ann", "bob", "carl")
    link = c.ann.invite(uses=1)
    c.meet()
    assert c.person("dora").join(link, c.bob) == ""
    assert c.person("eve").join(link, c.carl) == ""
    for newcomer, member in ((c.dora, c.bob), (c.eve, c.carl)):
        newcomer.hear(member)
        newcomer.say(f"{newcomer.name} is in")
        member.hear(newcomer)
    c.meet()
    for one in (c.ann, c.bob, c.carl, c.dora):
        assert "dora" in one.roles()
        assert "eve" not in one.roles()
        assert one.texts() == ["dora is in"]
    assert refused(knock_with(Attacker(c.eve), c.bob, Attacker(c.eve).letter(link))) == ["invite-used"]
    agreed(c, c.ann, c.bob, c.carl, c.dora)
    c.ann.say("for those who are in")
    c.dora.hear(c.ann)
    assert "for those who are in" in c.dora.texts()
    assert "for those who are in" not in reads(c.eve, c.ann, c.bob, c.carl, c.dora)


@pytest.mark.parametrize("field", ["identity", "device", "wrap", "consent", "invite", "proof"])
def test_request_altered_in_transit_is_refused(field: str) -> None:
    """Whoever passes a letter on cannot put another identity, device, key or invite into it."""
    c = Community("ann", "bob")
    link, other = c.ann.invite(), c.ann.invite()
    c.meet()
    newcomer, rogue = outside(c, "carl", link), outside(c, "rogue", other)
    mine, theirs = newcomer.request(link), rogue.request(other)
    altered = msgspec.structs.replace(mine, **{field: getattr(theirs, field)})
    for member in (c.ann, c.bob):
        with pytest.raises(BadEvent):
            admit_letter_answer(member, altered, newcomer)
        assert set(member.roles()) == {"ann", "bob"}
    assert admit_letter_answer(c.bob, mine, newcomer)[0][:1] == admit_letter.WELCOME


def admit_letter_answer(member: Person, asked: admit.Request, sender: Attacker) -> list[bytes]:
    letter = admit_letter.REQUEST + admit_letter.pack_request(asked)
    return list(joining.answer(member.ctx, sender.key.text, letter))


def test_request_of_another_device_is_not_answered() -> None:
    """Who catches a newcomer's letter cannot hand it in for itself, nor read the answer."""
    c = Community("ann", "bob")
    link = c.ann.invite()
    newcomer, rogue = outside(c, "carl", link), outside(c, "rogue", link)
    letter = newcomer.letter(link)
    with pytest.raises(BadEvent):
        knock_with(rogue, c.ann, letter)
    (welcome,) = knock_with(newcomer, c.ann, letter)
    with pytest.raises(BadEvent):
        joining.answer(rogue.person.ctx, c.ann.device, welcome)
    assert rogue.person.keys() == {}
    joining.answer(c.carl.ctx, c.ann.device, welcome)
    assert c.carl.waits() == ""


def test_joining_with_another_identitys_certificate_is_refused() -> None:
    """The chain of a member is no secret; without the member's root it certifies no other device."""
    c = Community("ann", "bob", "carl")
    link = c.ann.invite(uses=3)
    rogue = outside(c, "rogue", link)
    theirs = Attacker(c.bob).request(link)
    stolen = {"identity": theirs.identity, "chain": theirs.chain}
    own = certify(rogue.key, theirs.identity, rogue.key.text, to_text(WrapKey(rogue.key.seed).public))
    for lies in (
        stolen,
        {**stolen, "consent": consent(rogue.key, theirs.identity, to_text(WrapKey(rogue.key.seed).public))},
        {"identity": theirs.identity, "chain": [own]},
        {"identity": theirs.identity, "chain": [*theirs.chain, own]},
    ):
        with pytest.raises(BadEvent):
            knock_with(rogue, c.ann, rogue.letter(link, **lies))
    assert set(c.ann.roles()) == {"ann", "bob", "carl"}
    assert knock_with(rogue, c.ann, rogue.letter(link))[0][:1] == admit_letter.WELCOME


def test_claiming_anothers_device_is_refused() -> None:
    """A newcomer's root may certify anybody's device; without that device's consent it is nobody's word."""
    c = Community("ann", "bob", "carl")
    link = c.ann.invite(uses=3)
    c.meet()
    rogue = outside(c, "rogue", link)
    victim, wrap = c.bob.device, to_text(WrapKey(c.bob.member.device_key.seed).public)
    asked = rogue.request(link)
    lies = {
        "device": victim,
        "wrap": wrap,
        "chain": [certify(DeviceKey(rogue.key.seed), asked.identity, victim, wrap)],
        "proof": prove(decode_link(link).secret, c.ann.member.space_id, victim, words(asked.name, asked.seq)),
    }
    made = invite.find(c.carl.ctx, asked.invite)
    assert made is not None
    body = {"invite": made.event_id, "request": msgspec.to_builtins(rogue.request(link, **lies))}
    forged = Attacker(c.carl).change("admit", body, under=control(c.carl))
    c.bob.say("I am bob")
    view = agreed(c, c.ann, c.bob, sealed=[forged.sealed])
    assert forged.event_id not in view["valid"]
    assert c.ann.senders() == {"I am bob": "bob"}


def test_admit_by_a_guest_lets_nobody_in() -> None:
    c = Community("ann", "bob")
    c.admit("gus", c.ann, role="guest")
    link = c.ann.invite(uses=3)
    c.meet()
    rogue = outside(c, "rogue", link)
    made = invite.find(c.gus.ctx, invite_key(decode_link(link).secret).text)
    assert made is not None
    body = {"invite": made.event_id, "request": msgspec.to_builtins(rogue.request(link))}
    forged = Attacker(c.gus).change("admit", body, under=control(c.gus))
    view = agreed(c, c.ann, c.bob, sealed=[forged.sealed])
    assert forged.event_id in view["graph"]
    assert forged.event_id not in view["valid"]
    assert knock_with(rogue, c.gus, rogue.letter(link)) == [admit_letter.WAIT]
    assert knock_with(rogue, c.bob, rogue.letter(link))[0][:1] == admit_letter.WELCOME


def test_invite_by_a_guest_or_above_ones_role_lets_nobody_in() -> None:
    c = Community("ann", "bob", "carl")
    c.admit("gus", c.ann, role="guest")
    c.meet()
    for person in (c.gus, c.bob):
        with pytest.raises(Refused):
            person.invite(role="admin")
    made = []
    for person, to in ((c.gus, "member"), (c.bob, "admin"), (c.carl, "founder")):
        keys = invite_keys(bytes(32), person.member.space_id, person.device)
        limits = {**keys, "role": to, "uses": 9, "expires": c.now + DAY, "approve": False}
        made.append(Attacker(person).change("invite", limits, under=control(person)))
    view = agreed(c, c.ann, c.carl, sealed=[one.sealed for one in made])
    assert {one.event_id for one in made}.isdisjoint(view["valid"])
    assert {one.event_id for one in made} <= set(view["graph"])
    assert c.person("dora").join(c.bob.invite(role="member"), c.bob) == ""


def test_newcomer_reads_nothing_before_approval() -> None:
    c = Community("ann", "bob")
    link = c.ann.invite(approve=True)
    c.ann.say("not yet for you")
    c.meet()
    carl = c.person("carl")
    assert "waiting" in carl.join(link, c.ann)
    carl.take(c.ann.blobs())
    assert carl.keys() == {}
    assert_outside(carl, c.ann, c.bob)
    c.meet(c.ann, c.bob)
    request.approve(c.bob.ctx, "carl")
    carl.knock(c.bob)
    assert carl.waits() == ""
    carl.hear(c.bob)
    assert carl.texts() == ["not yet for you"]
    agreed(c)


def test_banned_person_with_a_new_invite_or_a_new_device_stays_out() -> None:
    c = Community("ann", "bob", "eve")
    role.ban(c.ann.ctx, "eve")
    c.meet(c.ann, c.bob)
    link = c.ann.invite(uses=5)
    c.meet(c.ann, c.bob)
    eve = Attacker(c.eve)
    assert refused(knock_with(eve, c.ann, eve.letter(link))) == ["banned"]
    second = Attacker(c.eve, DeviceKey(bytes(range(32))))
    assert refused(knock_with(second, c.bob, second.letter(link))) == ["banned"]
    made = invite.find(c.bob.ctx, eve.request(link).invite)
    assert made is not None
    body = {"invite": made.event_id, "request": msgspec.to_builtins(second.request(link))}
    forged = Attacker(c.bob).change("admit", body, under=control(c.bob))
    view = agreed(c, c.ann, c.bob, sealed=[forged.sealed])
    assert forged.event_id not in view["valid"]
    role.unban(c.ann.ctx, "eve")
    assert knock_with(second, c.ann, second.letter(link))[0][:1] == admit_letter.WELCOME


def test_replayed_request_does_not_bring_a_removed_member_back() -> None:
    """The letter of the first time, and the admission that granted it, say nothing after the removal."""
    c = Community("ann", "bob", "carl")
    link = c.ann.invite(uses=1)
    c.meet()
    eve = outside(c, "eve", link)
    letter = eve.letter(link)
    (welcome,) = knock_with(eve, c.ann, letter)
    joining.answer(c.eve.ctx, c.ann.device, welcome)
    c.meet()
    role.remove(c.ann.ctx, "eve")
    c.meet(c.ann, c.bob, c.carl)
    made = invite.find(c.bob.ctx, eve.request(link).invite)
    assert made is not None
    body = {"invite": made.event_id, "request": msgspec.to_builtins(eve.request(link))}
    past = [made.event_id, *entry_of(c.bob)]
    replayed = Attacker(c.bob).change("admit", body, after=past, under=control(c.bob))
    view = agreed(c, c.ann, c.carl, sealed=[replayed.sealed])
    assert {"ann", "bob", "carl"} == c.ann.roles().keys() == c.carl.roles().keys()
    assert c.eve.id not in [one.member for one in view["members"] if one.role > Role.NONE]
    for member in (c.ann, c.carl):
        assert refused(knock_with(eve, member, letter)) == ["removed"]
    assert knock_with(eve, c.ann, eve.letter(c.ann.invite()))[0][:1] == admit_letter.WELCOME
    assert c.person("dora").join(c.ann.invite(), c.ann) == ""


def test_what_honest_members_built_on_the_acts_of_one_without_a_seat_counts() -> None:
    """Somebody who has lost the last seat was a member to those who let it in, and they went on from there."""
    c = Community("ann", "bob", "carl")
    link = c.ann.invite(uses=1)
    c.meet()
    c.person("dora").join(link, c.bob)
    c.person("eve").join(link, c.carl)
    c.eve.hear(c.carl)
    c.eve.invite()
    c.carl.hear(c.eve)
    c.ann.hear(c.bob)
    lasting = c.carl.invite(uses=3)
    c.ann.hear(c.carl)
    assert "eve" not in c.ann.roles()
    assert c.person("fay").join(lasting, c.ann) == ""
    agreed(c, c.ann, c.bob, c.carl)
