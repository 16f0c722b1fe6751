"""A connection: the scenarios of the first seed, and what each message does."""

import asyncio

import pytest

from quire.limits import HELLO_RECORD_BYTES, RELAY_SMALL_PAGE
from quire.net import relay_wire as wire
from quire.net.relay_wire import Entry, Record
from tests.relay.parties import Client, Owner, Relay, key_of, records, settle

ALICE = Owner("alice")
PHONE, LAPTOP, TABLET = key_of("phone"), key_of("laptop"), key_of("tablet")


async def adds(relay: Relay, device: object, first: int, last: int, **more: object) -> None:
    """Somebody adds records and leaves."""
    client = await relay.client()
    added = records(first, last, **more)  # type: ignore[arg-type]
    small = sum(len(one.data) for one in added) < HELLO_RECORD_BYTES
    await client.hello(ALICE, device, local=first - 1, records=added if small else [])  # type: ignore[arg-type]
    if not small:
        await client.say(wire.Add(1, added))
    assert client.connection is not None
    await relay.service.gone(client.connection)


def whole(found: list[tuple[int, Entry, bytes]]) -> list[tuple[bytes, int]]:
    """Device and local number of what was given with its data."""
    return [(device, entry.local) for _, entry, device in found if entry.data is not None]


# --- the scenarios of seed 001


def test_client_goes_offline_and_adds_some_new_messages() -> None:
    async def scenario() -> None:
        relay = Relay()
        await adds(relay, PHONE, 1, 7)
        client = await relay.client()
        greeting = await client.hello(ALICE, PHONE, seq=7, local=7, records=records(8, 9))
        assert (greeting.had, greeting.taken) == (7, 9)
        assert greeting.head.length == 9
        assert greeting.news == []
        assert [kept.record.local for kept in relay.store.logs[ALICE.id].records] == [*range(1, 10)]

    asyncio.run(scenario())


def test_client_has_not_added_additional_messages_server_does_have_new_messages() -> None:
    async def scenario() -> None:
        relay = Relay()
        await adds(relay, PHONE, 1, 3)
        await adds(relay, LAPTOP, 1, 4)
        client = await relay.client()
        greeting = await client.hello(ALICE, PHONE, seq=3, local=3)
        assert (greeting.had, greeting.taken) == (3, 3)
        assert greeting.news == [(LAPTOP.public, 4)]
        found = await client.entries()
        assert [place for place, _, _ in found] == [4, 5, 6, 7]
        assert whole(found) == [(LAPTOP.public, local) for local in (1, 2, 3, 4)]

    asyncio.run(scenario())


def test_client_and_server_both_have_new_stuff() -> None:
    async def scenario() -> None:
        relay = Relay()
        await adds(relay, PHONE, 1, 2)
        await adds(relay, LAPTOP, 1, 3)
        seen = 5
        await adds(relay, LAPTOP, 4, 8)
        client = await relay.client()
        greeting = await client.hello(ALICE, PHONE, seq=seen, local=2, records=records(3, 5))
        assert (greeting.had, greeting.taken) == (2, 5)
        assert greeting.news == [(LAPTOP.public, 5)]
        found = await client.entries()
        assert whole(found) == [(LAPTOP.public, local) for local in (4, 5, 6, 7, 8)]
        assert len(found) == 5 + 3  # its own three by digest, so that the chain can be followed

    asyncio.run(scenario())


def test_last_synced_is_kept_for_each_device_and_moves_on_acknowledgement_alone() -> None:
    async def scenario() -> None:
        relay = Relay()
        await adds(relay, TABLET, 1, 9)
        for device, synced in ((PHONE, 5), (LAPTOP, 3), (TABLET, 7)):
            client = await relay.client()
            greeting = await client.hello(ALICE, device, seq=0)
            assert greeting.synced == 0
            await client.entries(ack=False)
            await client.say(wire.Ack(1, synced))
        positions = await relay.store.positions(ALICE.id)
        kept = {device: position.synced for device, position in positions.items()}
        assert kept == {PHONE.public: 5, LAPTOP.public: 3, TABLET.public: 7}
        again = await relay.client()
        assert (await again.hello(ALICE, LAPTOP, seq=-1)).synced == 3
        assert [place for place, _, _ in await again.entries()] == [4, 5, 6, 7, 8, 9]

    asyncio.run(scenario())


def test_user_on_device_1_gets_10_new_from_device_2_and_6_from_device_3() -> None:
    async def scenario() -> None:
        relay = Relay()
        await adds(relay, LAPTOP, 1, 42)
        await adds(relay, TABLET, 1, 46)
        await adds(relay, LAPTOP, 43, 52)
        await adds(relay, TABLET, 47, 52)
        client = await relay.client()
        greeting = await client.hello(ALICE, PHONE, seq=88)
        assert sorted(greeting.news) == sorted([(LAPTOP.public, 10), (TABLET.public, 6)])
        found = whole(await client.entries())
        assert found.count((LAPTOP.public, 43)) == 1
        assert found == [(LAPTOP.public, n) for n in range(43, 53)] + [
            (TABLET.public, n) for n in range(47, 53)
        ]

    asyncio.run(scenario())


def test_head_of_the_log_for_user_a() -> None:
    async def scenario() -> None:
        relay = Relay()
        await adds(relay, PHONE, 1, 3, ts=5_000)  # arrives first, and was written last
        await adds(relay, LAPTOP, 1, 3, ts=1_000)
        client = await relay.client()
        await client.hello(ALICE, TABLET, seq=6)
        await client.entries()
        await client.say(wire.Range(1, "", "~", 1, True))
        found = client.next(wire.Found)
        assert [entry.data for entry in found.entries] == [b"record 3"]
        assert (found.places, found.devices) == ([3], [PHONE.public])
        low, high = wire.sort_key(1_002, 0, bytes(32)), wire.sort_key(5_002, 0, bytes(32))
        await client.say(wire.Range(1, low, high, 10, False))
        found = client.next(wire.Found)
        assert [entry.ts for entry in found.entries] == [1_002, 1_003, 5_001]

    asyncio.run(scenario())


# --- crashes


def test_a_crash_between_answer_and_acknowledgement_repeats_and_never_skips() -> None:
    async def scenario() -> None:
        relay = Relay()
        await adds(relay, LAPTOP, 1, 5)
        for _ in range(3):
            client = await relay.client()
            greeting = await client.hello(ALICE, PHONE, seq=-1)
            assert greeting.synced == 0
            assert len(await client.entries(ack=False)) == 5
            assert client.connection is not None
            await relay.service.gone(client.connection)
        client = await relay.client()
        await client.hello(ALICE, PHONE, seq=-1)
        assert len(await client.entries()) == 5
        client = await relay.client()
        assert (await client.hello(ALICE, PHONE, seq=-1)).synced == 5
        assert await client.entries() == []

    asyncio.run(scenario())


def test_records_that_were_kept_before_a_crash_are_not_kept_twice_and_are_shown() -> None:
    async def scenario() -> None:
        relay = Relay()
        await adds(relay, PHONE, 1, 9)
        client = await relay.client()  # it knows of 7 alone, and sends the others again
        greeting = await client.hello(ALICE, PHONE, seq=0, local=7, records=records(8, 10))
        assert (greeting.had, greeting.taken, greeting.head.length) == (9, 10, 10)
        found = await client.entries()
        assert whole(found) == [(PHONE.public, 8), (PHONE.public, 9)]
        assert [entry.local for _, entry, _ in found] == [*range(1, 11)]

    asyncio.run(scenario())


def test_the_chain_leads_from_page_to_page_to_the_signed_head() -> None:
    async def scenario() -> None:
        relay = Relay()
        await adds(relay, LAPTOP, 1, 20, size=100_000)
        client = await relay.client()
        await client.hello(ALICE, PHONE)
        chain, place, pages = wire.NO_CHAIN, 0, 0
        while True:
            await settle()
            page = client.next(wire.Entries)
            pages += 1
            assert (page.first, page.before) == (place + 1, chain)
            for entry in page.entries:
                assert entry.data is not None
                record = Record(entry.local, entry.ts, entry.scope, entry.data)
                chain = wire.link(chain, [wire.digest(page.devices[entry.sender], record)])
                place += 1
            await client.say(wire.Ack(1, place))
            if page.reached:
                break
        assert pages > 1
        assert (place, chain) == (page.head.length, page.head.chain)
        assert wire.head_holds(relay.key.public, ALICE.id, page.head)

    asyncio.run(scenario())


# --- pushes


async def opened(relay: Relay, device: object, **more: object) -> Client:
    client = await relay.client()
    await client.hello(ALICE, device, **more)  # type: ignore[arg-type]
    if not more.get("frugal"):
        await client.entries()
    return client


def test_others_are_given_what_arrives_before_its_author_is_answered() -> None:
    async def scenario() -> None:
        relay = Relay()
        relay.store.late = True
        told: list[tuple[str, type]] = []

        class Noting(Client):
            def __init__(self, name: str) -> None:
                super().__init__()
                self.name = name

            async def send(self, data: bytes) -> None:
                told.append((self.name, type(wire.read_relay(data))))
                await super().send(data)

        clients: list[Client] = []
        for name, device in (("phone", PHONE), ("laptop", LAPTOP), ("tablet", TABLET)):
            client = Noting(name)
            client.connection = await relay.service.connect(client.send, client.end)
            await client.hello(ALICE, device)
            await client.entries()
            clients.append(client)
        phone = clients[0]
        told.clear()
        await phone.say(wire.Add(1, records(1, 2)))
        await settle()
        others = [("laptop", wire.Entries), ("tablet", wire.Entries)]
        assert told == [*others, ("phone", wire.Added), ("phone", wire.Entries)]

    asyncio.run(scenario())


@pytest.mark.parametrize(("size", "read"), [(10, False), (RELAY_SMALL_PAGE + 1, True)])
def test_what_arrives_and_is_small_need_not_be_read_for_those_who_wait(size: int, read: bool) -> None:
    async def scenario() -> None:
        relay = Relay()
        relay.store.late = True
        phone, laptop = await opened(relay, PHONE, frugal=True), await opened(relay, LAPTOP)
        before = relay.store.reads
        await phone.say(wire.Add(1, records(1, 3, size=size // 3 + 1)))
        found = await laptop.entries(ack=False)
        assert [entry.local for _, entry, _ in found] == [1, 2, 3]
        assert [place for place, *_ in found] == [1, 2, 3]
        assert relay.store.reads - before == read
        # It is at hand for that moment alone, and for as many as were asked for.
        await phone.say(wire.Add(1, records(4, 6)))
        await settle()
        laptop.said.clear()
        before = relay.store.reads
        await laptop.say(wire.Read(1, 3, 2))
        assert [entry.local for entry in laptop.next(wire.Entries).entries] == [4, 5]
        assert relay.store.reads > before

    asyncio.run(scenario())


@pytest.mark.parametrize("late", [False, True])
def test_what_arrives_is_pushed_to_everybody_who_has_the_mailbox_open(late: bool) -> None:
    async def scenario() -> None:
        relay = Relay()
        relay.store.late = late
        phone, laptop = await opened(relay, PHONE), await opened(relay, LAPTOP)
        stranger = await relay.client()
        await stranger.hello(Owner("bob"), TABLET)
        await stranger.entries()
        await phone.say(wire.Add(1, records(1, 2)))
        assert phone.next(wire.Added).taken == 2
        assert whole(await laptop.entries()) == [(PHONE.public, 1), (PHONE.public, 2)]
        assert whole(await phone.entries()) == []  # it has them
        await settle()
        assert not stranger.said

    asyncio.run(scenario())


def test_frugal_readers_are_told_the_new_length_and_read_by_index() -> None:
    async def scenario() -> None:
        relay = Relay()
        await adds(relay, LAPTOP, 1, 3)
        phone = await opened(relay, PHONE, frugal=True)
        await settle()
        assert not phone.said
        await adds(relay, LAPTOP, 4, 6)
        await settle()
        assert phone.next(wire.Grown).head.length == 6
        await phone.say(wire.Read(1, 2, 2))
        page = phone.next(wire.Entries)
        assert (page.first, [entry.local for entry in page.entries], page.reached) == (3, [3, 4], False)
        await phone.say(wire.Read(1, 6, 10))
        page = phone.next(wire.Entries)
        assert (page.first, page.entries, page.reached) == (7, [], True)
        assert not phone.said

    asyncio.run(scenario())


def test_a_mailbox_that_was_left_is_pushed_no_more() -> None:
    async def scenario() -> None:
        relay = Relay()
        phone = await opened(relay, PHONE)
        await phone.say(wire.Leave(1))
        await adds(relay, LAPTOP, 1, 1)
        await settle()
        assert not phone.said
        assert phone.connection is not None
        assert phone.connection.mailboxes == 0

    asyncio.run(scenario())


def test_one_read_serves_all_readers_at_the_same_place() -> None:
    async def scenario() -> None:
        relay = Relay()
        readers = [await opened(relay, key_of(f"reader {number}")) for number in range(20)]
        before = relay.store.reads
        await adds(relay, LAPTOP, 1, 5)
        for reader in readers:
            assert len(whole(await reader.entries(ack=False))) == 5
        assert relay.store.reads - before < 5

    asyncio.run(scenario())


def test_the_relays_own_rollback_is_not_hidden() -> None:
    """A client ahead of the log is told how long it is, signed, and is given what comes from there on."""

    async def scenario() -> None:
        relay = Relay()
        await adds(relay, LAPTOP, 1, 3)
        phone = await relay.client()
        greeting = await phone.hello(ALICE, PHONE, seq=10)
        assert greeting.head.length == 3
        assert await phone.entries() == []
        await adds(relay, LAPTOP, 4, 4)
        assert [place for place, _, _ in await phone.entries()] == [4]

    asyncio.run(scenario())


def test_after_retention_there_is_the_chain_alone() -> None:
    async def scenario() -> None:
        relay = Relay()
        await adds(relay, LAPTOP, 1, 5)
        chain = relay.store.logs[ALICE.id].chains[3]
        relay.store.logs[ALICE.id].pruned = 3
        phone = await relay.client()
        await phone.hello(ALICE, PHONE, seq=1)
        await settle()
        page = phone.next(wire.Entries)
        assert (page.first, page.before, page.reached) == (4, chain, True)
        relay.store.logs[ALICE.id].pruned = 5
        tablet = await relay.client()
        await tablet.hello(ALICE, TABLET, seq=1)
        await settle()
        page = tablet.next(wire.Entries)
        assert (page.first, page.entries, page.reached) == (6, [], True)
        await settle()
        assert not tablet.said

    asyncio.run(scenario())
