"""One process and its home: append, ingest, list, search, memory, disk.

Each function runs in a process of its own, so that memory is that of the work alone.
"""

import time
from pathlib import Path

from bench import payload
from bench.figures import Figure
from bench.homes import BATCH, fill, founder, guest, now, reopened, resident_mb, sealed_batches
from quire.events.context import Context
from quire.events.ingest import ingest
from quire.handlers import message

ONE_BY_ONE = 20_000
LARGE = 100_000


def append(folder: Path) -> list[Figure]:
    """Create messages: one call and commit each, one call each committed in groups, and in batches."""
    ctx = founder(folder / "append")
    bodies = payload.texts(5_000)
    alone = _rate(ONE_BY_ONE, lambda: _one_by_one(ctx, bodies))
    grouped = _rate(ONE_BY_ONE, lambda: _in_groups(ctx, bodies))
    batched = _rate(LARGE, lambda: fill(ctx, LARGE, bodies))
    return [
        Figure("append one by one, a commit each", alone, "events/s", ">= 12000"),
        Figure("append one by one, commits shared by 100 calls", grouped, "events/s", ">= 12000"),
        Figure("append in batches of 1,000", batched, "events/s", ">= 60000"),
    ]


def _one_by_one(ctx: Context, bodies: list[str]) -> None:
    for place in range(ONE_BY_ONE):
        here = Context(ctx.home, now(), ctx.account, ctx.chosen)
        message.create(here, "general", bodies[place % len(bodies)])


def _in_groups(ctx: Context, bodies: list[str]) -> None:
    for start in range(0, ONE_BY_ONE, 100):
        with ctx.home.store.transaction():
            for place in range(start, start + 100):
                here = Context(ctx.home, now(), ctx.account, ctx.chosen)
                message.create(here, "general", bodies[place % len(bodies)])


def foreign(folder: Path) -> list[Figure]:
    """Take in 100,000 events of another's log: open, verify, store, project; then index them."""
    author = founder(folder / "author")
    fill(author, LARGE, payload.texts(5_000))
    whole = _ingest_rate(author, folder / "whole", shift=3)  # before them: space, key and name, each signed
    cut = _ingest_rate(author, folder / "cut", shift=300)
    return [
        Figure("ingest of foreign events, signed runs whole", whole, "events/s", ">= 55000"),
        Figure("ingest of foreign events, every run cut in two", cut, "events/s"),
    ]


def _ingest_rate(author: Context, folder: Path, shift: int) -> float:
    reader = guest(folder, author)
    records = [record for batch in sealed_batches(author, BATCH) for record in batch]
    batches = [records[:shift]] + [records[at : at + BATCH] for at in range(shift, len(records), BATCH)]

    def run() -> None:
        for batch in batches:
            report = ingest(reader.home, reader.member, batch, "bench", now())
            assert not report.rejected, report.rejected

    rate = _rate(len(records), run)
    reader.home.close()
    return rate


def read_and_size(folder: Path, count: int, name: str) -> list[Figure]:
    """A receiver's home of `count` messages: memory while taking them in, disk, list and search."""
    author = founder(folder / f"author-{name}")
    fill(author, count, payload.texts(5_000))
    reader = guest(folder / f"reader-{name}", author)
    for batch in sealed_batches(author, BATCH):
        ingest(reader.home, reader.member, batch, "bench", now())
    author.home.close()
    memory = resident_mb()
    indexed = _rate(count, reader.home.search.catch_up)
    reader.home.store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    disk = (folder / f"reader-{name}" / "quire.db").stat().st_size / count
    reader.home.close()
    return [
        Figure(f"resident memory after taking in {name}", memory, "MB", "<= 120"),
        Figure(f"search indexing behind, at {name}", indexed, "events/s"),
        Figure(f"disk per message with index, at {name}", disk, "bytes", "<= 1000"),
        *_reads(reopened(folder / f"reader-{name}"), name),
    ]


def _reads(ctx: Context, name: str) -> list[Figure]:
    words = payload.vocabulary()
    common, rare, pair = words[0], words[-1], f"{words[3]} {words[40]}"
    listing = _median_ms(lambda: message.list_(ctx, "general", 50))
    slowest = max(
        _median_ms(lambda query=query: message.search(ctx, query)) for query in (common, rare, pair)
    )
    memory = resident_mb()
    return [
        Figure(f"list the last 50 of {name}", listing, "ms", "<= 1"),
        Figure(f"search {name}, the slowest of three", slowest, "ms", "<= 5"),
        Figure(f"resident memory of a reader of {name}", memory, "MB", "<= 120"),
    ]


def _rate(count: int, run: object) -> float:
    start = time.perf_counter()
    run()  # type: ignore[operator]
    return count / (time.perf_counter() - start)


def _median_ms(run: object, times: int = 51) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()  # type: ignore[operator]
        taken.append(time.perf_counter() - start)
    return sorted(taken)[times // 2] * 1_000
