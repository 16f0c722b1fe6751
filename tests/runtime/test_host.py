import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from quire.api.operations import call
from quire.net.notices import Status
from quire.net.standing import Refusal
from quire.runtime import host as host_module
from quire.runtime.clock import wall_ms
from quire.runtime.host import OfflineHost, RunningHost
from tests.node.world import Station, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path)) as made:
        yield made


def _host(station: Station) -> tuple[RunningHost, list[int]]:
    pumped: list[int] = []
    return RunningHost(station.running, lambda: pumped.append(1), lambda: 3), pumped


def test_what_is_written_is_pushed_and_the_node_pumped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = world.founder()
    host, pumped = _host(alice)
    bob = world.guest("bob", alice)
    world.until(alice.connected)
    monkeypatch.setattr(host, "now", alice.now)
    call(host, "sendMessage", {"target": "general", "text": "hello"})
    assert pumped
    assert world.until(lambda: bob.texts() == ["hello"]) <= 100


def test_whoever_waits_for_arrivals_is_woken(world: World) -> None:
    alice = world.founder()
    host, _ = _host(alice)
    cursor = alice.home.store.blobs.last_cursor()

    async def run() -> None:
        await asyncio.wait_for(host.changed(cursor - 1), 10)  # there is something already
        waiting = [asyncio.create_task(host.changed(cursor)) for _ in range(3)]
        await asyncio.sleep(0)
        host.tell(cursor)
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in waiting)
        host.tell(cursor + 1)
        await asyncio.wait_for(asyncio.gather(*waiting), 10)

    asyncio.run(run())


def test_peers_are_told_with_how_sync_stands(world: World) -> None:
    alice = world.founder()
    host, _ = _host(alice)
    assert host.addresses() == alice.running.addresses
    member = alice.home.store.memberships.all()[0]
    assert host.peers(member.account, member.space) == []
    bob = world.guest("bob", alice)
    bob.ask("sendMessage", target="general", text="hello")
    world.until(lambda: alice.texts() == ["hello"])
    world.run(10_000)
    (peer,) = host.peers(member.account, member.space)
    assert (peer.state, peer.address, peer.held, peer.theirs) == (
        "in-sync",
        "10.0.0.2:7000",
        peer.held,
        peer.held,
    )
    assert peer.pending == 0
    assert peer.rtt_ms is not None
    bob.down()
    world.run(60_000)
    (peer,) = host.peers(member.account, member.space)
    assert peer.state == "unreachable"
    assert peer.rtt_ms is None
    assert 0 <= peer.loss <= 1
    alice.down()
    alice.up()
    world.run(10_000)
    (peer,) = _host(alice)[0].peers(member.account, member.space)
    assert 0 < peer.last_heard_ts <= alice.now()


def test_other_identities_of_the_node_are_peers_too(world: World) -> None:
    alice = world.founder()
    host, _ = _host(alice)
    link = alice.ask("createInvite")["link"]
    alice.ask("joinSpace", link=link, name="twin")
    first, _ = alice.home.store.memberships.all()
    (twin,) = host.peers(first.account, first.space)
    assert (twin.address, twin.state) == ("this node", "syncing")
    world.run(5_000)
    (twin,) = host.peers(first.account, first.space)
    assert twin.state == "in-sync"
    assert twin.theirs == twin.held


def test_offline_nobody_is_there(tmp_path: Path, world: World) -> None:
    alice = world.founder()
    host = OfflineHost(alice.home)
    assert abs(host.now() - wall_ms()) < 1_000
    assert (host.addresses(), host.peers(1, 1)) == ((), [])

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(host.changed(0), 0.01)

    asyncio.run(run())


def test_in_sync_is_what_both_counts_agree_on() -> None:
    """A peer that fell silent a moment ago has not seen what was written since."""
    told = Status(
        connected=True,
        address=("10.0.0.1", 1),
        strategy="bloom",
        in_sync=True,
        held=8,
        peer_count=8,
        pending=0,
        rtt=1,
        window=16,
        datagrams_in=1,
        datagrams_out=1,
        bytes_in=1,
        bytes_out=1,
        datagrams_lost=0,
        last_heard=5,
        rejected={},
        restricted=False,
        refused=None,
    )
    agreed = host_module._status("key", told, 0, 0)
    assert (agreed.state, agreed.pending) == ("in-sync", 0)
    behind = host_module._status("key", told._replace(held=11), 0, 0)
    assert (behind.state, behind.pending) == ("syncing", 3)
    never = host_module._status(
        "key", told._replace(connected=False, held=11, peer_count=None, last_heard=None), 0, 7
    )
    assert (never.state, never.pending) == ("unreachable", 11)
    assert (agreed.last_heard_ts, never.last_heard_ts) == (5, 7), (
        "by another run of this node, if not by this one"
    )
    assert (never.restricted, never.refused) == (False, None)
    apart = [told._replace(restricted=True, refused=reason) for reason in Refusal]
    assert [host_module._status("key", one, 0, 0).refused for one in apart] == ["removed", "not-admitted"]
    assert all(host_module._status("key", one, 0, 0).restricted for one in apart)
