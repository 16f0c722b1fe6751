"""Quire's relay and a Nostr relay side by side, in one run: the local relay of nostr-sdk, with its store in memory.

Both relays run in a process of their own, written to and read by one client of their own kind. What is compared is
what each does for an event of the same text: Nostr's is signed text, Quire's a sealed record, in batches of a hundred.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from nostr_sdk import (
    Client,
    ClientBuilder,
    Event,
    EventBuilder,
    Filter,
    Keys,
    Kind,
    LocalRelayBuilder,
    RateLimit,
    RelayUrl,
    ReqTarget,
)

from bench import payload
from bench.figures import Figure
from bench.relays import Client as OurClient
from bench.relays import Relay, access, client, relay
from quire.net.relay_wire import Ack, Add, Added, Entries, Record

EVENTS, AT_ONCE, LIVE, GAP_S = 5_000, 100, 200, 0.01
#: Events that a Nostr relay gives to one filter, at most: each author has as many.
PAGE = 500
#: Bytes of a sealed message, and the time of day (ms) at which it was handed over.
RECORD, NOW = 450, 1_700_000_000_000


def side_by_side(folder: Path) -> list[Figure]:
    """Events in, events out, and the median time from one client to another, of both; and Quire's over Nostr's."""
    with _nostr_relay() as url:
        theirs = asyncio.run(_theirs(url))
    with relay(folder) as there:
        ours = asyncio.run(_ours(there))
    figures = []
    for name, unit, mine, other in zip(
        ("events in", "events out", "live latency, median"),
        ("events/s", "events/s", "ms"),
        ours,
        theirs,
        strict=True,
    ):
        figures += [
            Figure(f"beside a Nostr relay: {name}, Nostr's", other, unit),
            Figure(f"beside a Nostr relay: {name}, Quire's", mine, unit),
            Figure(f"beside a Nostr relay: {name}, Quire's over Nostr's", mine / other, "times"),
        ]
    return figures


async def _theirs(url: str) -> tuple[float, float, float]:
    authors = [Keys.generate() for _ in range(EVENTS // PAGE)]
    events = [
        EventBuilder(Kind(1), text).finalize(authors[place // PAGE])
        for place, text in enumerate(payload.texts(EVENTS))
    ]
    writer, reader = await _connected(url), await _connected(url)
    start = time.perf_counter()
    for first in range(0, EVENTS, AT_ONCE):
        await asyncio.gather(*(writer.send_event(event) for event in events[first : first + AT_ONCE]))
    taken = EVENTS / (time.perf_counter() - start)
    wanted = [Filter().author(author.public_key()).limit(PAGE) for author in authors]
    start = time.perf_counter()
    found = await reader.fetch_events(ReqTarget.auto(wanted), timeout=timedelta(seconds=120))
    given = EVENTS / (time.perf_counter() - start)
    if len(found) != EVENTS:
        raise RuntimeError(f"the Nostr relay gave {len(found)} of {EVENTS} events")
    return taken, given, await _their_latency(writer, reader)


async def _their_latency(writer: Client, reader: Client) -> float:
    keys = Keys.generate()
    await reader.subscribe(ReqTarget.auto([Filter().author(keys.public_key()).limit(0)]))
    coming = reader.notifications()
    took: list[float] = []

    async def listen() -> None:
        while len(took) < LIVE:
            said = await coming.next()
            if said is not None and said.is_new_event():
                took.append((time.perf_counter_ns() - int(said.event.content())) / 1e6)

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.5)
    for _ in range(LIVE):
        event: Event = EventBuilder(Kind(1), str(time.perf_counter_ns())).finalize(keys)
        await writer.send_event(event)
        await asyncio.sleep(GAP_S)
    await asyncio.wait_for(listening, 60)
    return sorted(took)[LIVE // 2]


async def _ours(there: Relay) -> tuple[float, float, float]:
    texts = [text.encode().ljust(RECORD) for text in payload.texts(EVENTS)]
    async with client(there) as writer, client(there) as reader:
        await writer.open(access(there, "beside", "writer"))
        start = time.perf_counter()
        for first in range(0, EVENTS, AT_ONCE):
            records = [
                Record(first + place, NOW, "space", text)
                for place, text in enumerate(texts[first : first + AT_ONCE], 1)
            ]
            await writer.say(Add(1, records))
            await writer.hear(Added)
        taken = EVENTS / (time.perf_counter() - start)
        start, last = time.perf_counter(), 0
        await reader.open(access(there, "beside", "reader"))
        while last < EVENTS:
            page = await reader.hear(Entries)
            last = page.first + len(page.entries) - 1
            await reader.say(Ack(1, last))
        given = EVENTS / (time.perf_counter() - start)
        return taken, given, await _our_latency(writer, reader)


async def _our_latency(writer: OurClient, reader: OurClient) -> float:
    took: list[float] = []

    async def listen() -> None:
        while len(took) < LIVE:
            page = await reader.hear(Entries)
            now = time.perf_counter_ns()
            took.extend((now - int(entry.data)) / 1e6 for entry in page.entries if entry.data is not None)
            await reader.say(Ack(1, page.first + len(page.entries) - 1))

    listening = asyncio.create_task(listen())
    for number in range(1, LIVE + 1):
        text = str(time.perf_counter_ns()).encode()
        await writer.say(Add(1, [Record(EVENTS + number, NOW, "space", text)]))
        await writer.hear(Added)
        await asyncio.sleep(GAP_S)
    await asyncio.wait_for(listening, 60)
    return sorted(took)[LIVE // 2]


async def _connected(url: str) -> Client:
    made = ClientBuilder().build()
    await made.add_relay(RelayUrl.parse(url))
    await made.connect(and_wait=timedelta(seconds=10))
    return made


@contextmanager
def _nostr_relay() -> Iterator[str]:
    command = [sys.executable, "-m", "bench.relay_nostr"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(timeout=30)


async def _serve() -> None:
    """Run a Nostr relay until standard input ends; its address is one line of JSON."""
    limit = RateLimit(max_reqs=1_000, notes_per_minute=1_000_000_000)
    served = LocalRelayBuilder().addr("127.0.0.1").rate_limit(limit).build()
    await served.run()
    print(json.dumps(str(await served.url())), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
