"""Letters: welcomes kept and played again, made up, or meant for somebody else; and knocks without end."""

import pytest

from quire.core.encoding import from_text
from quire.core.wrapping import seal_to
from quire.errors import BadEvent
from quire.handlers import admit_letter, joining, request, role
from quire.handlers.admit_letter import WELCOME
from quire.limits import LETTERS_PER_MINUTE, MAX_REQUESTS
from tests.threats.attacker import Attacker, reads
from tests.threats.community import Community, Person, agreed


def welcome_of(newcomer: Person, member: Person) -> bytes:
    """The answer that a member gives to a newcomer, before the newcomer takes it."""
    (letter,) = joining.greet(newcomer.ctx, member.device)
    (answer,) = joining.answer(member.ctx, newcomer.device, letter)
    assert answer[:1] == WELCOME
    return answer


def test_replayed_welcome_opens_nothing_for_another() -> None:
    c = Community("ann", "bob")
    link = c.ann.invite(uses=2)
    for name in ("carl", "mallory"):
        joining.join(c.person(name).ctx, link, name)
    welcome = welcome_of(c.carl, c.ann)
    with pytest.raises(BadEvent):
        joining.answer(c.mallory.ctx, c.ann.device, welcome)
    assert c.mallory.keys() == {}
    joining.answer(c.carl.ctx, c.ann.device, welcome)
    assert c.carl.waits() == ""


def test_replayed_welcome_changes_nothing_for_who_is_in() -> None:
    """Played again after a new key was made: nobody goes back to the old one."""
    c = Community("ann", "bob")
    joining.join(c.person("carl").ctx, c.ann.invite(), "carl")
    welcome = welcome_of(c.carl, c.ann)
    joining.answer(c.carl.ctx, c.ann.device, welcome)
    c.meet()
    role.remove(c.ann.ctx, "bob")
    c.meet(c.ann, c.carl)
    before = c.carl.key()
    assert joining.answer(c.carl.ctx, c.ann.device, welcome) == []
    assert c.carl.key() == c.ann.key() == before
    c.carl.say("not for bob")
    c.ann.hear(c.carl)
    assert c.ann.texts() == ["not for bob"]
    assert reads(c.bob, c.ann, c.carl) == []


def test_replayed_welcome_does_not_keep_out_who_comes_again() -> None:
    """carl was removed and has a new link; the old welcome comes before the true one."""
    c = Community("ann", "bob")
    joining.join(c.person("carl").ctx, c.ann.invite(), "carl")
    old = welcome_of(c.carl, c.ann)
    joining.answer(c.carl.ctx, c.ann.device, old)
    c.meet()
    role.remove(c.ann.ctx, "carl")
    c.meet()
    joining.join(c.carl.ctx, c.ann.invite(), "carl")
    joining.answer(c.carl.ctx, c.bob.device, old)
    c.carl.knock(c.ann)
    c.meet()
    assert c.carl.waits() == ""
    c.ann.say("again among us")
    c.meet()
    assert c.carl.texts() == ["again among us"]


def test_welcome_by_a_stranger_does_not_keep_a_newcomer_from_the_members() -> None:
    """Whoever has the link can answer a newcomer, with a key of its own; the true answers still count."""
    c = Community("ann", "bob")
    link = c.ann.invite(uses=2)
    carl = c.person("carl")
    joining.join(carl.ctx, link, "carl")
    asked = Attacker(carl).request(link)
    false = admit_letter.Welcome("garden", b"f" * 32, b"g" * 32, "AAAAAAAAAAA")
    import msgspec

    context = joining._WELCOME_DOMAIN + c.ann.member.raw_space_id + from_text(carl.device)
    letter = WELCOME + seal_to(from_text(asked.wrap), msgspec.msgpack.encode(false), b"e" * 32, context)
    joining.answer(carl.ctx, c.bob.device, letter)
    carl.knock(c.ann)
    c.meet()
    assert carl.waits() == ""
    carl.say("for members")
    assert carl.key() == c.ann.key()
    c.meet()
    for person in (c.ann, c.bob):
        assert person.texts() == ["for members"]
    agreed(c)


@pytest.mark.parametrize(
    "letter", [b"", b"W", b"J", b"J\x90", b"Wxxxx", b"N" + b"x" * 900, b"?", b"J" + b"\xff" * 900]
)
def test_senseless_letters_are_refused_or_ignored(letter: bytes) -> None:
    c = Community("ann", "bob")
    link = c.ann.invite()
    joining.join(c.person("carl").ctx, link, "carl")
    for person in (c.ann, c.bob, c.carl):
        try:
            assert joining.answer(person.ctx, "x" * 43, letter) == []
        except BadEvent:
            pass
    assert set(c.ann.roles()) == {"ann", "bob"}
    c.carl.knock(c.ann)
    assert c.carl.waits() == ""


def test_flood_of_knocks_by_one_stranger_writes_one_event() -> None:
    c = Community("ann", "bob")
    open_link, asked_link = c.ann.invite(uses=1), c.ann.invite(uses=1, approve=True)
    c.meet()
    joining.join(c.person("carl").ctx, asked_link, "carl")
    letter = Attacker(c.carl).letter(asked_link)
    sizes = []
    for _ in range(LETTERS_PER_MINUTE):
        assert joining.answer(c.bob.ctx, c.carl.device, letter) == [admit_letter.WAIT]
        sizes.append(len(c.bob.blobs()))
    assert len(set(sizes)) == 1
    assert len(request.list_(c.bob.ctx)) == 1
    joining.join(c.person("dora").ctx, open_link, "dora")
    letter = Attacker(c.dora).letter(open_link)
    answers = [joining.answer(c.bob.ctx, c.dora.device, letter)[0][:1] for _ in range(20)]
    assert set(answers) == {WELCOME}
    assert [node.change.__class__.__name__ for node in c.bob.ctx.graph.ledger.dag.nodes].count("Admit") == 2


def test_flood_of_requests_by_made_up_people_is_bounded() -> None:
    """Whoever has a link that needs approval can make up people; no more of them than MAX_REQUESTS are noted."""
    c = Community("ann", "bob")
    link, other = (c.ann.invite(uses=10, approve=True) for _ in range(2))
    c.meet()
    crowd = c.person("crowd")
    joining.join(crowd.ctx, link, "crowd")
    size = len(c.bob.blobs())
    for number in range(MAX_REQUESTS + 10):
        liar = Attacker.made_up(crowd, f"nobody {number}")
        assert joining.answer(c.bob.ctx, liar.key.text, liar.letter(link)) == [admit_letter.WAIT]
    assert len(c.bob.blobs()) - size == MAX_REQUESTS == len(request.list_(c.bob.ctx))
    assert "waiting" in c.person("dora").join(other, c.bob)
    request.approve(c.bob.ctx, "dora")
    c.dora.knock(c.bob)
    assert c.dora.waits() == ""
