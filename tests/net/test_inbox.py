import pytest

from quire.limits import MAX_UNCOLLECTED_BYTES
from quire.net import wire
from quire.net.fragments import cut
from quire.net.inbox import Inbox


def body(frame: bytes) -> bytes:
    return wire.read_frames(frame)[0][1]


def test_whole_records_and_those_in_fragments_come_together() -> None:
    inbox = Inbox()
    large = bytes(range(256)) * 10
    inbox.add(wire.EVENTS, body(wire.events([b"a" * 60, b"b" * 60])), 0)
    for part in cut(large):
        inbox.add(wire.FRAGMENT, body(wire.fragment(part)), 0)
    assert inbox.collect() == [b"a" * 60, b"b" * 60, large]
    assert inbox.collect() == []


def test_full_until_collected() -> None:
    inbox = Inbox()
    added = 0
    while not inbox.full:
        inbox.add(wire.EVENTS, body(wire.events([bytes(1_000)])), 0)
        added += 1_000
    assert MAX_UNCOLLECTED_BYTES < added <= MAX_UNCOLLECTED_BYTES + 1_000
    assert len(inbox.collect()) == added // 1_000
    assert not inbox.full


def test_malformed_ones_raise() -> None:
    with pytest.raises(wire.BadFrame, match="events"):
        Inbox().add(wire.EVENTS, b"x", 0)
