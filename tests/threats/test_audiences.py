"""Private channels and conversations, and members who are not in them."""

import pytest

from quire.errors import QuireError
from quire.graph.changes import OpenAudience
from quire.handlers import channel, device_revoke, message
from tests.threats.attacker import Attacker, reach
from tests.threats.community import Community, Person, agreed


def private() -> Community:
    """ann and bob have a channel of their own; carl and dora are members of the space."""
    c = Community("ann", "bob", "carl", "dora")
    channel.create(c.ann.ctx, "board", private=True)
    channel.add(c.ann.ctx, "board", "bob")
    message.create(c.ann.ctx, "board", "between us")
    c.meet()
    c.heal(c.ann, c.bob, c.carl, c.dora)
    return c


def board(person: Person) -> list[str]:
    """What a person sees of the channel."""
    try:
        return [one.body_text for one in message.list_(person.ctx, "board")]
    except QuireError:
        return []


def everything(person: Person, *others: Person) -> bytes:
    """All bytes of events that somebody can open, with any key they hold or come by."""
    blobs = [sealed for other in (person, *others) for sealed in other.blobs()]
    return b"".join(reach(person, blobs)[1].values())


def test_member_who_is_not_in_a_private_channel_reads_nothing_of_it() -> None:
    """Not with a changed program either: the bodies are sealed to those who are in it."""
    c = private()
    assert board(c.bob) == ["between us"]
    for outsider in (c.carl, c.dora):
        assert board(outsider) == []
        assert b"between us" not in everything(outsider, c.ann, c.bob)
        assert outsider.home.store.audiences.keys(outsider.member.account, outsider.member.space) == []


def test_who_adds_themselves_to_a_private_channel_is_not_in_it() -> None:
    c = private()
    audience = next(
        node.event_id
        for node in c.carl.ctx.graph.ledger.dag.nodes
        if isinstance(node.change, OpenAudience) and not node.change.fixed
    )
    under = c.carl.member.epochs[c.carl.member.control][0]
    body = {"audience": audience, "member": c.carl.id, "inside": True, "marks": {}}
    forged = Attacker(c.carl).change("audience-member", body, under=under)
    for person in (c.ann, c.bob, c.dora):
        assert person.take([forged.sealed]).valid == 1, "taken in, to count for nothing"
        assert not person.counts(forged.event_id)
    message.create(c.ann.ctx, "board", "still between us")
    c.meet()
    c.heal(c.ann, c.bob, c.carl, c.dora)
    assert board(c.bob) == ["between us", "still between us"]
    assert b"still between us" not in everything(c.carl, c.ann, c.bob)


def test_who_was_taken_out_of_a_private_channel_reads_nothing_later() -> None:
    c = private()
    channel.remove(c.ann.ctx, "board", "bob")
    message.create(c.ann.ctx, "board", "without bob")
    c.meet()
    c.heal(c.ann, c.bob, c.carl, c.dora)
    assert b"without bob" not in everything(c.bob, c.ann, c.carl)
    assert board(c.ann) == ["between us", "without bob"]
    assert "without bob" not in board(c.bob)
    agreed(c, c.carl, c.dora)


def test_a_conversation_whose_only_key_does_not_count_goes_on() -> None:
    """A phone began it; it is revoked by who has heard of the audience, and not of its key (yet, or ever)."""
    c = Community("ann", "bob")
    phone = c.link(c.ann, "phone")
    assert phone is not None
    c.meet()
    before = phone.home.store.blobs.take_numbers(0).start
    message.create(phone.ctx, "@bob", "from the phone")
    made = phone.blobs(before - 1)
    c.ann.take(made[:1])
    device_revoke.revoke(c.ann.ctx, "phone")
    message.create(c.ann.ctx, "@bob", "from ann")
    c.bob.take(made)
    c.meet(c.ann, c.bob)
    message.create(c.bob.ctx, "@ann", "from bob")
    c.meet(c.ann, c.bob)
    for person, other in ((c.ann, "@bob"), (c.bob, "@ann")):
        assert [one.body_text for one in message.list_(person.ctx, other)] == ["from ann", "from bob"]
    assert c.ann.apart() != []
    agreed(c, c.ann, c.bob)


def test_message_to_one_peer_opens_for_its_two_ends_alone() -> None:
    c = Community("ann", "bob", "carl")
    message.create(c.ann.ctx, "@bob", "for bob alone")
    c.meet()
    c.heal(c.ann, c.bob, c.carl)
    assert [one.body_text for one in message.list_(c.bob.ctx, "@ann")] == ["for bob alone"]
    assert b"for bob alone" not in everything(c.carl, c.ann, c.bob)
    with pytest.raises(QuireError):
        message.create(c.carl.ctx, "@nobody", "to nobody")
