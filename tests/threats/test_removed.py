"""Who was removed, and holds what it held: keys, links, a log, old dates."""

import pytest

from quire.handlers import peer, request, role
from tests.threats.attacker import Attacker, reach, reads
from tests.threats.community import DAY, Community, Person, agreed


def removed(ban: bool = False) -> Community:
    """ann, bob, carl; eve wrote two messages and was removed. All but she know."""
    c = Community("ann", "bob", "carl", "eve")
    c.eve.say("one")
    c.eve.say("two")
    c.meet()
    (role.ban if ban else role.remove)(c.ann.ctx, "eve")
    c.meet(c.ann, c.bob, c.carl)
    return c


def test_removed_member_reads_nothing_written_afterwards() -> None:
    """Every key it ever held, or can take from any event, is tried on everything that the others hold."""
    c = removed()
    c.eve.take(c.ann.blobs())
    for person in (c.ann, c.bob, c.carl):
        person.say(f"{person.name} after")
    c.meet(c.ann, c.bob, c.carl)
    later = c.ann.content()
    keys, _ = reach(c.eve, [*c.eve.blobs(), *c.ann.blobs(), *c.bob.blobs()])
    assert later not in keys
    assert reads(c.eve, c.ann, c.bob, c.carl) == ["one", "two"]
    assert sorted(c.carl.texts()) == ["ann after", "bob after", "carl after", "one", "two"]
    agreed(c, c.ann, c.bob, c.carl)


def test_removed_member_reads_nothing_of_who_had_not_heard_of_a_later_key() -> None:
    """A member who learns of the removal alone seals under no key that the removed one has."""
    c = Community("ann", "bob", "carl", "eve")
    role.remove(c.ann.ctx, "eve")
    removal = next(
        sealed for sealed, data in zip(c.ann.blobs(), c.ann.opened(), strict=True) if b'"type":"role"' in data
    )
    c.bob.take([removal])
    assert "eve" not in c.bob.roles()
    c.bob.say("not for eve")
    c.meet(c.ann, c.bob, c.carl)
    assert reads(c.eve, c.ann, c.bob, c.carl) == []
    assert c.carl.texts() == ["not for eve"]


@pytest.mark.parametrize("age", [0, DAY, 10 * DAY])
def test_removed_member_writing_old_dated_events_is_not_shown(age: int) -> None:
    """Beyond the mark of the removal nothing counts, whatever its date."""
    c = removed()
    eve = Attacker(c.eve)
    made = [eve.say(f"backdated {number}", ts=c.now - age) for number in range(3)]
    for order in (made, made[::-1]):
        c.carl.take([one.sealed for one in order])
    view = agreed(c, c.ann, c.bob, c.carl, sealed=[one.sealed for one in made])
    assert sorted(row[4] for row in view["shown"]) == ["one", "two"]
    c.bob.say("still here")
    c.meet(c.ann, c.bob, c.carl)
    assert c.ann.texts() == ["one", "two", "still here"]


@pytest.mark.slow
@pytest.mark.parametrize("place", [1, 2, 3])
def test_removed_member_rewriting_its_own_past_is_not_shown(place: int) -> None:
    """A second history at places before the mark: what the removal did not name was not there."""
    c = removed()
    eve = Attacker(c.eve)
    log = [
        n for n in c.eve.opened() if c.eve.device.encode() in n and b'"author":"' + c.eve.device.encode() in n
    ]
    prev = None if place == 1 else event_ids(log)[place - 2]
    forged = eve.say("I never said that", seq=place, prev=prev, ts=c.now - DAY)
    c.carl.take([forged.sealed])
    assert sorted(c.carl.texts()) == ["one", "two"]
    view = agreed(c, c.ann, c.bob, c.carl, sealed=[forged.sealed])
    assert sorted(row[4] for row in view["shown"]) == ["one", "two"]
    fresh = c.twin(c.ann, ())
    fresh.take([forged.sealed])
    fresh.take(c.ann.blobs())
    assert sorted(fresh.texts()) == ["one", "two"]


def event_ids(log: list[bytes]) -> list[str]:
    from quire.core.event import event_id

    return [event_id(data) for data in log]


@pytest.mark.slow
def test_removed_member_renaming_itself_is_not_believed() -> None:
    """What it was called stays; it cannot take a member's name in what it wrote."""
    c = removed()
    eve = Attacker(c.eve)
    made = eve.write("peer", {"pubkey": c.eve.id, "name": "ann"}, ts=c.now + 1_000)
    view = agreed(c, c.ann, c.bob, c.carl, sealed=[made.sealed])
    assert (c.eve.id, "eve") in view["names"]
    assert c.carl.senders() == {"one": "eve", "two": "eve"}
    peer.create(c.bob.ctx, "robert")
    c.carl.hear(c.bob)
    assert "robert" in c.carl.roles()


def test_member_does_not_introduce_another() -> None:
    c = Community("ann", "bob", "carl")
    made = Attacker(c.bob).write("peer", {"pubkey": c.ann.id, "name": "nobody"}, ts=c.now + 1_000)
    view = agreed(c, c.ann, c.carl, sealed=[made.sealed])
    assert (c.ann.id, "ann") in view["names"]
    peer.create(c.ann.ctx, "anna")
    c.carl.hear(c.ann)
    assert c.carl.roles().keys() == {"anna", "bob", "carl"}


def test_removed_members_requests_are_not_listed() -> None:
    """It passes on nobody to be let in, nor does a guest."""
    c = removed()
    c.admit("gus", c.ann, role="guest")
    link = c.ann.invite(approve=True, uses=5)
    c.meet(c.ann, c.bob, c.carl, c.gus)
    dora = c.person("dora")
    for liar in (c.eve, c.gus):
        asked = asking(dora, link)
        made = Attacker(liar).write("request", {"request": asked}, under=c.ann.keys()[c.eve.key()])
        c.carl.take([made.sealed])
        assert request.list_(c.carl.ctx) == []
    assert "waiting" in dora.join(link, c.bob)
    c.carl.hear(c.bob)
    assert [one.name for one in request.list_(c.carl.ctx)] == ["dora"]


def asking(person: Person, link: str) -> object:
    import msgspec

    return msgspec.to_builtins(Attacker.newcomer(person, link))


def test_removed_member_letting_in_others_lets_in_nobody() -> None:
    """By letters as well: it may answer a newcomer, but has no key that the others use."""
    c = removed()
    link = c.ann.invite(uses=3)
    c.meet(c.ann, c.bob, c.carl)
    assert "waiting" in c.person("dora").join(link, c.eve)
    c.dora.knock(c.bob)
    assert c.dora.waits() == ""
    c.meet(c.ann, c.bob, c.carl, c.dora)
    assert agreed(c, c.ann, c.bob, c.carl, c.dora)
    c.dora.say("among us")
    assert "among us" not in reads(c.eve, c.dora)
