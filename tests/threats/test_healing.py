"""Keys that were made while somebody came in elsewhere are handed on soon, whoever else writes what."""

from collections.abc import Callable

from quire.events import keyring
from quire.handlers import key
from quire.limits import HEAL_MS, MAX_CLOCK_AHEAD_MS
from tests.events.builders import MINUTE, digest, invite_keys
from tests.threats.attacker import Attacker
from tests.threats.community import Community, Person


def divided(*more: str) -> Community:
    """In one half there is a new key, in the other somebody came in."""
    c = Community("ann", "bob", "carl", *more)
    key.rekey(c.ann.ctx)
    c.ann.say("under the new key")
    c.admit("dora", c.bob)
    return c


def healed_after(
    c: Community, people: list[Person], ms: int, each: Callable[[int], None] = lambda _: None
) -> int:
    """How long it takes (ms) until dora has the new key, as these nodes run on; `ms` where that is longer."""
    for passed in range(HEAL_MS, ms, HEAL_MS):
        c.later(HEAL_MS)
        each(passed)
        for one in people:
            one.run_jobs()
        c.meet(*people)
        if c.dora.key() == c.ann.key():
            return passed
    return ms


def test_who_goes_on_writing_ahead_of_time_keeps_no_key_from_being_handed_on() -> None:
    c = divided()
    c.meet()
    liar, first = Attacker(c.carl), keyring.first_control(c.carl.home, c.carl.member, c.carl.ctx.graph)
    early = c.carl.ctx.graph.ledger.dag.nodes[7].event_id
    assert first is not None

    def write(passed: int) -> None:
        keys = invite_keys(digest(f"invite {passed}"), c.carl.member.space_id, c.carl.device)
        body = {**keys, "role": "guest", "uses": 1, "expires": 0, "approve": False}
        ts = c.now + MAX_CLOCK_AHEAD_MS - MINUTE
        made = liar.change("invite", body, after=[early], under=first.key, ts=ts)
        for one in (c.ann, c.bob, c.dora):
            one.take([made.sealed])

    c.later(MINUTE)
    write(0)
    assert healed_after(c, [c.bob, c.dora], 2 * MINUTE, write) <= MINUTE
    assert c.dora.texts() == ["under the new key"]


def test_an_honest_clock_that_is_ahead_delays_nothing() -> None:
    c = divided()
    c.bob.skew = MAX_CLOCK_AHEAD_MS - MINUTE // 2
    c.bob.invite()
    c.meet()
    assert healed_after(c, [c.ann, c.carl, c.dora], 2 * MINUTE) <= 2 * HEAL_MS


def test_juniors_who_are_alone_hand_on_keys_within_a_minute() -> None:
    """The wait grows with the root of how many are more senior, not with their number."""
    c = divided(*(f"m{number}" for number in range(20)))
    alone = [c.m19, c.m18, c.dora]
    for other in (c.ann, c.bob):
        for one in alone:
            one.hear(other)
    c.meet(*alone)
    assert healed_after(c, alone, 3 * MINUTE) <= 8 * HEAL_MS
