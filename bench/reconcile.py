"""What it costs two large stores to find out that they differ by little: bytes, datagrams, heartbeats and time.

Between the stores and strategies of two homes in one process, without a network: what a strategy itself takes.
"""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from bench import payload
from bench.figures import Figure
from bench.homes import fill, founder, reopened
from quire.events.context import Context
from quire.events.history import index_for
from quire.sync import STRATEGIES, EventIndex, Strategy

#: New events on each side.
DIFFERENCES = (10, 500)
_KEY = b"k" * 32
_PUSHED = 512
_MOST_BEATS = 120
#: Steps in which a side may look through its store within a second: more bring nothing (SYNC_PAGES_PER_SECOND).
_STEPS = 64
#: A short name of 8 bytes for each event that one side lacks: less tells nobody which they are.
_LEAST_BYTES = 8


def differences(folder: Path, common: int, name: str) -> list[Figure]:
    """Two homes that share `common` events, and hold 10, then 500 more each."""
    author = founder(folder / "left", beside=False)
    fill(author, common, payload.texts(5_000))
    author.home.close()
    shutil.copytree(folder / "left", folder / "right")
    sides = [reopened(folder / side) for side in ("left", "right")]
    figures: list[Figure] = []
    added = 0
    for wanted in DIFFERENCES:
        for ctx in sides:
            fill(ctx, wanted - added, payload.texts(5_000))
        added = wanted
        for strategy in ("sketch", "bloom"):
            figures += _settle(sides, strategy, wanted, name)
    return figures


def _settle(sides: list[Context], strategy: str, wanted: int, name: str) -> list[Figure]:
    indexes = [index_for(ctx.home, ctx.account, ctx.member.space, "") for ctx in sides]
    for ctx, index in zip(sides, indexes, strict=True):  # what a node does in its spare time after so much
        ctx.home.store.ids.catch_up()
        index.whole()
    start = time.perf_counter()
    sent, beats = _talk(strategy, indexes, wanted)
    took = (time.perf_counter() - start) * 1_000
    what = f"{wanted} new on each side of {name}, {strategy}"
    small = wanted == DIFFERENCES[0] and strategy == "sketch"
    return [
        Figure(f"{what}: time", took, "ms", "<= 10" if small else ""),
        Figure(f"{what}: bytes", sum(sent), "bytes", "<= 4000" if small else ""),
        Figure(f"{what}: datagrams, in heartbeats: {beats}", len(sent), "datagrams"),
        Figure(f"{what}: bytes beside the least", sum(sent) / (2 * wanted * _LEAST_BYTES), "times"),
    ]


def _talk(name: str, indexes: Sequence[EventIndex], wanted: int) -> tuple[list[int], int]:
    """Until each knows what the other lacks: the sizes of all messages, and how many heartbeats it took.

    A heartbeat comes each second of a clock of its own, which bounds what is said: the work is what is timed.
    """
    ends: list[Strategy] = [STRATEGIES[name](_KEY, os.urandom) for _ in indexes]
    found: list[dict[bytes, None]] = [{}, {}]
    sent: list[int] = []
    for beat in range(_MOST_BEATS):
        now = beat * 1_000
        inbox = [ends[1 - at].heartbeat(indexes[1 - at], now) for at in (0, 1)]
        steps = 0
        while any(inbox) or (any(end.pushing for end in ends) and steps < _STEPS):
            steps += 1
            sent += [len(message) for messages in inbox for message in messages]
            replies: list[list[bytes]] = [[], []]
            for at, end in enumerate(ends):
                for message in inbox[at]:
                    replies[1 - at] += end.receive(message, indexes[at], now)
                found[at].update(dict.fromkeys(end.next_pushes(indexes[at], _PUSHED, now)))
            inbox = replies
        if all(len(ids) == wanted for ids in found):
            return sent, beat + 1
    raise RuntimeError(f"{name} found {[len(ids) for ids in found]} of {wanted} on each side")
