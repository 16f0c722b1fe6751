import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.cells import CELL_BYTES, CELLS
from quire.limits import FILTER_PROBES, MAX_SYNC_BYTES
from quire.sync.index import COARSE, END, FINE, START
from quire.sync.messages import (
    WHOLE,
    Buckets,
    Filter,
    Message,
    Root,
    Sketch,
    decode,
    encode_buckets,
    encode_filter,
    encode_root,
    encode_sketch,
    varint,
)
from quire.sync.strategy import BadMessage

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "sync_messages.json").read_text())

eight = st.binary(min_size=8, max_size=8)
counts = st.integers(1, 2**50)
roots = st.builds(Root, eight, st.integers(0, 2**50), eight, st.booleans())
bounds = st.tuples(st.integers(0, END[0] - 1), st.binary(max_size=33))


cells = st.lists(st.integers(0, 2 ** (8 * CELL_BYTES) - 1), min_size=CELLS, max_size=CELLS)
sketches = st.builds(Sketch, st.integers(0, WHOLE), cells)


@st.composite
def filters(draw: Callable[..., object]) -> Filter:
    low, high = sorted(draw(st.lists(bounds, min_size=2, max_size=2, unique=True)))  # type: ignore[call-overload]
    bits = draw(st.binary(min_size=1, max_size=900))
    return Filter(draw(eight), low, high, draw(counts), draw(st.integers(1, FILTER_PROBES)), bits)  # type: ignore[arg-type]


@st.composite
def buckets(draw: Callable[..., object]) -> Buckets:
    places = sorted(draw(st.lists(st.integers(0, 2**22), max_size=40, unique=True)))  # type: ignore[call-overload]
    entries = [(place, draw(counts), draw(eight)) for place in places]
    return Buckets(draw(eight), COARSE, 0, END[0] >> COARSE, entries)  # type: ignore[arg-type]


def encode(message: Message) -> bytes:
    if isinstance(message, Root):
        return encode_root(message)
    if isinstance(message, Sketch):
        return encode_sketch(message)
    return encode_filter(message) if isinstance(message, Filter) else encode_buckets(message)[0]


@given(roots | filters() | buckets() | sketches)
def test_round_trip(message: Message) -> None:
    data = encode(message)
    assert len(data) <= MAX_SYNC_BYTES
    assert decode(data) == message


@given(st.binary(max_size=MAX_SYNC_BYTES + 1) | st.binary(max_size=60).map(lambda data: b"\x13" + data))
def test_any_bytes_decode_or_are_bad(data: bytes) -> None:
    try:
        message = decode(data)
    except BadMessage:
        return
    assert encode(message) == data


@given(roots | filters() | buckets() | sketches, st.data())
def test_altered_messages_decode_or_are_bad(message: Message, data: st.DataObject) -> None:
    raw = bytearray(encode(message))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        altered = decode(bytes(raw))
    except BadMessage:
        return
    assert encode(altered) == bytes(raw)


def test_entries_that_do_not_fit_go_into_further_messages_without_gaps() -> None:
    entries = [(place, 7, bytes(8)) for place in range(0, 1_000, 2)]
    at, seen, messages = 0, [], 0
    while at < END[0] >> COARSE:
        rest = [entry for entry in entries if entry[0] >= at]
        data, end = encode_buckets(Buckets(bytes(8), COARSE, at, END[0] >> COARSE, rest))
        part = decode(data)
        assert isinstance(part, Buckets)
        assert (part.first, part.last) == (at, end)
        seen += part.entries
        at = end
        messages += 1
    assert seen == entries
    assert messages == 5


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_golden_vectors(vector: dict[str, str]) -> None:
    assert repr(decode(bytes.fromhex(vector["hex"]))) == vector["message"]
    assert encode(decode(bytes.fromhex(vector["hex"]))).hex() == vector["hex"]


ROOT = encode_root(Root(bytes(8), 1, bytes(8), False))
FILTER = encode_filter(Filter(bytes(8), START, END, 1, 1, b"\0"))
NARROW = bytes(8) + varint(0) + varint(2)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "short"),
        (b"\0", "kind"),
        (b"\x21" + ROOT[1:], "kind"),
        (ROOT + b"\0", "range"),
        (ROOT[:-1] + b"\x80\0", "integer"),
        (ROOT[:-1] + b"\xff" * 12, "integer"),
        (b"\x11\x02" + ROOT[2:], "range"),
        (bytes((0x12, 31)) + NARROW, "range"),
        (bytes((0x12, COARSE)) + bytes(8) + varint(0) + varint(2**24), "range"),
        (bytes((0x12, FINE)) + bytes(8) + varint(255) + varint(257), "range"),
        (bytes((0x12, FINE)) + NARROW + varint(2) + varint(1) + bytes(8), "order"),
        (bytes((0x12, FINE)) + NARROW + varint(1) + varint(0) + bytes(8), "order"),
        (bytes((0x12, FINE)) + NARROW + (varint(0) + varint(1) + bytes(8)) * 2, "order"),
        (encode_filter(Filter(bytes(8), END, START, 0, 1, b"")), "range"),
        (encode_filter(Filter(bytes(8), START, (END[0], b"\0"), 0, 1, b"")), "range"),
        (encode_filter(Filter(bytes(8), START, END, 0, FILTER_PROBES + 1, b"")), "range"),
        (encode_filter(Filter(bytes(8), START, END, 5, 8, b"")), "range"),
        (encode_filter(Filter(bytes(8), START, END, 0, 8, b"x")), "range"),
        (encode_filter(Filter(bytes(8), START, (5, bytes(34)), 0, 8, b"")), "range"),
        (FILTER + bytes(MAX_SYNC_BYTES), "too-large"),
        (bytes((0x14, WHOLE + 1)) + bytes(CELLS * CELL_BYTES), "range"),
        (bytes((0x14, 0)) + bytes(CELLS * CELL_BYTES - 1), "short"),
        (bytes((0x14, 0)) + bytes(CELLS * CELL_BYTES + 1), "short"),
    ],
)
def test_bad_messages(data: bytes, reason: str) -> None:
    with pytest.raises(BadMessage) as caught:
        decode(data)
    assert caught.value.reason == reason
