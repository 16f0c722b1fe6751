"""Whether a relay's store can be used, as its operator is told.

Owns: what is known of that, from looking and from what was asked of the store. Must not know: any one store, clients.
"""

import asyncio
from collections.abc import Callable
from typing import Literal, NamedTuple

from quire.limits import RELAY_CHECK_S
from quire.relay.counters import Counters
from quire.relay.log_store import (
    LogStore,
    StoreBusy,
    StoreDamaged,
    StoreGone,
    StoreReadOnly,
    StoreUnavailable,
)


class Trouble(NamedTuple):
    """What the store cannot do, and a sentence about it for everybody: it names nothing of the relay's machine."""

    status: Literal["read-only", "unavailable"]
    text: str


_READ_ONLY = Trouble(
    "read-only", "The store can keep nothing more at present; reading goes on. The relay's log says why."
)
_DAMAGED = Trouble(
    "unavailable", "The store is damaged, and has to be put back from a copy. The relay's log says more."
)
_GONE = Trouble(
    "unavailable",
    "The store was moved, removed or replaced, and keeps nothing more until it is back or the relay is started again. "
    "The relay's log says more.",
)
_UNAVAILABLE = Trouble(
    "unavailable", "The store does not answer, or not all of it that has to. The relay's log says why."
)
_SILENT = f"The relay's store has not answered for {RELAY_CHECK_S:.0f} s."


class StoreWatch:
    """Of one store; `log` is told when it cannot be used and when it can again. Damage stays until a new start."""

    def __init__(self, store: LogStore, counters: Counters, log: Callable[..., None]) -> None:
        self._store = store
        self._counters = counters
        self._log = log
        self._trouble: Trouble | None = None
        self._looking: asyncio.Future[None] | None = None
        self._worked_since = False

    async def look(self) -> Trouble | None:
        """Look at the store, for a few seconds at most; what it cannot do, if anything."""
        looking = self._looking
        if looking is None:
            looking = self._looking = asyncio.ensure_future(self._store.check(self._trouble is not None))
            self._worked_since = False
        await asyncio.wait([looking], timeout=RELAY_CHECK_S)
        if not looking.done():
            self._looked(_UNAVAILABLE, _SILENT)
            return self._trouble
        if self._looking is looking:
            self._looking = None
        if looking.cancelled():
            return self._trouble
        error = looking.exception()
        if error is None:
            self.worked()
        elif isinstance(error, StoreUnavailable):
            self._looked(_trouble(error), str(error))
        else:  # its text may hold what is secret
            self._looked(_UNAVAILABLE, f"Looking at the store failed ({type(error).__name__}).")
        return self._trouble

    def failed(self, error: StoreUnavailable) -> None:
        """The store could not do what it was asked."""
        self._counters.unavailable.inc()
        if not isinstance(error, StoreBusy):
            self._note(_trouble(error), str(error))

    def worked(self) -> None:
        """The store kept what it was given, or looks well."""
        self._worked_since = True
        if self._trouble not in (None, _DAMAGED):
            self._trouble = None
            self._counters.available.set(1)
            self._log("store-available")

    def end(self) -> None:
        """Look no longer."""
        if self._looking is not None:
            self._looking.cancel()

    def _looked(self, trouble: Trouble, text: str) -> None:
        """A look found this; but what the store did since that look began is newer (servers elected a leader)."""
        if trouble is _DAMAGED or not self._worked_since:
            self._note(trouble, text)

    def _note(self, trouble: Trouble, text: str) -> None:
        if self._trouble not in (trouble, _DAMAGED):
            self._trouble = trouble
            self._counters.available.set(0)
            self._log("store-unavailable", status=trouble.status, text=text)


def _trouble(error: StoreUnavailable) -> Trouble:
    if isinstance(error, StoreDamaged):
        return _DAMAGED
    if isinstance(error, StoreGone):
        return _GONE
    return _READ_ONLY if isinstance(error, StoreReadOnly) else _UNAVAILABLE
