"""Clocks that are wrong, and set right."""

from pathlib import Path

import pytest

from quire.errors import Refused
from quire.graph import state
from quire.handlers import key, role
from quire.limits import MAX_CLOCK_SET_BACK_MS
from tests.events.builders import MINUTE
from tests.threats.attacker import reads
from tests.threats.community import Community, agreed

HOUR = 60 * MINUTE


def test_who_left_reads_nothing_of_one_whose_clock_was_ahead() -> None:
    """Others hold what was written ahead of time; what is written once the clock is right does not wait for that."""
    c = Community("ann", "bob", "carl", "eve")
    c.ann.skew = 3 * HOUR
    c.ann.invite()
    key.rekey(c.ann.ctx)
    c.ann.skew = 0
    role.leave(c.eve.ctx)
    c.ann.hear(c.eve)
    c.ann.say("among us")
    assert reads(c.eve, c.ann) == []
    role.remove(c.ann.ctx, "bob")
    c.ann.say("among fewer")
    c.meet(c.ann, c.bob, c.carl)
    assert c.carl.texts() == ["among us", "among fewer"]
    assert "bob" not in c.carl.roles()
    assert reads(c.bob, c.ann) == ["among us"]
    c.admit("dora", c.ann)
    c.ann.say("with dora")
    c.dora.hear(c.ann)
    assert c.dora.texts() == ["among us", "among fewer", "with dora"]
    for hours in range(3):
        c.later(HOUR)
        for one in (c.ann, c.carl, c.dora):
            one.release()
            one.say(f"{one.name} {hours}")
        c.meet(c.ann, c.carl, c.dora)
    c.ann.say("all together")
    assert not state.is_stale(c.ann.ctx.graph, "")
    agreed(c, c.ann, c.carl, c.dora)


@pytest.mark.parametrize("restart", [False, True])
def test_keys_are_made_once_while_what_was_ahead_waits(restart: bool, tmp_path: Path) -> None:
    c = Community("ann", "bob", folder=tmp_path)
    c.ann.skew = 3 * HOUR
    key.rekey(c.ann.ctx)
    c.ann.skew = 0
    if restart:
        c.restart(c.ann)
    key.rekey(c.ann.ctx)
    before = c.ann.key()
    for number in range(3):
        c.ann.say(f"message {number}")
    assert c.ann.key() == before
    c.bob.hear(c.ann)
    assert len(c.bob.texts()) == 3


def test_a_clock_set_back_too_far_sends_nothing_under_a_stale_key() -> None:
    """It cannot build on what the others built on its own: then nothing is written, rather than under the old key."""
    c = Community("ann", "bob", "eve")
    key.rekey(c.ann.ctx)
    c.meet()
    role.leave(c.eve.ctx)
    c.ann.hear(c.eve)
    c.ann.skew = -50 * MAX_CLOCK_SET_BACK_MS
    with pytest.raises(Refused, match="time"):
        c.ann.say("under which key?")
    assert reads(c.eve, c.ann) == []
