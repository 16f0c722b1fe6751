"""What has to hold of logs that clients sent to, polled and committed to: the checks for `kafka`."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

Offsets = dict[str, int]
Polled = dict[str, list[tuple[int, int]]]


@dataclass
class Sent:
    """`offset` is None for what was not acknowledged: it may have taken place. Times in seconds."""

    key: str
    message: int
    invoked: float
    completed: float = 0.0
    offset: int | None = None


@dataclass
class Poll:
    """`asked`: from which offsets on. A final one asks for everything."""

    asked: Offsets
    messages: Polled
    final: bool = False


@dataclass
class Marks:
    """Offsets that were committed, or that were listed as committed, between two moments (seconds)."""

    offsets: Offsets
    invoked: float
    completed: float
    listed: bool


@dataclass
class LogVerdict:
    """What is wrong, as (key, offset or message); and how much was acknowledged."""

    lost: list[tuple[str, int]] = field(default_factory=list)
    invented: list[tuple[str, int]] = field(default_factory=list)
    #: An offset that held two messages; a message at two offsets.
    changed: list[tuple[str, int]] = field(default_factory=list)
    repeated: list[tuple[str, int]] = field(default_factory=list)
    #: A message that was sent after another was acknowledged, and lies before it; a poll out of order.
    reordered: list[tuple[str, int]] = field(default_factory=list)
    #: An offset that a poll left out, with later ones in it.
    skipped: list[tuple[str, int]] = field(default_factory=list)
    #: A commit that was acknowledged or seen, and then was not there.
    receded: list[tuple[str, int]] = field(default_factory=list)
    acknowledged: int = 0
    committed: int = 0

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong, and anything was shown."""
        wrong = (self.lost, self.invented, self.changed, self.repeated, self.reordered, self.skipped)
        return bool(self.acknowledged) and not any(wrong) and not self.receded


def judge_logs(sent: Sequence[Sent], polls: Sequence[Poll], marks: Sequence[Marks]) -> LogVerdict:
    """Judge a history."""
    held: dict[tuple[str, int], set[int]] = defaultdict(set)
    places: dict[tuple[str, int], set[int]] = defaultdict(set)
    for key, offset, message in _seen(sent, polls):
        held[key, offset].add(message)
        places[key, message].add(offset)
    known = {(one.key, one.message) for one in sent}
    acknowledged = {(one.key, one.message) for one in sent if one.offset is not None}
    seen_last = {
        (key, message)
        for poll in polls
        if poll.final
        for key, some in poll.messages.items()
        for _, message in some
    }
    return LogVerdict(
        lost=sorted((acknowledged | (places.keys() & known)) - seen_last),
        invented=sorted(places.keys() - known),
        changed=sorted(at for at, messages in held.items() if len(messages) > 1),
        repeated=sorted(at for at, offsets in places.items() if len(offsets) > 1),
        reordered=sorted({*_overtaken(sent), *_out_of_order(polls)}),
        skipped=sorted(_skipped(polls, held.keys())),
        receded=sorted(_receded(marks)),
        acknowledged=len(acknowledged),
        committed=sum(not one.listed for one in marks),
    )


def _seen(sent: Sequence[Sent], polls: Sequence[Poll]) -> Iterator[tuple[str, int, int]]:
    for one in sent:
        if one.offset is not None:
            yield one.key, one.offset, one.message
    for poll in polls:
        for key, some in poll.messages.items():
            for offset, message in some:
                yield key, offset, message


def _overtaken(sent: Sequence[Sent]) -> Iterator[tuple[str, int]]:
    for one in sent:
        for other in sent:
            both = one.offset is not None and other.offset is not None and one.key == other.key
            if both and one.completed < other.invoked and one.offset >= other.offset:  # type: ignore[operator]
                yield other.key, other.message


def _out_of_order(polls: Sequence[Poll]) -> Iterator[tuple[str, int]]:
    for poll in polls:
        for key, some in poll.messages.items():
            offsets = [offset for offset, _ in some]
            if offsets != sorted(set(offsets)) or any(offset < poll.asked[key] for offset in offsets):
                yield key, offsets[0]


def _skipped(polls: Sequence[Poll], held: Collection[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    for poll in polls:
        for key, some in poll.messages.items():
            offsets = {offset for offset, _ in some}
            for offset in range(poll.asked[key], max(offsets, default=0)):
                if offset not in offsets and (key, offset) in held:
                    yield key, offset


def _receded(marks: Sequence[Marks]) -> Iterator[tuple[str, int]]:
    for one in (one for one in marks if one.listed):
        for earlier in marks:
            if earlier.completed < one.invoked:
                for key, offset in earlier.offsets.items():
                    if one.offsets.get(key, 0) < offset:
                        yield key, offset
