"""The service: who is let in, health and figures, chores, an end in good order."""

import asyncio

import pytest

from quire import limits
from quire.net import relay_wire as wire
from quire.relay.log_store import Retention, StoreUnavailable, Usage
from quire.relay.quota import Quotas
from quire.relay.settings import Settings
from tests.relay.memory_log import MemoryLog
from tests.relay.parties import Owner, Relay, key_of, records, settle

ALICE = Owner("alice")
PHONE, LAPTOP = key_of("phone"), key_of("laptop")


def test_so_many_connections_and_no_more() -> None:
    async def scenario() -> None:
        relay = Relay(Settings(connections=2))
        first, _, third = await relay.client(), await relay.client(), await relay.client()
        refusal = third.next(wire.Refusal)
        assert (refusal.n, refusal.reason, refusal.retry_ms) == (0, "rate", limits.RELAY_UNAVAILABLE_MS)
        assert third.ended
        assert third.connection is None
        assert first.connection is not None
        await relay.service.gone(first.connection)
        assert (await relay.client()).connection is not None

    asyncio.run(scenario())


def test_of_one_address_so_many_and_no_more() -> None:
    async def scenario() -> None:
        relay = Relay(Settings(origin_connections=2))
        origins = relay.service.origins
        near, far = (origins.enter(name, 0) for name in ("192.0.2.1", "192.0.2.2"))
        for _ in range(2):
            origins.enter("192.0.2.1", 0)
        third = await relay.client(near)
        refusal = third.next(wire.Refusal)
        assert (refusal.n, refusal.reason, refusal.retry_ms) == (0, "rate", limits.RELAY_UNAVAILABLE_MS)
        assert "from your network" in refusal.text
        assert third.ended
        assert (await relay.client(far)).connection is not None
        origins.leave(near)
        assert (await relay.client(near)).connection is not None

    asyncio.run(scenario())


def test_draining_answers_what_is_under_way_tells_all_and_closes_the_store() -> None:
    async def scenario() -> None:
        relay = Relay()
        writer, reader = await relay.client(), await relay.client()
        await writer.hello(ALICE, PHONE)
        await writer.entries()
        await reader.hello(Owner("bob"), LAPTOP)
        await reader.entries()
        relay.store.appending = asyncio.Event()
        adding = asyncio.create_task(writer.say(wire.Add(1, records(1, 3))))
        await settle()
        draining = asyncio.create_task(relay.service.drain())
        await asyncio.sleep(0)
        await reader.say(wire.Read(1, 0, 1))
        refusal = reader.next(wire.Refusal)
        assert (refusal.n, refusal.reason) == (1, "going-away")
        assert not relay.store.closed
        relay.store.appending.set()
        await adding
        await draining
        assert writer.next(wire.Added).taken == 3
        said = [*writer.said, *reader.said]
        goodbyes = [one for one in said if isinstance(one, wire.Refusal) and one.n == 0]
        assert [one.reason for one in goodbyes] == ["going-away"] * 2
        assert min(one.retry_ms for one in goodbyes) == limits.RELAY_AWAY_MS
        assert len({one.retry_ms for one in goodbyes}) == 2  # not all at once
        assert writer.ended
        assert reader.ended
        assert relay.store.closed
        late = await relay.client()
        assert late.next(wire.Refusal).reason == "going-away"

    asyncio.run(scenario())


def test_draining_does_not_wait_for_ever() -> None:
    async def scenario() -> None:
        relay = Relay(Settings(drain_ms=1_000))
        writer = await relay.client()
        await writer.hello(ALICE, PHONE)
        relay.store.appending = asyncio.Event()
        adding = asyncio.create_task(writer.say(wire.Add(1, records(1, 3))))
        await settle()
        await relay.service.drain()
        assert relay.store.closed
        adding.cancel()
        await asyncio.gather(adding, return_exceptions=True)

    asyncio.run(scenario())


def test_connections_that_open_nothing_are_ended() -> None:
    async def scenario() -> None:
        relay = Relay()
        silent, busy = await relay.client(), await relay.client()
        await busy.hello(ALICE, PHONE)
        relay.clock.ms += limits.RELAY_SILENT_MS + 1
        looking = asyncio.create_task(relay.service._look())
        while not silent.ended:
            await asyncio.sleep(0)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        assert relay.clock.slept[0] * 1000 == limits.RELAY_LOOK_MS
        assert not busy.ended

    asyncio.run(scenario())


def test_health_and_metrics_tell_counts_alone() -> None:
    async def scenario() -> None:
        relay = Relay()
        client = await relay.client()
        await client.hello(ALICE, PHONE, records=records(1, 3))
        health = await relay.service.health()
        assert (health["status"], health["connections"]) == ("ok", 1)
        assert health["held"]["records"] == 3
        await client.say(wire.Add(1, records(4, 5)))
        assert (await relay.service.health())["held"]["records"] == 3  # as it was a moment ago
        relay.clock.ms += limits.RELAY_USAGE_MS + 1
        assert (await relay.service.health())["held"]["records"] == 5
        text = (await relay.service.metrics()).decode()
        for line in ("records_kept_total 5.0", "connections 1.0", 'received_total{kind="hello"} 1.0'):
            assert f"\nquire_relay_{line}" in text
        assert PHONE.text not in text
        relay.store.down = True
        assert (await relay.service.health())["status"] == "unavailable"
        assert b"quire_relay_connections" in await relay.service.metrics()

    asyncio.run(scenario())


def test_health_says_within_seconds_what_a_store_that_is_silent_or_full_cannot_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("quire.relay.store_watch.RELAY_CHECK_S", 0.01)

    async def scenario() -> None:
        relay = Relay()
        client = await relay.client()
        await client.hello(ALICE, PHONE, records=records(1, 3))
        assert (await relay.service.health())["status"] == "ok"
        relay.store.full = True
        await client.entries()
        await client.say(wire.Add(1, records(4, 5)))
        health = await relay.service.health()
        assert (health["status"], health["held"]["records"]) == ("read-only", 3)
        assert "reading goes on" in health["why"]
        relay.store.full, relay.store.checking = False, asyncio.Event()
        health = await relay.service.health()
        assert (health["status"], health["held"]) == ("unavailable", None)
        assert "does not answer" in health["why"]
        assert b"quire_relay_store_available 0.0" in await relay.service.metrics()
        relay.store.checking.set()
        health = await relay.service.health()
        assert (health["status"], "why" in health) == ("ok", False)
        assert b"quire_relay_store_available 1.0" in await relay.service.metrics()
        told = [line.get("status") or line["event"] for line in relay.clock.log if "connection" not in line]
        assert told == ["read-only", "unavailable", "store-available"]

    asyncio.run(scenario())


def test_what_is_held_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RELAY_CHECK_S", 0.01)

    class Slow(MemoryLog):
        async def usage(self) -> Usage:
            await asyncio.Event().wait()
            raise AssertionError

    async def scenario() -> None:
        relay = Relay(store=Slow())
        for _ in range(2):
            health = await relay.service.health()
            assert (health["status"], health["held"]) == ("ok", None)
        assert b"quire_relay_connections" in await relay.service.metrics()

    asyncio.run(scenario())


def test_a_relay_that_starts_without_its_store_says_so_at_once() -> None:
    async def scenario() -> None:
        relay = Relay()
        relay.store.down = True
        relay.service.start()
        while not relay.clock.log:
            await asyncio.sleep(0)
        assert relay.clock.log[0] == {"event": "store-unavailable", "status": "unavailable", "text": "down"}
        relay.store.down = False
        while len(relay.clock.log) < 2:
            await asyncio.sleep(0)
        assert relay.clock.log[1] == {"event": "store-available"}
        assert limits.RELAY_CHECK_MS / 1000 in relay.clock.slept
        await relay.service.drain()

    asyncio.run(scenario())


def test_old_records_go_at_the_start_and_at_intervals() -> None:
    async def scenario() -> None:
        relay = Relay(Settings(retention=Retention(size=30), prune_ms=60_000))
        client = await relay.client()
        await client.hello(ALICE, PHONE, records=records(1, 10))
        relay.service.start()
        while len(relay.clock.slept) < 3:
            await asyncio.sleep(0)
        assert relay.store.logs[ALICE.id].pruned == 7
        assert "quire_relay_records_pruned_total 7.0" in relay.service.counters.text().decode()
        assert 60.0 in relay.clock.slept
        await relay.service.drain()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("retention", "after"), [(Retention(), limits.RELAY_FULL_MS), (Retention(age=1), 5_000)]
)
def test_who_has_their_share_is_told_when_there_may_be_room(retention: Retention, after: int) -> None:
    async def scenario() -> None:
        relay = Relay(Settings(Quotas(mailbox_records=9), retention, prune_ms=5_000))
        client = await relay.client()
        await client.hello(ALICE, PHONE, records=records(1, 10))
        refusal = client.next(wire.Refusal)
        assert (refusal.reason, refusal.retry_ms) == ("full", after)

    asyncio.run(scenario())


@pytest.mark.parametrize("answers", [True, False])
def test_a_store_that_cannot_be_closed_does_not_hold_up_the_end(answers: bool) -> None:
    class Stuck(MemoryLog):
        async def close(self) -> None:
            if answers:
                raise StoreUnavailable("no quorum")
            await asyncio.Event().wait()

    async def scenario() -> None:
        relay = Relay(Settings(drain_ms=1), Stuck())
        await asyncio.wait_for(relay.service.drain(), 30)
        assert relay.clock.log[-1]["event"] == "store-left"

    asyncio.run(scenario())
