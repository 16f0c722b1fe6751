"""Whether a relay's store can be used: what a look finds, and what was kept meanwhile."""

import asyncio

from quire.relay.counters import Counters
from quire.relay.log_store import StoreDamaged, StoreUnavailable
from quire.relay.store_watch import StoreWatch
from tests.relay.memory_log import MemoryLog


class Election(MemoryLog):
    """A look at it waits until `found` says what it finds."""

    def __init__(self) -> None:
        super().__init__()
        self.found: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def check(self, writing: bool) -> None:
        await self.found


def _watch(store: MemoryLog, told: list[str]) -> StoreWatch:
    return StoreWatch(store, Counters(), lambda event, **_: told.append(event))


def test_what_was_kept_while_it_was_looked_at_is_newer_than_what_the_look_finds() -> None:
    told: list[str] = []

    async def scenario() -> None:
        store = Election()
        watch = _watch(store, told)
        watch.failed(StoreUnavailable("nobody leads"))
        looking = asyncio.ensure_future(watch.look())
        await asyncio.sleep(0)
        watch.worked()
        store.found.set_exception(StoreUnavailable("no answer in time"))
        assert await looking is None
        trouble = await watch.look()  # begun after it
        assert trouble
        assert trouble.status == "unavailable"

    asyncio.run(scenario())
    assert told == ["store-unavailable", "store-available", "store-unavailable"]


def test_damage_counts_all_the_same() -> None:
    told: list[str] = []

    async def scenario() -> None:
        store = Election()
        watch = _watch(store, told)
        looking = asyncio.ensure_future(watch.look())
        await asyncio.sleep(0)
        watch.worked()
        store.found.set_exception(StoreDamaged("damaged"))
        trouble = await looking
        assert trouble
        assert "damaged" in trouble.text

    asyncio.run(scenario())
    assert told == ["store-unavailable"]
