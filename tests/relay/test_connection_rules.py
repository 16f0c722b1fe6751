"""Who may do what on a connection, and what becomes of those who try more."""

import asyncio

import msgspec
import pytest

from quire.limits import (
    MAX_MAILBOXES,
    MAX_RELAY_MESSAGE,
    MAX_RELAY_MISTAKES,
    MAX_RELAY_RECORD,
    MAX_SORT_KEY_CHARS,
    RECORDS_PER_MESSAGE,
)
from quire.net import relay_wire as wire
from quire.net.relay_wire import Record
from tests.relay.parties import Client, Owner, Relay, key_of, records, settle

ALICE, BOB = Owner("alice"), Owner("bob")
PHONE, LAPTOP, FRIEND = key_of("phone"), key_of("laptop"), key_of("friend")


async def filled() -> Relay:
    """A mailbox with a record of each scope, the owner's."""
    relay = Relay()
    client = await relay.client()
    kept = [Record(n, n, scope, scope.encode()) for n, scope in enumerate(wire.SCOPES, 1)]
    await client.hello(ALICE, LAPTOP, records=kept)
    return relay


def refused(client: Client, reason: str) -> wire.Refusal:
    said = client.next(wire.Refusal)
    assert said.reason == reason
    assert said.text.endswith(".")
    return said


# --- scopes


@pytest.mark.parametrize(
    ("scope", "given"),
    [("private", {b"private", b"friend", b"space"}), ("friend", {b"friend"}), ("space", {b"space"})],
)
def test_each_scope_is_given_its_own_records_and_digests_of_the_others(
    scope: wire.Scope, given: set[bytes]
) -> None:
    async def scenario() -> None:
        relay = await filled()
        client = await relay.client()
        greeting = await client.hello(ALICE, FRIEND, scope=scope)
        found = await client.entries()
        assert {entry.data for _, entry, _ in found} - {None} == given
        chain = wire.NO_CHAIN
        for _, entry, device in found:
            record = Record(entry.local, entry.ts, entry.scope, entry.data or b"")
            hashed = entry.digest if entry.data is None else wire.digest(device, record)
            chain = wire.link(chain, [hashed])
        assert chain == greeting.head.chain
        await client.say(wire.Range(1, "", "~", 10, False))
        assert {entry.data for entry in client.next(wire.Found).entries} - {None} == given

    asyncio.run(scenario())


def test_nobody_writes_outside_their_scope() -> None:
    async def scenario() -> None:
        relay = await filled()
        client = await relay.client()
        await client.hello(ALICE, FRIEND, scope="friend")
        await client.entries()
        for scope in ("private", "space"):
            await client.say(wire.Add(1, [*records(1, 1, "friend"), *records(2, 2, scope)]))
            refused(client, "forbidden")
        assert relay.store.logs[ALICE.id].tip.length == 3
        other = await relay.client()
        await other.say(ALICE.hello(other.challenge, FRIEND, "friend", records=records(1, 1, "private")))
        refused(other, "forbidden")
        await client.say(wire.Add(1, records(1, 1, "friend")))
        assert client.next(wire.Added).taken == 1

    asyncio.run(scenario())


# --- proofs


def test_a_proof_from_another_connection_opens_nothing() -> None:
    async def scenario() -> None:
        relay = await filled()
        first, second = await relay.client(), await relay.client()
        caught = ALICE.hello(first.challenge, LAPTOP)
        await first.say(caught)
        first.next(wire.Greeting)
        assert second.challenge.nonce != first.challenge.nonce
        await second.say(caught)
        refused(second, "forbidden")
        await settle()
        assert not second.said

    asyncio.run(scenario())


def test_a_proof_for_one_mailbox_opens_no_other_and_no_other_scope_or_device() -> None:
    async def scenario() -> None:
        relay = await filled()
        client = await relay.client()
        bobs = BOB.hello(client.challenge, PHONE)
        friends = ALICE.hello(client.challenge, FRIEND, "friend")
        for forged in (
            msgspec.structs.replace(bobs, keys=ALICE.keys),
            msgspec.structs.replace(bobs, keys=ALICE.keys._replace(private=BOB.keys.private)),
            msgspec.structs.replace(friends, scope="private"),
            msgspec.structs.replace(friends, device=LAPTOP.public),
        ):
            await client.say(forged)
            refused(client, "forbidden")
        assert client.connection is not None
        assert client.connection.mailboxes == 0

    asyncio.run(scenario())


def test_an_unknown_mailbox_is_empty() -> None:
    async def scenario() -> None:
        client = await (await filled()).client()
        greeting = await client.hello(BOB, PHONE, seq=-1)
        assert (greeting.head.length, greeting.had, greeting.synced, greeting.news) == (0, 0, 0, [])
        assert await client.entries() == []

    asyncio.run(scenario())


# --- what is malformed, or not at this point


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"garbage" * 1_000, msgspec.msgpack.encode([99, 1]), msgspec.msgpack.encode([22])],
)
def test_bytes_without_a_number_end_the_connection(data: bytes) -> None:
    async def scenario() -> None:
        client = await Relay().client()
        assert client.challenge is not None
        await client.say_bytes(data)
        said = refused(client, "malformed")
        assert client.ended == (said.n == 0)
        assert said.n == (1 if data == msgspec.msgpack.encode([99, 1]) else 0)

    asyncio.run(scenario())


def test_whoever_goes_on_with_mistakes_is_cut_off() -> None:
    async def scenario() -> None:
        relay = Relay()
        client = await relay.client()
        assert client.challenge is not None
        for _ in range(MAX_RELAY_MISTAKES):
            await client.say(wire.Ack(7, 1))
            assert refused(client, "forbidden").n == 7
        assert not client.ended
        await client.say(wire.Ack(7, 1))
        assert refused(client, "forbidden").n == 0
        assert client.ended
        text = relay.service.counters.text().decode()
        assert f'refusals_total{{reason="forbidden"}} {MAX_RELAY_MISTAKES + 1}.0' in text

    asyncio.run(scenario())


def test_messages_at_the_wrong_point_are_refused() -> None:
    async def scenario() -> None:
        relay = await filled()
        client = await relay.client()
        await client.hello(ALICE, PHONE)
        await client.entries()
        for said in (
            ALICE.hello(client.challenge, PHONE),  # its number is in use
            wire.Add(1, []),
            wire.Ack(1, 4),  # beyond the end
            wire.Ack(1, -1),
            wire.Read(1, -1, 1),
            wire.Read(1, 0, 0),
            wire.Read(1, 0, RECORDS_PER_MESSAGE + 1),
            wire.Range(1, "", "~", 0, False),
            wire.Range(1, "", "~" * (MAX_SORT_KEY_CHARS + 1), 1, False),
        ):
            await client.say(said)
            assert refused(client, "malformed").n == 1
        await client.say(wire.Range(1, "", "~" * MAX_SORT_KEY_CHARS, RECORDS_PER_MESSAGE, False))
        assert len(client.next(wire.Found).places) == 3

    asyncio.run(scenario())


def test_what_is_too_large_is_refused_as_such() -> None:
    async def scenario() -> None:
        relay = Relay()
        client = await relay.client()
        await client.hello(ALICE, PHONE)
        await client.entries()
        largest = [Record(1, 1, "private", bytes(MAX_RELAY_RECORD))]
        await client.say(wire.Add(1, largest))
        assert client.next(wire.Added).taken == 1
        await client.entries()
        await client.say(wire.Add(1, [Record(2, 1, "private", bytes(MAX_RELAY_RECORD + 1))]))
        assert refused(client, "too-large").n == 1
        await client.say(wire.Add(1, records(2, RECORDS_PER_MESSAGE + 2)))
        assert refused(client, "too-large").n == 1
        await client.say(wire.Add(1, records(2, RECORDS_PER_MESSAGE + 1)))
        assert client.next(wire.Added).taken == RECORDS_PER_MESSAGE + 1
        await settle()
        client.said.clear()
        await client.say_bytes(bytes(MAX_RELAY_MESSAGE + 1))
        assert refused(client, "too-large").n == 0
        assert client.ended

    asyncio.run(scenario())


def test_one_connection_opens_so_many_mailboxes_and_no_more() -> None:
    async def scenario() -> None:
        client = await Relay().client()
        for n in range(1, MAX_MAILBOXES + 1):
            await client.hello(Owner(f"owner {n}"), PHONE, n=n, frugal=True)
        await client.say(BOB.hello(client.challenge, PHONE, n=MAX_MAILBOXES + 1))
        assert refused(client, "mailboxes").n == MAX_MAILBOXES + 1
        await client.say(wire.Leave(5))
        assert (await client.hello(BOB, PHONE, n=MAX_MAILBOXES + 1)).n == MAX_MAILBOXES + 1

    asyncio.run(scenario())
