import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.limits import (
    HEIGHTS_PER_FRAME,
    MAX_BLOB_BYTES,
    MAX_INTEGER,
    MAX_STREAM_FRAME,
    RUN_BYTES,
    RUN_EVENTS,
)
from quire.net import stream_wire
from quire.net.stream_wire import Asked, Done, Heights, Run, StreamFrame
from quire.net.wire import BadFrame
from quire.sync.frontier import Height, Want

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "stream_wire.json").read_text())
SAID = {
    "heights": stream_wire.heights([Height(b"D" * 32, 300, b"M" * 8, 1_790_000_000_000)], False),
    "want": stream_wire.want(7, Want(b"D" * 32, 100, 300, b"M" * 8)),
    "run": stream_wire.run(7, 102, True, [(b"K" * 8, [b"first blob", b"second"])]),
    "done": stream_wire.done(),
}
KEYS, MARKS = st.binary(min_size=32, max_size=32), st.binary(min_size=8, max_size=8)
HEIGHT = st.builds(Height, KEYS, st.integers(1, MAX_INTEGER), MARKS, st.integers(0, MAX_INTEGER))
GROUPS = st.lists(st.tuples(MARKS, st.lists(st.binary(max_size=60), min_size=1, max_size=5)), max_size=4)


def read(data: bytes) -> list[StreamFrame]:
    left = bytearray(data)
    found = [stream_wire.decode(kind, body) for kind, body in stream_wire.split(left)]
    assert not left
    return found


@given(st.lists(HEIGHT, max_size=20), st.booleans())
def test_heights_come_back(entries: list[Height], more: bool) -> None:
    assert read(stream_wire.heights(entries, more)) == [Heights(more, entries)]


@given(st.integers(0, 2**32 - 1), KEYS, st.integers(0, 10**9), st.integers(1, RUN_EVENTS), MARKS)
def test_wants_come_back(number: int, device: bytes, after: int, count: int, mark: bytes) -> None:
    want = Want(device, after, after + count, mark)
    assert read(stream_wire.want(number, want)) == [Asked(number, want)]


@given(st.integers(0, 2**32 - 1), st.integers(0, MAX_INTEGER), st.booleans(), GROUPS)
def test_runs_come_back(
    number: int, reached: int, last: bool, groups: list[tuple[bytes, list[bytes]]]
) -> None:
    records = [key_id + blob for key_id, blobs in groups for blob in blobs]
    assert read(stream_wire.run(number, reached, last, groups)) == [Run(number, reached, last, records)]


def test_done_comes_back() -> None:
    assert read(stream_wire.done()) == [Done()]


def test_frames_are_taken_out_as_they_become_whole() -> None:
    data = stream_wire.done() + stream_wire.heights([], False)
    left = bytearray()
    seen = []
    for byte in data:
        left.append(byte)
        seen += [kind for kind, _ in stream_wire.split(left)]
    assert seen == [stream_wire.DONE, stream_wire.HEIGHTS]


@given(st.binary(max_size=200), st.integers(1, 4))
def test_any_bytes_are_a_frame_or_a_bad_one(body: bytes, kind: int) -> None:
    try:
        said = stream_wire.decode(kind, body)
    except BadFrame:
        return
    assert isinstance(said, Heights | Asked | Run | Done)


@pytest.mark.parametrize("small", [48, 200, 458, 600])
def test_the_largest_answer_fits_into_a_frame(small: int) -> None:
    """As many as one question asks for, each under another key than the last, and one as large as can be at the end."""
    count = min(RUN_EVENTS - 1, (RUN_BYTES - 1) // small)
    blobs = [bytes(small)] * count + [bytes(MAX_BLOB_BYTES)]
    groups = [(bytes((at % 2,)) * 8, [blob]) for at, blob in enumerate(blobs)]
    data = stream_wire.run(1, 1, False, groups)
    assert len(data) - stream_wire.FRAME_BYTES <= MAX_STREAM_FRAME
    (said,) = read(data)
    assert isinstance(said, Run)
    assert len(said.records) == count + 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00" + bytes(4), "stream-kind"),
        (b"\x05" + bytes(4), "stream-kind"),
        (stream_wire._FRAME.pack(stream_wire.RUN, MAX_STREAM_FRAME + 1), "stream-length"),
        (stream_wire.frame(stream_wire.DONE, b"x"), "stream-done"),
        (stream_wire.frame(stream_wire.HEIGHTS, b""), "stream-heights"),
        (stream_wire.frame(stream_wire.HEIGHTS, b"\2"), "stream-heights"),
        (stream_wire.frame(stream_wire.HEIGHTS, bytes(56)), "stream-heights"),
        (stream_wire.heights([Height(bytes(32), 0, bytes(8), 1)], False), "stream-heights"),
        (
            stream_wire.heights([Height(bytes(32), 1, bytes(8), 1)] * (HEIGHTS_PER_FRAME + 1), False),
            "stream-heights",
        ),
        (stream_wire.want(1, Want(bytes(32), 5, 5, bytes(8))), "stream-want"),
        (stream_wire.want(1, Want(bytes(32), 0, RUN_EVENTS + 1, bytes(8))), "stream-want"),
        (stream_wire.want(1, Want(bytes(32), MAX_INTEGER, MAX_INTEGER + 1, bytes(8))), "stream-want"),
        (stream_wire.run(1, MAX_INTEGER + 1, True, []), "stream-run"),
        (stream_wire.run(1, 1, True, [(bytes(8), [])]), "stream-run"),
        (stream_wire.run(1, 1, True, [(bytes(8), [b""] * (RUN_EVENTS + 1))]), "stream-run"),
        (stream_wire.run(1, 1, True, [(bytes(8), [bytes(MAX_BLOB_BYTES + 1)])]), "stream-run"),
        (stream_wire.frame(stream_wire.RUN, stream_wire._RUN.pack(1, 1, 1), b"short"), "stream-run"),
    ],
)
def test_bad_frames(data: bytes, reason: str) -> None:
    with pytest.raises(BadFrame, match=reason):
        read(data)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_golden_vectors(vector: dict[str, str]) -> None:
    assert SAID[vector["name"]].hex() == vector["frame"]


def test_every_frame_has_a_golden_vector() -> None:
    assert [vector["name"] for vector in VECTORS] == list(SAID)
