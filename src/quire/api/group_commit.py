"""Group commit: writes that arrive together share one transaction.

Owns: when writes run, and that each is answered only once it is committed. One that fails undoes itself
alone. Must not know: what is written.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from quire.api.host import Host

Outcome = tuple[asyncio.Future[Any], Any, Exception | None]


class GroupCommit:
    """The writes of one node."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []

    async def run(self, write: Callable[[], Any]) -> Any:
        """Run a write with the others of this turn of the loop; its result, or what it raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((write, future))
        if len(self._waiting) == 1:
            loop.call_soon(self._commit)
        return await future

    def _commit(self) -> None:
        group, self._waiting = self._waiting, []
        outcomes: list[Outcome] = []
        try:
            with self._host.home.store.transaction():
                outcomes = [self._attempt(write, future) for write, future in group]
        except Exception as error:  # the commit failed: nothing of the group was kept
            outcomes = [(future, None, error) for _, future in group]
        try:
            self._host.committed()
        finally:
            for future, result, failure in outcomes:
                _answer(future, result, failure)

    def _attempt(self, write: Callable[[], Any], future: asyncio.Future[Any]) -> Outcome:
        try:
            with self._host.home.store.db.savepoint():
                return future, write(), None
        except Exception as error:  # a mistake of ours must not take the others with it
            if not self._host.home.store.db.connection.in_transaction:
                raise  # SQLite gave up the whole group: a full disk
            return future, None, error


def _answer(future: asyncio.Future[Any], result: Any, failure: Exception | None) -> None:
    if future.cancelled():
        return  # the asker has gone; what it asked for is done all the same
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
