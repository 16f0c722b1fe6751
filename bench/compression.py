"""Whether compressing events before they are sealed would pay: bytes saved against time, for 200-character messages."""

import time
import zlib
from collections.abc import Callable
from pathlib import Path

from bench import payload
from bench.figures import Figure
from bench.homes import fill, founder
from quire.core.sealing import open_blob

MESSAGES = 5_000


def before_sealing(folder: Path) -> list[Figure]:
    """Each event by itself, as it would have to be; with zlib, and with zlib that knows another event beforehand."""
    author = founder(folder / "author")
    fill(author, MESSAGES, payload.texts(MESSAGES))
    rows = author.home.store.blobs.held_after(author.account, author.member.space, 10, MESSAGES)
    epochs = author.member.epochs
    events = [open_blob(epochs[row.epoch][0], row.sealed, epochs[row.epoch][1]) for row, _ in rows]
    author.home.close()
    known = events[0]
    return [
        *_figures("zlib", events, zlib.compressobj, zlib.decompressobj),
        *_figures(
            "zlib that knows an event",
            events,
            lambda: zlib.compressobj(zdict=known),
            lambda: zlib.decompressobj(zdict=known),
        ),
    ]


def _figures(
    name: str,
    events: list[bytes],
    packer: Callable[[], "zlib._Compress"],
    unpacker: Callable[[], "zlib._Decompress"],
) -> list[Figure]:
    start = time.perf_counter()
    packed = [(one := packer()).compress(event) + one.flush() for event in events]
    packing = time.perf_counter() - start
    start = time.perf_counter()
    for event, small in zip(events, packed, strict=True):
        assert unpacker().decompress(small) == event
    unpacking = time.perf_counter() - start
    share = 100 * sum(map(len, packed)) / sum(map(len, events))
    return [
        Figure(f"events compressed before sealing, {name}: size", share, "% of the event"),
        Figure(f"events compressed before sealing, {name}: to pack", packing / len(events) * 1e6, "µs/event"),
        Figure(
            f"events compressed before sealing, {name}: to unpack", unpacking / len(events) * 1e6, "µs/event"
        ),
    ]
