"""What waits for what may never come: it is bounded, and keeps out nobody for good."""

import pytest

from quire.core import canonical
from quire.core.event import event_id
from quire.core.keys import DeviceKey
from quire.events import ingest as ingest_module
from quire.handlers import key, message, role
from quire.limits import HEAL_MS, MAX_CLOCK_AHEAD_MS
from tests.events.builders import MINUTE, digest
from tests.threats.attacker import Attacker, sealed_under
from tests.threats.community import Community, Person

ROOM = 50


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_module, "MAX_BLOCKED", ROOM)


def strangers(person: Person, number: int, under: bytes, type_: str = "message") -> list[bytes]:
    """Genuine events of as many devices that nobody ever let in: the signatures hold."""
    found = []
    for n in range(number):
        device = Attacker(person, DeviceKey(digest(f"nobody {n}")))
        device.seq, device.prev = 0, None
        found.append(device.write(type_, {"body": "x", "channel": "general"}, under=under).sealed)
    return found


def waits(person: Person) -> int:
    return person.home.store.waiting.count(person.member.account, person.member.space)


@pytest.mark.usefixtures("little_room")
@pytest.mark.parametrize("type_", ["message", "poll"])
def test_events_of_made_up_devices_fill_no_more_than_their_room(type_: str) -> None:
    """Bob, who was removed, has an old key and makes up as many devices as he likes."""
    c = Community("ann", "bob", "carl")
    old = c.bob.content()
    role.remove(c.ann.ctx, "bob")
    c.meet(c.ann, c.carl)
    report = c.ann.take(strangers(c.bob, 300, old, type_))
    assert (report.blocked, report.rejected) == (ROOM, {"waiting-list-full": 250})
    assert waits(c.ann) == ROOM
    c.ann.take(strangers(c.bob, 300, old, type_))
    assert waits(c.ann) == ROOM

    # Runs of honest members that come in parts have their own room.
    before = c.carl.home.store.blobs.take_numbers(0).start - 1
    message.create_many(c.carl.ctx, "general", [f"part {n}" for n in range(10)])
    run = c.carl.blobs(before)
    assert c.ann.take(run[:5]).rejected == {}
    assert c.ann.take(run[5:]).valid == 10


@pytest.mark.usefixtures("little_room")
def test_who_comes_while_there_is_no_room_is_heard_once_it_is_let_in() -> None:
    c = Community("ann", "bob", "carl")
    old = c.bob.content()
    role.remove(c.ann.ctx, "bob")
    c.meet(c.ann, c.carl)
    c.ann.take(strangers(c.bob, ROOM, old))
    dave = c.person("dave")
    dave.join(c.carl.invite(), c.carl)
    c.meet(c.carl, dave)
    for n in range(5):
        dave.say(f"hello {n}")
    c.carl.hear(dave)
    every = c.carl.blobs()
    # What dave wrote comes first, without what makes him known.
    said = dave.blobs()[-5:]
    assert c.ann.take(said).rejected == {"waiting-list-full": 5}
    assert c.ann.texts() == []
    assert c.ann.take(every).rejected == {}, "what is in the same batch finds who wrote it known"
    assert c.ann.texts() == c.carl.texts()
    assert len(c.ann.texts()) == 5
    assert c.ann.ctx.home.store.waiting.count(c.ann.member.account, c.ann.member.space) == ROOM


def test_what_finds_no_room_in_any_order_comes_in_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may wait at all, and all comes one by one, the last first, again and again."""
    c = Community("ann", "bob", "carl")
    for who in (c.ann, c.carl, c.bob):
        who.say(f"by {who.name}")
        key.rekey(who.ctx)
        c.meet(c.ann, c.bob, c.carl)
    dave = c.person("dave")
    dave.join(c.ann.invite(), c.ann)
    c.ann.run_jobs()
    role.remove(c.ann.ctx, "carl")
    c.ann.say("after carl")
    every = c.ann.blobs()
    monkeypatch.setattr(ingest_module, "MAX_BLOCKED", 0)
    rounds = 0
    for taker in (c.bob, dave):
        own = waits(taker)  # what dave wrote before he heard of his own admission
        while not set(every) <= set(taker.blobs()) and rounds < 200:
            rounds += 1
            for blob in reversed(every):
                taker.take([blob])
            assert waits(taker) <= own
        assert set(every) <= set(taker.blobs())
        assert taker.texts() == c.ann.texts()
        assert taker.roles() == c.ann.roles()
    assert rounds > 2, "there was no room at first"


@pytest.mark.usefixtures("little_room")
def test_what_is_dated_ahead_fills_no_more_than_its_room_and_comes_in_at_its_time() -> None:
    c = Community("ann", "bob", "carl")
    liar = Attacker(c.bob)
    ahead = c.now + MAX_CLOCK_AHEAD_MS + 10 * MINUTE
    made = [liar.say(f"from the future {n}", ts=ahead + n) for n in range(2 * ROOM)]
    report = c.ann.take([one.sealed for one in made])
    assert (report.blocked, report.rejected) == (ROOM, {"waiting-list-full": ROOM})
    stranger = strangers(c.bob, 5, c.bob.content())
    assert c.ann.take(stranger).rejected == {"waiting-list-full": 5}
    assert c.ann.take([liar.say("now").sealed]).valid == 1
    c.now = ahead + MINUTE
    c.ann.release()
    c.ann.take([one.sealed for one in made])
    assert len(c.ann.texts()) == 2 * ROOM + 1
    assert waits(c.ann) == 0


@pytest.mark.usefixtures("little_room")
def test_no_event_is_held_that_nothing_held_vouches_for() -> None:
    """Of a run whose signed end finds no room, what comes before it finds none either."""
    c = Community("ann", "bob", "carl")
    liar = Attacker(c.bob)
    ahead = c.now + MAX_CLOCK_AHEAD_MS + 10 * MINUTE
    c.ann.take([liar.say(f"{n}", ts=ahead + n).sealed for n in range(ROOM)])
    member, sent = c.bob.member, {"type": "message", "v": 1, "body": "unsigned", "channel": "general"}
    header = {"ts": c.now, "author": member.device, "seq": liar.seq + 1, "prev": liar.prev}
    data = canonical.encode({**sent, **header})
    first = sealed_under(c.bob.content(), member.raw_space_id, data)
    liar.seq, liar.prev = liar.seq + 1, event_id(data)
    second = liar.say("signed, and dated ahead", ts=ahead)
    report = c.ann.take([second.sealed, first])
    assert (report.valid, report.blocked, report.rejected) == (0, 0, {"waiting-list-full": 2})
    c.now = ahead + MINUTE
    c.ann.release()
    assert c.ann.take([first, second.sealed]).valid == 2


def test_a_key_is_taken_out_of_what_finds_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hands bob the key builds on what is sealed under it: neither would ever come in without the other."""
    c = Community("ann", "carl")
    bob = c.person("bob")
    bob.join(c.ann.invite(), c.ann)
    bob.hear(c.ann)
    key.rekey(c.carl.ctx)  # carl has not heard of bob
    c.carl.invite()
    c.ann.hear(c.carl)
    c.later(2 * HEAL_MS)
    c.ann.run_jobs()
    every = c.ann.blobs()
    monkeypatch.setattr(ingest_module, "MAX_BLOCKED", 0)
    refused = bob.take(every[::-1]).rejected["waiting-list-full"]
    assert refused
    for _ in every:
        bob.take(every[::-1])
    assert set(every) <= set(bob.blobs())
    assert bob.content() == c.ann.content()
