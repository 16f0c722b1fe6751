import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.limits import (
    ACK_BITS,
    ADDRESSES_PER_FRAME,
    BLOB_OVERHEAD,
    FRAGMENT_BYTES,
    MAX_ADDRESS_CHARS,
    MAX_BLOB_BYTES,
    MAX_DATAGRAM,
    MAX_SYNC_BYTES,
)
from quire.net import wire
from quire.net.link import LINK_OVERHEAD
from quire.net.standing import Refusal
from quire.net.wire import BadFrame, Fragment

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "net_wire.json").read_text())

cids = st.binary(min_size=8, max_size=8)
counters = st.integers(0, 2**64 - 1)
records = st.binary(min_size=wire.MIN_RECORD, max_size=300)
texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=MAX_ADDRESS_CHARS)
keys = st.binary(min_size=32, max_size=32)


def body(data: bytes) -> bytes:
    frames = wire.read_frames(data)
    assert len(frames) == 1
    return frames[0][1]


@given(
    cids,
    cids,
    counters,
    st.lists(st.tuples(st.sampled_from(range(1, 10)), st.binary(max_size=300)), max_size=5),
)
def test_packets_round_trip(cid: bytes, echo: bytes, counter: int, frames: list[tuple[int, bytes]]) -> None:
    data = wire.packet(cid, echo, counter, [wire.frame(kind, part) for kind, part in frames])
    packet = wire.read_packet(data)
    assert packet[:3] == (cid, echo, counter)
    assert wire.read_frames(packet.frames) == frames


@given(counters, st.integers(0, 2**ACK_BITS - 1))
def test_acks_round_trip(highest: int, seen: int) -> None:
    assert wire.read_ack(body(wire.ack(highest, seen))) == (highest, seen)


def test_ack_repeats_no_more_than_its_bits() -> None:
    assert wire.read_ack(body(wire.ack(9, 1 << ACK_BITS | 5))) == (9, 5)


@given(st.lists(records, max_size=3))
def test_events_round_trip(some: list[bytes]) -> None:
    assert wire.read_events(body(wire.events(some))) == some


@given(st.lists(st.tuples(keys, texts), max_size=ADDRESSES_PER_FRAME))
def test_addresses_round_trip(known: list[tuple[bytes, str]]) -> None:
    assert wire.read_addresses(body(wire.addresses(known))) == known


def test_more_addresses_than_a_frame_may_hold_are_left_out() -> None:
    known = [(bytes(32), "host:1")] * (ADDRESSES_PER_FRAME + 1)
    assert len(wire.read_addresses(body(wire.addresses(known)))) == ADDRESSES_PER_FRAME


@given(st.binary(min_size=1, max_size=FRAGMENT_BYTES))
def test_letters_round_trip(data: bytes) -> None:
    assert wire.read_letter(body(wire.letter(data))) == data


@pytest.mark.parametrize("reason", [None, *Refusal])
def test_refusals_round_trip(reason: Refusal | None) -> None:
    assert wire.read_refused(body(wire.refused(reason))) == reason


@given(st.integers(2, wire.MAX_FRAGMENTS), st.data())
def test_fragments_round_trip(total: int, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, total - 1))
    size = FRAGMENT_BYTES if place + 1 < total else data.draw(st.integers(1, FRAGMENT_BYTES))
    part = Fragment(b"tag tag ", place, total, bytes(size))
    assert wire.read_fragment(body(wire.fragment(part))) == part


READERS = [
    wire.read_packet,
    wire.read_frames,
    wire.read_ack,
    wire.read_events,
    wire.read_fragment,
    wire.read_addresses,
    wire.read_hello,
    wire.read_letter,
    wire.read_refused,
]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@given(data=st.binary(max_size=120) | st.binary(max_size=30).map(lambda part: b"\x01\x00\x10" + part * 4))
def test_any_bytes_are_read_or_bad(reader: object, data: bytes) -> None:
    try:
        reader(data)  # type: ignore[operator]
    except BadFrame as error:
        known = {
            "short",
            "version",
            "kind",
            "ack",
            "events",
            "fragment",
            "addresses",
            "hello",
            "letter",
            "refused",
        }
        if error.reason not in known:
            raise


@pytest.mark.parametrize(
    ("reader", "data", "reason"),
    [
        (wire.read_packet, bytes(wire.PACKET_BYTES - 1), "short"),
        (wire.read_packet, b"\x02" + bytes(wire.PACKET_BYTES), "version"),
        (wire.read_frames, b"\x01\x00", "short"),
        (wire.read_frames, b"\x01\x00\x05abcd", "short"),
        (wire.read_frames, b"\x00\x00\x00", "kind"),
        (wire.read_frames, b"\x0b\x00\x00", "kind"),
        (wire.read_ack, bytes(39), "ack"),
        (wire.read_events, bytes((0, wire.MIN_RECORD - 1)) + bytes(wire.MIN_RECORD - 1), "events"),
        (wire.read_events, bytes((0, wire.MIN_RECORD + 1)) + bytes(wire.MIN_RECORD), "events"),
        (wire.read_events, b"\0", "events"),
        (wire.read_fragment, bytes(10), "fragment"),
        (wire.read_fragment, bytes(8) + bytes((0, 1)) + b"x", "fragment"),
        (wire.read_fragment, bytes(8) + bytes((2, 2)) + b"x", "fragment"),
        (wire.read_fragment, bytes(8) + bytes((0, 2)) + b"x", "fragment"),
        (wire.read_fragment, bytes(8) + bytes((1, 2)) + bytes(FRAGMENT_BYTES + 1), "fragment"),
        (wire.read_fragment, bytes(8) + bytes((0, 200)) + bytes(FRAGMENT_BYTES), "fragment"),
        (wire.read_addresses, bytes(31), "addresses"),
        (wire.read_addresses, bytes(32) + b"\0", "addresses"),
        (wire.read_addresses, bytes(32) + b"\x02a", "addresses"),
        (wire.read_addresses, bytes(32) + b"\x02a\n", "addresses"),
        (wire.read_addresses, bytes(32) + b"\x01\xff", "addresses"),
        (wire.read_addresses, bytes(32) + bytes((MAX_ADDRESS_CHARS + 1,)) + b"a" * 65, "addresses"),
        (wire.read_addresses, (bytes(32) + b"\x01a") * (ADDRESSES_PER_FRAME + 1), "addresses"),
        (wire.read_letter, b"", "letter"),
        (wire.read_letter, bytes(FRAGMENT_BYTES + 1), "letter"),
        (
            wire.read_letter_part,
            bytes(8) + bytes((0, wire.MAX_PARTS + 1)) + bytes(FRAGMENT_BYTES),
            "fragment",
        ),
        (wire.read_letter_part, b"", "fragment"),
        (wire.read_refused, b"", "refused"),
        (wire.read_refused, b"\x03", "refused"),
        (wire.read_refused, bytes(2), "refused"),
        (wire.read_hello, b"bloom", "hello"),
        (wire.read_hello, bytes(16), "hello"),
        (wire.read_hello, b"\xff" * 16, "hello"),
    ],
)
def test_bad_bytes(reader: object, data: bytes, reason: str) -> None:
    with pytest.raises(BadFrame) as caught:
        reader(data)  # type: ignore[operator]
    assert caught.value.reason == reason


def test_the_largest_of_everything_fits_a_datagram() -> None:
    ack = wire.ack(0, 0)
    sync = wire.frame(wire.SYNC, bytes(MAX_SYNC_BYTES))
    fragment = wire.fragment(Fragment(bytes(8), 0, 2, bytes(FRAGMENT_BYTES)))
    event = wire.events([bytes(wire.MAX_INLINE)])
    letter = wire.letter(bytes(FRAGMENT_BYTES))
    for frames in ([sync], [ack, fragment], [event], [wire.frame(wire.PING), ack, letter]):
        assert LINK_OVERHEAD + len(wire.packet(bytes(8), bytes(8), 0, frames)) <= MAX_DATAGRAM


def test_the_largest_blob_fits_its_fragments() -> None:
    assert wire.MAX_RECORD == 8 + MAX_BLOB_BYTES
    assert wire.MAX_FRAGMENTS * FRAGMENT_BYTES >= wire.MAX_RECORD
    assert wire.MAX_FRAGMENTS < 256
    assert wire.MIN_RECORD == 8 + BLOB_OVERHEAD


def test_greetings_are_of_one_size() -> None:
    assert len(wire.hello("bloom")) == len(wire.hello("full")) == len(wire.hello("a" * 16))
    assert wire.read_hello(body(wire.hello("frontier"))) == "frontier"


def made() -> list[tuple[str, bytes]]:
    cid, echo = b"cid cid ", b"echoecho"
    return [
        ("hello", wire.packet(cid, wire.NO_CID, 0, [wire.hello("bloom")])),
        ("ack", wire.packet(cid, echo, 300, [wire.ack(77, 0b1011)])),
        ("sync", wire.packet(cid, echo, 2**40, [wire.frame(wire.SYNC, b"message")])),
        ("events", wire.packet(cid, echo, 5, [wire.events([b"r" * 48, b"s" * 50])])),
        ("fragment", wire.packet(cid, echo, 6, [wire.fragment(Fragment(b"tag tag ", 1, 2, b"end"))])),
        ("addresses", wire.packet(cid, echo, 7, [wire.addresses([(b"d" * 32, "203.0.113.5:4000")])])),
        ("ping", wire.packet(cid, echo, 8, [wire.frame(wire.PING)])),
        ("letter", wire.packet(cid, echo, 9, [wire.letter(b"let me in")])),
        ("refused", wire.packet(cid, echo, 10, [wire.refused(Refusal.NOT_ADMITTED)])),
        ("refused, without a session", wire.packet(wire.NO_CID, echo, 0, [wire.refused(Refusal.REMOVED)])),
    ]


@pytest.mark.parametrize(("name", "data"), made())
def test_golden_vectors(name: str, data: bytes) -> None:
    assert {vector["name"]: vector["hex"] for vector in VECTORS}[name] == data.hex()
