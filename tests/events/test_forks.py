from collections.abc import Sequence
from functools import partial
from random import Random

import pytest

from quire.core import canonical
from quire.core.event import event_id
from quire.events import forks
from quire.events.opening import open_stored
from quire.events.standing import graph_of
from quire.handlers import role
from tests.events.builders import Made
from tests.threats.attacker import Attacker, sealed_under
from tests.threats.community import Community, Person


def disowned(person: Person) -> list[int]:
    return [event for (event,) in person.home.store.db.all("SELECT event FROM disowned ORDER BY event")]


def looked_at_anew(person: Person, device: str) -> list[int]:
    """The same, when nothing is remembered."""
    home, member = person.home, person.member
    kept = dict(home.histories)
    home.histories.clear()
    with home.store.transaction():
        forks.note_forks(home, member, graph_of(home, member), {device: None})
    found = disowned(person)
    home.histories.clear()
    home.histories.update(kept)
    return found


def unsigned(liar: Attacker, text: str) -> Made:
    """Genuine once what comes after it is here."""
    member = liar.person.member
    made = {
        "type": "message",
        "v": 1,
        "body": text,
        "channel": "general",
        "ts": liar.person.community.later(),
    }
    data = canonical.encode({**made, "author": liar.key.text, "seq": liar.seq + 1, "prev": liar.prev})
    liar.seq, liar.prev = liar.seq + 1, event_id(data)
    return Made(liar.prev, data, sealed_under(liar.person.content(), member.raw_space_id, data))


def rewritten(liar: Attacker, length: int, at: Sequence[int]) -> tuple[list[Made], list[Made]]:
    """A log, every third event of which is signed, and what else its author wrote at some of its places, with something
    after each.
    """
    start, first = liar.seq, liar.prev
    told = [(liar.say if n % 3 == 1 else partial(unsigned, liar))(f"told {n}") for n in range(length)]
    before = [first, *(one.event_id for one in told)]
    end = liar.seq, liar.prev
    others = []
    for n in at:
        liar.seq, liar.prev = start + n, before[n]
        others += [liar.say(f"other {n}.{m}") for m in range(2)]
    liar.seq, liar.prev = end
    return told, others


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("removed_after", [0, 9, 30])
def test_what_is_remembered_of_a_way_is_what_is_found_anew(seed: int, removed_after: int) -> None:
    c = Community("ann", "bob", "carl")
    told, others = rewritten(Attacker(c.bob), 20, [3, 4, 11, 17])
    c.ann.take([one.sealed for one in told])
    role.remove(c.ann.ctx, "bob")
    every = [one.sealed for one in (*told, *others)]
    Random(seed).shuffle(every)
    for n, sealed in enumerate(every):
        if n == removed_after:
            c.carl.hear(c.ann, Random(seed))
        c.carl.take([sealed])
        assert disowned(c.carl) == looked_at_anew(c.carl, c.bob.device)
    c.carl.hear(c.ann)
    assert disowned(c.carl) == looked_at_anew(c.carl, c.bob.device)
    assert sorted(c.carl.texts()) == sorted(f"told {n}" for n in range(20))
    assert len(disowned(c.carl)) == len(others)


def test_events_of_who_was_removed_do_not_each_cost_a_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    c = Community("ann", "bob", "carl")
    old, liar = c.bob.content(), Attacker(c.bob)
    told, others = rewritten(liar, 50, [0])
    c.ann.take([one.sealed for one in (*told, *others)])
    opened: list[int] = []
    monkeypatch.setattr(
        "quire.events.forks.open_stored",
        lambda home, member, row: opened.append(row.n) or open_stored(home, member, row),
    )
    role.remove(c.ann.ctx, "bob")
    assert len(opened) == 50
    assert len(disowned(c.ann)) == 2
    opened.clear()
    for n in range(5):
        assert c.ann.take([liar.say(f"late {n}", under=old).sealed]).valid == 1
    assert opened == []
    c.ann.home.histories.clear()
    for n in range(5):
        c.ann.take([liar.say(f"later {n}", under=old).sealed])
    assert len(opened) == 50, "once after a start"


def test_more_is_not_kept_in_mind_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "MAX_PATH_EVENTS", 5)
    c = Community("ann", "bob", "carl", "dave")
    for who in (c.bob, c.carl):
        told, others = rewritten(Attacker(who), 10, [2])
        c.ann.take([one.sealed for one in (*told, *others)])
        role.remove(c.ann.ctx, who.name)
        assert len(c.ann.home.histories) == 1
    assert len(disowned(c.ann)) == 4
