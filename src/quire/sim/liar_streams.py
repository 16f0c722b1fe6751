"""What a byzantine member says of its logs on streams, and what it takes from others.

Owns: each kind of lie about logs. Must not know: when which of them is told, what datagrams carry.
"""

from collections.abc import Callable, Sequence
from random import Random

from quire.core.keys import KEY_BYTES
from quire.limits import LOG_PART, MAX_INTEGER
from quire.net.endpoint import SessionId
from quire.net.streams import Carrier, Taken
from quire.sync.frontier import MARK_BYTES, Blobs, Height, Logs, Want
from quire.sync.strategy import Entropy

#: Logs of nobody's that are told of.
_MADE_UP = 100
#: How long one that dribbles takes for each byte (ms): less than a stream may be idle.
_DRIP_MS = 4_000
#: Writes of one that dribbles which go out whole: it proves to be there, and tells its heights.
_WHOLE = 2


class _Promising:
    """Tells of more than there is, of logs too that nobody has, and gives nothing for any of it."""

    def __init__(self, truth: Logs, random: Random, entropy: Entropy) -> None:
        self._truth = truth
        self._random = random
        self._entropy = entropy

    def heights(self) -> list[Height]:
        """See Logs."""
        tops = (LOG_PART - 1, MAX_INTEGER)
        made_up = [
            Height(self._entropy(KEY_BYTES), self._random.choice(tops), self._entropy(MARK_BYTES), 0)
            for _ in range(_MADE_UP)
        ]
        return made_up + [height._replace(seq=self._random.choice(tops)) for height in self._truth.heights()]

    def run(self, want: Want) -> Blobs:
        """See Logs."""
        return Blobs([], want.until, True)


class _Cheating:
    """Tells the truth about its logs, and gives something else than it was asked for."""

    def __init__(self, truth: Logs, random: Random) -> None:
        self._truth = truth
        self._random = random

    def heights(self) -> list[Height]:
        """See Logs."""
        return self._truth.heights()

    def run(self, want: Want) -> Blobs:
        """See Logs."""
        return self._random.choice(_CHEATS)(want, self._truth.run(want))


def _garbage(_: Want, blobs: Blobs) -> Blobs:
    return blobs._replace(groups=[(key, [bytes(len(one)) for one in those]) for key, those in blobs.groups])


def _the_first_again(want: Want, blobs: Blobs) -> Blobs:
    return Blobs([(key, those[:1] * len(those)) for key, those in blobs.groups], want.until, True)


def _one_too_few(want: Want, blobs: Blobs) -> Blobs:
    return Blobs([(key, those[1:]) for key, those in blobs.groups if those[1:]], want.until, True)


def _no_more(want: Want, _: Blobs) -> Blobs:
    return Blobs([], want.after, True)


def _a_part_of_nothing(want: Want, _: Blobs) -> Blobs:
    return Blobs([], want.after, False)


_CHEATS: tuple[Callable[[Want, Blobs], Blobs], ...] = (
    _garbage,
    _the_first_again,
    _one_too_few,
    _no_more,
    _a_part_of_nothing,
)


class _Withholding:
    """Tells the truth about its logs, and gives nothing of them."""

    def __init__(self, truth: Logs) -> None:
        self._truth = truth

    def heights(self) -> list[Height]:
        """See Logs."""
        return self._truth.heights()

    def run(self, want: Want) -> Blobs:
        """See Logs."""
        return _no_more(want, Blobs([], 0, True))


class LyingCarrier:
    """Does for streams what the `honest` one would, but for the lie that `how` names; "" is none yet."""

    def __init__(self, honest: Carrier, random: Random, entropy: Entropy) -> None:
        self.how = ""
        self._honest = honest
        self._random = random
        self._entropy = entropy

    def logs_for(self, session_id: SessionId) -> Logs | None:
        """See Carrier."""
        truth = self._honest.logs_for(session_id)
        if truth is None:
            return None
        if self.how == "promise":
            return _Promising(truth, self._random, self._entropy)
        if self.how == "cheat":
            return _Cheating(truth, self._random)
        return _Withholding(truth) if self.how == "withhold" else truth

    def take(self, session_id: SessionId, records: Sequence[bytes], more: bool, now: int) -> Taken:
        """See Carrier."""
        if self.how == "withhold":
            return Taken(0, 0)
        return self._honest.take(session_id, records, more, now)

    def failed(self, session_id: SessionId, reason: str, proven: bool, now: int) -> None:
        """See Carrier."""
        self._honest.failed(session_id, reason, proven, now)

    def carried(self, session_id: SessionId, streams: bool, now: int) -> None:
        """See Carrier."""
        self._honest.carried(session_id, streams, now)


class Dribble:
    """What was to be written on streams, given out byte by byte so that each seems to be about to go on."""

    def __init__(self) -> None:
        self._writes: dict[int, int] = {}
        self._kept: dict[int, bytearray] = {}
        self._last: dict[int, int] = {}

    def give(self, number: int, data: bytes, now: int) -> bytes:
        """What goes out on a stream now, of what was kept and `data`."""
        kept = self._kept.setdefault(number, bytearray())
        self._writes[number] = self._writes.get(number, 0) + bool(data)
        if not kept and self._writes[number] <= _WHOLE:
            return data
        kept += data
        if not kept or now < self._last.get(number, 0) + _DRIP_MS:
            return b""
        self._last[number] = now
        return bytes((kept.pop(0),))
