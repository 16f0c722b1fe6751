"""How much goes out and comes in: windows, paces, shares, a store that cannot, clients that do not read."""

import asyncio

import pytest

from quire import limits
from quire.net import relay_wire as wire
from quire.net.relay_wire import Record, sort_key
from quire.relay.connection import Gone
from quire.relay.quota import Quotas
from quire.relay.settings import Settings
from tests.relay.parties import Client, Owner, Relay, key_of, records, settle

ALICE = Owner("alice")
PHONE, LAPTOP = key_of("phone"), key_of("laptop")


async def filled(relay: Relay, last: int, size: int) -> None:
    client = await relay.client()
    await client.hello(ALICE, LAPTOP, seq=0)
    for local in range(1, last + 1):
        await client.say(wire.Add(1, records(local, local, size=size)))
    assert client.connection is not None
    await relay.service.gone(client.connection)


def pages(client: Client) -> list[wire.Entries]:
    return [said for said in client.said if isinstance(said, wire.Entries)]


def test_a_reader_is_never_sent_more_than_its_window_before_it_acknowledges() -> None:
    async def scenario() -> None:
        relay = Relay()
        await filled(relay, 40, 100_000)
        client = await relay.client()
        await client.hello(ALICE, PHONE)
        place, sent, before = 0, client.bytes, relay.store.reads
        while place < 40:
            await settle()
            got = pages(client)
            assert got, "acknowledging makes room"
            assert client.bytes - sent <= limits.RELAY_WINDOW_BYTES + 1_000
            assert all(
                sum(len(e.data or b"") for e in page.entries) <= limits.RELAY_PAGE_BYTES for page in got
            )
            sent = client.bytes
            place = got[-1].first + len(got[-1].entries) - 1
            client.said.clear()
            await client.say(wire.Ack(1, place))
        assert relay.store.reads - before < 12

    asyncio.run(scenario())


def test_a_client_that_never_acknowledges_costs_no_reads_as_the_log_grows() -> None:
    async def scenario() -> None:
        relay = Relay()
        await filled(relay, 30, 100_000)
        client = await relay.client()
        await client.hello(ALICE, PHONE)
        await settle()
        before = relay.store.reads, client.bytes
        for local in range(31, 60):
            other = await relay.client()
            added = records(local, local)
            await other.hello(ALICE, LAPTOP, seq=local, local=local - 1, frugal=True, records=added)
            await settle()
            assert other.connection is not None
            await relay.service.gone(other.connection)
        assert (relay.store.reads, client.bytes) == before

    asyncio.run(scenario())


def test_a_client_that_takes_nothing_holds_up_itself_alone() -> None:
    async def scenario() -> None:
        relay = Relay()
        await filled(relay, 5, 10)
        stuck, reader = await relay.client(), await relay.client()
        await stuck.hello(ALICE, PHONE)
        stuck.stuck = asyncio.Event()
        await settle()
        await reader.hello(ALICE, key_of("tablet"))
        assert len(await reader.entries()) == 5
        stuck.gone = True
        stuck.stuck.set()
        await settle()
        with pytest.raises(Gone):
            await stuck.say(wire.Read(1, 0, 1))

    asyncio.run(scenario())


def test_pages_are_small_while_much_is_on_its_way() -> None:
    async def scenario() -> None:
        relay = Relay()
        await filled(relay, 20, 10_000)
        shared = relay.service._shared
        shared.outgoing = limits.RELAY_OUTGOING_BYTES + 1
        client = await relay.client()
        await client.hello(ALICE, PHONE)
        await settle()
        assert len(pages(client)) > 1
        for page in pages(client):
            assert sum(len(entry.data or b"") for entry in page.entries) <= limits.RELAY_SMALL_PAGE

    asyncio.run(scenario())


def test_a_range_gives_a_page_at_most_and_can_be_gone_on_with() -> None:
    async def scenario() -> None:
        relay = Relay()
        await filled(relay, 30, 100_000)
        client = await relay.client()
        await client.hello(ALICE, PHONE, frugal=True)
        high, seen = "~", []
        while True:
            await client.say(wire.Range(1, "", high, limits.RELAY_RANGE_STEP * 2, True))
            found = client.next(wire.Found)
            if not found.entries:
                break
            assert sum(len(entry.data or b"") for entry in found.entries) <= limits.RELAY_PAGE_BYTES
            seen += found.places
            last = found.entries[-1]
            high = sort_key(last.ts, last.local, found.devices[last.sender])
        assert seen == [*range(30, 0, -1)]

    asyncio.run(scenario())


# --- paces and shares


def test_a_device_that_goes_too_fast_is_told_when_to_try_again_on_whichever_connection() -> None:
    async def scenario() -> None:
        relay = Relay(Settings(Quotas(records_per_second=10, burst=limits.RELAY_BURST_S)))
        client = await relay.client()
        most = 10 * limits.RELAY_BURST_S
        await client.hello(ALICE, PHONE, records=records(1, most))
        await client.entries()
        for _ in range(2):
            await client.say(wire.Add(1, records(most + 1, most + 5)))
            refusal = client.next(wire.Refusal)
            assert (refusal.reason, refusal.retry_ms) == ("rate", 500)
            assert client.connection is not None
            await relay.service.gone(client.connection)
            client = await relay.client()
            assert (await client.hello(ALICE, PHONE, local=most)).taken == most
            await client.entries()
        relay.clock.ms += 500
        await client.say(wire.Add(1, records(most + 1, most + 5)))
        assert client.next(wire.Added).taken == most + 5

    asyncio.run(scenario())


def test_a_flood_is_refused_and_heard_slowly_and_what_reads_is_only_slowed() -> None:
    async def scenario() -> None:
        relay = Relay(Settings(Quotas(records_per_second=2, burst=1)))
        client = await relay.client()
        await client.hello(ALICE, PHONE, frugal=True)
        await client.say(wire.Read(1, 0, 1))
        assert client.next(wire.Entries).reached
        await client.say(wire.Add(1, records(1, 1)))
        assert client.next(wire.Refusal).reason == "rate"
        assert relay.clock.slept
        assert max(relay.clock.slept) * 1000 <= limits.RELAY_PAUSE_MS
        for _ in range(10):
            await client.say(wire.Read(1, 0, 1))
            client.next(wire.Entries)
        assert len(relay.clock.slept) > 3

    asyncio.run(scenario())


def test_one_address_opens_so_many_mailboxes_a_second_on_however_many_connections() -> None:
    async def scenario() -> None:
        relay = Relay(Settings(origin_hellos=2))
        origin = relay.service.origins.enter("192.0.2.1", relay.clock.ms)
        for n in range(2 * limits.RELAY_HELLO_BURST_S):
            await (await relay.client(origin)).hello(Owner(f"owner {n}"), PHONE)
        late = await relay.client(origin)
        await late.say(ALICE.hello(late.challenge, PHONE))
        refusal = late.next(wire.Refusal)
        assert (refusal.n, refusal.reason, refusal.retry_ms) == (1, "rate", 500)
        assert relay.clock.slept == [0.5]
        elsewhere = relay.service.origins.enter("192.0.2.2", relay.clock.ms)
        await (await relay.client(elsewhere)).hello(ALICE, LAPTOP)
        await late.hello(ALICE, PHONE)  # after the time that it was told

    asyncio.run(scenario())


def test_before_a_key_is_proven_a_message_is_small() -> None:
    async def scenario() -> None:
        relay = Relay()
        client = await relay.client()
        much = records(1, 1, size=limits.MAX_RELAY_HELLO)
        await client.say(ALICE.hello(client.challenge, PHONE, records=much))
        refusal = client.next(wire.Refusal)
        assert (refusal.n, refusal.reason) == (0, "too-large")
        assert client.ended
        client = await relay.client()
        await client.hello(ALICE, PHONE)
        await client.entries()
        await client.say(wire.Add(1, much))
        assert client.next(wire.Added).taken == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "quotas",
    [Quotas(mailbox_bytes=1_000), Quotas(mailbox_records=9), Quotas(device_bytes=1_000)],
)
def test_who_has_their_share_is_refused_and_reads_on(quotas: Quotas) -> None:
    async def scenario() -> None:
        relay = Relay(Settings(quotas))
        client = await relay.client()
        await client.hello(ALICE, PHONE, records=records(1, 9, size=90))
        await client.entries()
        await client.say(wire.Add(1, records(10, 12, size=90)))
        refusal = client.next(wire.Refusal)
        assert (refusal.reason, refusal.retry_ms) == ("full", limits.RELAY_FULL_MS)
        assert "has its" in refusal.text
        other = await relay.client()
        greeting = await other.hello(ALICE, PHONE, local=9, records=records(10, 12, size=90))
        assert greeting.taken == 9
        assert other.next(wire.Refusal).reason == "full"
        assert len(await other.entries()) == 9
        relay.store.logs[ALICE.id].pruned = 8  # retention makes room
        third = await relay.client()
        assert (await third.hello(ALICE, PHONE, local=9, records=records(10, 12, size=90))).taken == 12

    asyncio.run(scenario())


# --- a store that cannot


def test_a_full_disk_refuses_records_and_goes_on_reading() -> None:
    async def scenario() -> None:
        relay = Relay()
        await filled(relay, 3, 10)
        relay.store.full = True
        client = await relay.client()
        greeting = await client.hello(ALICE, PHONE, records=records(1, 2))
        assert greeting.taken == 0
        refusal = client.next(wire.Refusal)
        assert (refusal.reason, refusal.retry_ms) == ("unavailable", limits.RELAY_UNAVAILABLE_MS)
        assert len(await client.entries()) == 3
        relay.store.full = False
        await client.say(wire.Add(1, records(1, 2)))
        assert client.next(wire.Added).taken == 2

    asyncio.run(scenario())


def test_a_store_that_is_down_is_told_of_and_news_come_once_it_is_back() -> None:
    async def scenario() -> None:
        relay = Relay()
        await filled(relay, 3, 10)
        client = await relay.client()
        await client.hello(ALICE, PHONE)
        await client.entries()
        relay.store.down = True
        other = await relay.client()
        await other.say(ALICE.hello(other.challenge, LAPTOP))
        assert other.next(wire.Refusal).reason == "unavailable"
        await client.say(wire.Read(1, 0, 1))
        assert client.next(wire.Refusal).reason == "unavailable"
        relay.store.down, relay.store.blind = False, True
        await relay.store.append(ALICE.id, LAPTOP.public, [Record(4, 1, "private", b"4")], 0)
        await settle()
        assert not client.said
        relay.store.blind = False
        assert [place for place, _, _ in await client.entries()] == [4]
        assert any(line["event"] == "store-unavailable" for line in relay.clock.log)

    asyncio.run(scenario())


def test_who_reads_a_damaged_mailbox_is_told_and_not_left_waiting() -> None:
    async def scenario() -> None:
        relay = Relay()
        await filled(relay, 3, 10)
        relay.store.damaged = True
        client = await relay.client()
        await client.hello(ALICE, PHONE)
        await settle()
        refusal = client.next(wire.Refusal)
        assert (refusal.n, refusal.reason, refusal.retry_ms) == (1, "damaged", limits.RELAY_DAMAGED_MS)
        assert "damaged" in refusal.text
        assert client.connection is not None
        assert client.connection.mailboxes == 0
        relay.store.damaged = False
        greeting = await client.hello(ALICE, PHONE, n=2)
        assert greeting.head.length == 3
        health = await relay.service.health()
        assert health["status"] == "unavailable"  # until it was mended and started anew
        assert "from a copy" in health["why"]

    asyncio.run(scenario())
