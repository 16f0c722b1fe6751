"""`kill -9` of a relay under load: nothing acknowledged is lost, nothing given twice, nothing left out."""

import asyncio
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.process.relay_devices import Device, RelayProcess, relay_process
from tests.relay.cluster import Cluster
from tests.relay.parties import Owner, key_of


async def _run(
    relays: list[RelayProcess], seed: int, kills: int, devices: int, each: int, owner: str = "alice"
) -> list[Device]:
    random = Random(seed)
    people = [
        Device(relays[n % len(relays)], Owner(owner), key_of(f"device {n}"), random.choice([10, 300, 3_000]))
        for n in range(devices)
    ]
    lives = [asyncio.create_task(one.live(random.randrange(1, 60), each)) for one in people]
    for _ in range(kills):
        await asyncio.sleep(random.random() ** 2 * 0.8)
        relay = random.choice(relays)
        await asyncio.to_thread(relay.kill)
        await asyncio.to_thread(relay.start)
    async with asyncio.timeout(100):
        while any(one.cursor < devices * each for one in people):
            for life in lives:
                if life.done():
                    life.result()
            await asyncio.sleep(0.05)
        for one in people:
            one.done = True
        await asyncio.gather(*lives)
    return people


def _check(people: list[Device], each: int) -> None:
    wanted = Counter({(one.key.public, local): 1 for one in people for local in range(1, each + 1)})
    for one in people:
        assert one.acknowledged == each
        assert Counter(one.seen) == wanted
        assert one.seen == people[0].seen, "all have the same order"


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_relay_that_is_killed_under_load_loses_and_repeats_nothing(tmp_path: Path) -> None:
    with relay_process(tmp_path) as relay:
        _check(asyncio.run(_run([relay], seed=1, kills=3, devices=3, each=400)), 400)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [2, 3])
def test_a_relay_that_is_killed_often_loses_and_repeats_nothing(tmp_path: Path, seed: int) -> None:
    with relay_process(tmp_path) as relay:
        _check(asyncio.run(_run([relay], seed, kills=15, devices=5, each=1_500)), 1_500)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_relay_processes_that_share_servers_are_killed_and_so_is_a_server(tmp_path: Path) -> None:
    """Devices that write through different processes at once: the same as with one."""
    folders = [tmp_path / name for name in ("servers", "one", "two")]
    for folder in folders:
        folder.mkdir()
    with Cluster(folders[0]) as cluster:
        words = ["--key", str(tmp_path / "relay.key")]
        with (
            relay_process(folders[1], *words, store=cluster.url) as one,
            relay_process(folders[2], *words, store=cluster.url) as two,
        ):
            assert one.url.partition("#")[2] == two.url.partition("#")[2]
            _check(asyncio.run(_run([one, two], seed=4, kills=3, devices=4, each=300)), 300)
            cluster.kill(1)
            _check(asyncio.run(_run([one, two], seed=5, kills=2, devices=4, each=300, owner="bob")), 300)
