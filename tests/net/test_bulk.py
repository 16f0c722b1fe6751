"""Two ends of a stream with logs in memory: who says what when, and what is not taken."""

from random import Random

import pytest

from quire.core.keys import DeviceKey
from quire.limits import (
    HEIGHTS_PER_FRAME,
    MAX_HEIGHTS,
    MAX_WANTS,
    STREAM_GREETING_MS,
    STREAM_IDLE_MS,
    STREAM_SLOW_BYTES_PER_MS,
    STREAM_SLOW_MS,
    STREAM_WRITE,
)
from quire.net import stream_wire
from quire.net.bulk import Bulk, BulkNotice, Failed, HeightsHeard, Opened, RunCame
from quire.net.link import GREETING_BYTES, Door, Link
from quire.net.stream_link import StreamLink
from quire.sync.frontier import NO_MARK, Blobs, Height, Want

ALICE, BOB = (DeviceKey(bytes((n,)) * 32) for n in (1, 2))


class MemoryLogs:
    """One log of blobs of `size` bytes, and heights as given."""

    def __init__(self, heights: list[Height], size: int = 100, at_once: int = 10) -> None:
        self._heights = heights
        self._size = size
        self._at_once = at_once
        self.asked: list[Want] = []

    def heights(self) -> list[Height]:
        return self._heights

    def run(self, want: Want) -> Blobs:
        self.asked.append(want)
        reached = min(want.after + self._at_once, want.until)
        blobs = [f"{n}".encode().ljust(self._size) for n in range(want.after + 1, reached + 1)]
        return Blobs([(b"k" * 8, blobs)], reached, reached == want.until)


def height(number: int = 1, seq: int = 25) -> Height:
    return Height(number.to_bytes(32, "big"), seq, b"m" * 8, 0)


class Ends:
    """Alice calls Bob; what each was told."""

    def __init__(self, alices: MemoryLogs, bobs: MemoryLogs) -> None:
        random, door = Random(1), Door(b"s" * 32, b"l" * 32)
        self.alice = Bulk(StreamLink(Link(door, ALICE, BOB.public), random.randbytes), alices, 0)
        said = self.alice.bytes_to_send(0)
        link = StreamLink(Link(door, BOB, ALICE.public), random.randbytes, said[:GREETING_BYTES])
        self.bob = Bulk(link, bobs, 0)
        self.told: dict[str, list[BulkNotice]] = {"alice": [], "bob": []}
        self._give(self.bob, said[GREETING_BYTES:], 0)

    def _give(self, to: Bulk, data: bytes, now: int) -> None:
        to.receive(data, now)
        name = "alice" if to is self.alice else "bob"
        while (notice := to.next_event()) is not None:
            self.told[name].append(notice)

    def talk(self, now: int = 0) -> None:
        """Until nobody has anything to say."""
        while data := self.bob.bytes_to_send(now) or None:
            self._give(self.alice, data, now)
        while data := self.alice.bytes_to_send(now) or None:
            self._give(self.bob, data, now)
            self.talk(now)


def ends(alices: MemoryLogs | None = None, bobs: MemoryLogs | None = None) -> Ends:
    made = Ends(alices or MemoryLogs([]), bobs or MemoryLogs([height()]))
    made.talk()
    return made


def test_both_prove_themselves_and_tell_their_heights() -> None:
    made = ends(MemoryLogs([height(7, 3)]))
    assert made.told["alice"] == [Opened(), HeightsHeard([height()])]
    assert made.told["bob"] == [Opened(), HeightsHeard([height(7, 3)])]


def test_nothing_is_told_to_a_caller_who_has_not_proven_to_be_there() -> None:
    logs = MemoryLogs([height()])
    made = Ends(MemoryLogs([]), logs)
    answer = made.bob.bytes_to_send(0)
    assert len(answer) == 2 + 48  # the second message of the handshake, less than the 114 bytes that came
    assert made.bob.bytes_to_send(0) == b""
    assert not made.bob.ready


def test_a_question_is_answered_in_parts() -> None:
    logs = MemoryLogs([height()])
    made = ends(bobs=logs)
    want = Want(height().device, 0, 25, NO_MARK)
    made.alice.ask([want])
    made.talk()
    runs = [notice for notice in made.told["alice"] if isinstance(notice, RunCame)]
    assert [(run.reached, run.last) for run in runs] == [(10, False), (20, False), (25, True)]
    assert [record[8:].strip() for run in runs for record in run.records] == [
        f"{n}".encode() for n in range(1, 26)
    ]
    assert [asked.after for asked in logs.asked] == [0, 10, 20]


def test_it_is_over_when_nobody_has_a_question_left() -> None:
    made = ends()
    made.alice.ask([Want(height().device, 0, 25, NO_MARK)])
    made.alice.finish()
    made.talk()
    assert not made.alice.over
    made.bob.finish()
    made.bob.finish()
    made.talk()
    assert made.alice.over
    assert made.bob.over


def test_answers_are_made_as_they_are_written() -> None:
    """A reader that is slow costs the memory of its questions, not of the answers."""
    logs = MemoryLogs([height(1, 64 * 2_000)], size=1_000, at_once=100)
    made = ends(bobs=logs)
    made.alice.ask([Want(height().device, 2_000 * n, 2_000 * (n + 1), NO_MARK) for n in range(MAX_WANTS)])
    made.bob.receive(made.alice.bytes_to_send(0), 0)
    written = made.bob.bytes_to_send(0)
    assert STREAM_WRITE <= len(written) < 2 * STREAM_WRITE
    assert len(logs.asked) < 4


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            b"".join(stream_wire.want(n, Want(bytes(32), 0, 9, NO_MARK)) for n in range(MAX_WANTS + 1)),
            "stream-wants",
        ),
        (stream_wire.run(1, 1, True, []), "stream-unasked"),
        (stream_wire.heights([], False), "stream-heights"),
        (b"\xff" * 99, "stream-kind"),
    ],
)
def test_what_nobody_may_say_ends_the_stream(said: bytes, reason: str) -> None:
    made = ends()
    made.alice._link.seal(said)
    made.talk()
    assert made.told["bob"][-1] == Failed(reason, True)


def test_what_does_not_open_ends_the_stream_and_is_nobody_s_word() -> None:
    made = ends()
    made.alice._link.seal(stream_wire.done())
    said = made.alice.bytes_to_send(0)
    made._give(made.bob, said[:-1] + bytes((said[-1] ^ 1,)), 0)
    assert made.told["bob"][-1] == Failed("unopened", False)


def test_a_frame_may_take_so_long_and_no_longer() -> None:
    made = ends()
    made.alice._link.seal(stream_wire.done())
    said = made.alice.bytes_to_send(0)
    now, patience = 1_000, STREAM_SLOW_MS + STREAM_IDLE_MS
    for place in range(len(said) - 1):
        now = 1_000 + 9_000 * place
        made.bob.receive(said[place : place + 1], now)
        assert made.bob.next_timer() == min(now + STREAM_IDLE_MS, 1_000 + patience)
        assert made.bob.dribbles(now) == (now >= 1_000 + patience)
    made.bob.receive(said[-1:], now)
    assert made.bob.next_timer() == now + STREAM_IDLE_MS
    assert not made.bob.dribbles(now)


def test_a_run_beyond_the_question_ends_the_stream() -> None:
    made = ends()
    made.alice.ask([Want(height().device, 5, 10, NO_MARK)])
    made.bob._link.seal(stream_wire.run(1, 11, False, []))
    made.talk()
    assert Failed("stream-unasked", True) in made.told["alice"]


@pytest.mark.parametrize("reached", [[5], [7, 7], [7, 6]])
def test_a_part_that_brings_a_run_no_further_ends_the_stream(reached: list[int]) -> None:
    """Else what was asked for could be kept from others without end."""
    made = ends()
    made.alice.ask([Want(height().device, 5, 10, NO_MARK)])
    for place in reached:
        made.bob._link.seal(stream_wire.run(1, place, False, []))
    made.talk()
    assert isinstance(made.told["alice"][-1], Failed)
    assert len([notice for notice in made.told["alice"] if isinstance(notice, RunCame)]) == len(reached) - 1


def test_the_last_part_may_say_that_there_is_no_more() -> None:
    made = ends()
    want = Want(height().device, 5, 10, NO_MARK)
    made.alice.ask([want])
    made.bob._link.seal(stream_wire.run(1, 7, False, [(b"k" * 8, [b"one", b"two"])]))
    made.bob._link.seal(stream_wire.run(1, 7, True, []))
    made.talk()
    first, last = [notice for notice in made.told["alice"] if isinstance(notice, RunCame)]
    assert first == RunCame(want, 5, 7, False, [b"k" * 8 + b"one", b"k" * 8 + b"two"])
    assert last == RunCame(want, 7, 7, True, [])


def test_heights_are_told_in_several_frames_and_bounded() -> None:
    many = [height(n, 1) for n in range(1, 2 * HEIGHTS_PER_FRAME + 2)]
    assert ends(bobs=MemoryLogs(many)).told["alice"][-1] == HeightsHeard(many)
    more = [height(n, 1) for n in range(1, MAX_HEIGHTS + 2)]
    assert ends(bobs=MemoryLogs(more)).told["alice"][-1] == HeightsHeard(more[:MAX_HEIGHTS])
    flooded = Ends(MemoryLogs([]), MemoryLogs([]))
    flooded.alice._told = True
    flooded.talk()
    for at in range(0, MAX_HEIGHTS + 1, HEIGHTS_PER_FRAME):
        flooded.alice._link.seal(stream_wire.heights(more[at : at + HEIGHTS_PER_FRAME], True))
    flooded.talk()
    assert flooded.told["bob"][-1] == Failed("stream-heights", True)


def test_a_stream_has_its_time() -> None:
    made = Ends(MemoryLogs([]), MemoryLogs([]))
    assert made.bob.next_timer() == STREAM_GREETING_MS
    made.talk(now=77)
    assert made.bob.next_timer() == made.alice.next_timer() == 77 + STREAM_IDLE_MS


def test_who_is_given_a_run_has_the_time_that_it_takes() -> None:
    """On a slow uplink nothing comes back before a run is through; who reads nothing is waited for so long at most."""
    made = ends(bobs=MemoryLogs([height(1, 64 * 2_000)], size=1_000, at_once=100))
    made.alice.ask([Want(height().device, 2_000 * n, 2_000 * (n + 1), NO_MARK) for n in range(MAX_WANTS)])
    made.bob.receive(made.alice.bytes_to_send(0), 5)
    written = len(made.bob.bytes_to_send(20))
    assert made.bob.next_timer() == 20 + written // STREAM_SLOW_BYTES_PER_MS + STREAM_IDLE_MS
    made.bob.receive(b"", 30)
    assert made.bob.next_timer() == 20 + written // STREAM_SLOW_BYTES_PER_MS + STREAM_IDLE_MS
    for now in range(40, 60):
        assert made.bob.bytes_to_send(now)
    assert made.bob.next_timer() == 59 + STREAM_SLOW_MS + STREAM_IDLE_MS
