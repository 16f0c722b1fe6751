from pathlib import Path
from random import Random

import pytest

from quire.core.keys import DeviceKey
from quire.events.context import Context
from quire.events.ingest import ingest
from quire.handlers import identity, space
from quire.limits import MAX_DATAGRAM
from quire.net import wire
from quire.net.link import Door, Link
from quire.sim import forgery
from quire.sim.device import Device
from quire.sim.entropy import Stream


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    on = Device("d", tmp_path / "d", "10.0.0.1", 1, "bloom")
    on.start(0)
    identity.create(Context(on.home, on.wall(0)), "ada")
    space.create(Context(on.home, on.wall(0), 1), "commons")
    return Context(on.home, on.wall(5), 1, on.home.store.memberships.of_account(1)[0])


def test_a_history_that_is_continued_is_genuine(ctx: Context) -> None:
    device = ctx.home.store.names.known_device(ctx.member.space, ctx.member.device)
    assert device is not None
    made = forgery.continued(ctx, *ctx.home.store.blobs.head(device), ["one", "two"])
    report = ingest(ctx.home, ctx.member, [one.record for one in made], "x", ctx.now)
    assert [opened.event_id for opened in report.arrived] == [one.event_id for one in made]
    assert report.rejected == {}
    again = forgery.continued(ctx, ctx.home.store.blobs.head(device)[0] - 2, None, ["other"])
    assert again[0].raw_id != made[0].raw_id


def test_what_is_forged_is_refused_held_back_or_counts_for_nothing(ctx: Context) -> None:
    made = forgery.forged(ctx, DeviceKey(bytes(32)).text, "mark")
    report = ingest(ctx.home, ctx.member, [one.record for one in made], "x", ctx.now)
    assert report.rejected == {"bad-signature": 2, "not-json": 1, "cannot-open": 1}
    assert (report.blocked, report.locked) == (2, 1)
    assert len(report.arrived) == 1  # the change of the graph: by its author's own right it would be one
    assert [one.text for one in made if one.text] == [f"mark {n}" for n in range(1, 5)]
    assert ctx.home.store.db.all("SELECT 1 FROM message_index") == []


def test_datagrams_of_nothing_have_any_size_that_passes(ctx: Context) -> None:
    entropy = Stream("x")
    door, me, peer = Door(bytes(32), bytes(32)), DeviceKey(entropy(32)), DeviceKey(entropy(32))
    found = forgery.garbage(Link(door, me, peer.public), 30, Random(1), entropy)
    opened = [Link(door, peer, me.public).open(data) for data in found]
    assert opened[:30] == [None] * 30
    assert all(payload is not None for payload in opened[30:])
    assert max(map(len, found)) <= MAX_DATAGRAM


def test_devices_that_are_made_up_greet_as_real_ones_do(ctx: Context) -> None:
    entropy = Stream("x")
    door, peer = Door(bytes(32), bytes(32)), DeviceKey(entropy(32))
    for data in forgery.greetings(door, peer.public, 3, entropy):
        header = door.peek(data)
        assert header is not None
        payload = Link(door, peer, header[1]).open(data)
        assert payload is not None
        kind, body = wire.read_frames(wire.read_packet(payload).frames)[0]
        assert (kind, wire.read_hello(body)) == (wire.HELLO, "sketch")
