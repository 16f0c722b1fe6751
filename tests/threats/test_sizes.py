"""Who makes up so much that what answers it would be longer than an event may be."""

import pytest

from quire.core.certificate import consent
from quire.core.encoding import to_text
from quire.core.keys import DeviceKey
from quire.core.wrapping import WrapKey
from quire.graph import state
from quire.handlers import key, role
from quire.limits import KEY_WAIT_MS, KEYS_HANDED_ON, KEYS_NAMED, MAX_MARKS
from tests.events.builders import MINUTE, digest, invite_keys
from tests.threats.attacker import Attacker
from tests.threats.community import Community, Person
from tests.threats.test_keys import boxes, control


def rivals(liar: Person, number: int, *others: Person) -> list[bytes]:
    """Keys for these that know nothing of each other, and invites that build on all of them."""
    attacker, current = Attacker(liar), state.current_key(liar.ctx.graph, "")
    heads = attacker.heads()
    assert current is not None
    made = [
        attacker.change(
            "key",
            {
                "scope": "",
                "generation": current.change.generation + 1,  # type: ignore[union-attr]
                "before": [current.event_id],
                "older": [],
                **boxes(liar, digest(f"rival {place}"), *others),
            },
            after=heads,
            under=control(liar),
        )
        for place in range(number)
    ]
    after = [one.event_id for one in made]
    while len(after) > 1:
        keys = invite_keys(digest(f"invite {len(made)}"), liar.member.space_id, liar.device)
        body = {**keys, "role": "guest", "uses": 1, "expires": 0, "approve": False}
        made.append(attacker.change("invite", body, after=after[:32], under=control(liar)))
        after = [*after[32:], made[-1].event_id]
    return [one.sealed for one in made]


def devices(liar: Person, number: int) -> list[bytes]:
    """Devices of an identity, each with a message."""
    attacker, sealed, after = Attacker(liar), list[bytes](), Attacker(liar).heads()
    for place in range(number):
        mine = DeviceKey(digest(f"device {place}"))
        wrap = to_text(WrapKey(mine.seed).public)
        body = {
            "identity": liar.id,
            "device": mine.text,
            "wrap": wrap,
            "consent": consent(mine, liar.id, wrap),
            "name": f"device {place}",
        }
        made = attacker.change("device", body, after=after, under=control(liar))
        after = [made.event_id]
        sealed += [made.sealed, Attacker(liar, mine).say("x", under=liar.content()).sealed]
    return sealed


@pytest.mark.parametrize(("number", "to_all"), [(500, True), (1_500, False)])
def test_any_number_of_rival_keys_keeps_nobody_from_writing_or_being_removed(
    number: int, to_all: bool
) -> None:
    c = Community("ann", "bob", "carl")
    c.ann.say("long ago")
    c.meet()
    sealed = rivals(c.bob, number, *((c.ann, c.bob, c.carl) if to_all else ()))
    for one in (c.ann, c.carl):
        one.take(sealed)
    c.carl.say("hello")
    current = state.current_key(c.carl.ctx.graph, "")
    assert len(current.change.parents) == KEYS_NAMED  # type: ignore[union-attr]
    c.ann.hear(c.carl)
    role.remove(c.ann.ctx, "bob")
    assert "bob" not in c.ann.roles()
    assert c.ann.texts() == ["long ago", "hello"]
    c.carl.hear(c.ann)
    assert c.ann.view() == c.carl.view()


def test_more_keys_than_one_event_hands_on_are_handed_on_by_the_next_ones() -> None:
    c = Community("ann", "bob", "carl")
    c.ann.say("long ago")
    c.meet()
    c.ann.take(rivals(c.bob, 2 * KEYS_HANDED_ON + 10, c.ann, c.bob, c.carl))
    key.rekey(c.ann.ctx)
    assert c.admit("dora", c.ann).texts() == ["long ago"], "what was there before comes first"
    assert len(c.dora.keys()) < len(c.ann.keys())
    for _ in range(4):
        c.later(KEY_WAIT_MS + MINUTE)
        c.ann.run_jobs()
    c.dora.hear(c.ann)
    assert c.dora.keys().keys() == c.ann.keys().keys()
    made = len(c.ann.ctx.graph.ledger.dag.nodes)
    c.later(KEY_WAIT_MS + MINUTE)
    c.ann.run_jobs()
    assert len(c.ann.ctx.graph.ledger.dag.nodes) == made, "all are handed on"


def test_any_number_of_devices_keeps_nobody_from_being_removed() -> None:
    """What is said of logs is said of the oldest devices: what the others wrote is shown nowhere."""
    c = Community("ann", "bob", "carl")
    c.bob.say("by bob's own device")
    c.meet()
    sealed = devices(c.bob, 600)
    for one in (c.ann, c.carl):
        one.take(sealed)
    assert c.ann.texts().count("x") == 600
    role.remove(c.ann.ctx, "bob")
    c.carl.hear(c.ann)
    assert c.carl.roles().keys() == {"ann", "carl"}
    assert c.carl.texts().count("x") == MAX_MARKS - 1
    assert "by bob's own device" in c.carl.texts()
    assert c.ann.view() == c.carl.view()
