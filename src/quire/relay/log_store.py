"""What a relay needs of the place where its logs are kept.

Owns: the interface that every store has, and its values. Must not know: any one store, connections, quotas.

Places count from 1 in every mailbox without a gap. An append is durable and in its order when it returns, also when
several processes append at once; what was returned is never lost by a kill of any of them.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from quire.limits import RELAY_LASTING_BYTES
from quire.net.relay_wire import NO_CHAIN, Record, Scope


class Tip(NamedTuple):
    """How long a mailbox's log is (records), and the chain at its end; (0, NO_CHAIN) for one that nobody wrote to."""

    length: int = 0
    chain: bytes = NO_CHAIN


#: Called with a mailbox and its end.
Grown = Callable[[bytes, Tip], None]


class Appended(NamedTuple):
    """`had` and `taken`: the device's last local number before and after; `size`: bytes kept in the mailbox now."""

    had: int
    taken: int
    tip: Tip
    size: int


class Kept(NamedTuple):
    """A record at its place, with its digest."""

    seq: int
    device: bytes
    record: Record
    digest: bytes


class Part(NamedTuple):
    """Records from the place `first` on, after the chain `before`; what lies before `first` may have been pruned."""

    first: int
    before: bytes
    records: list[Kept]
    tip: Tip


class Position(NamedTuple):
    """What a mailbox knows of a device: its last local number, the place that it acknowledged last, bytes kept."""

    local: int = 0
    synced: int = 0
    size: int = 0


class Retention(NamedTuple):
    """What is kept: content no older than `age` (ms), in each mailbox at most `size` bytes; 0 for no bound.

    Records of the scope `space` are content. The others are what leads into a space, and what one's own devices tell
    each other: little, and of use for as long as the space is. Of them `lasting` bytes are kept however old they are.
    """

    age: int = 0
    size: int = 0
    lasting: int = RELAY_LASTING_BYTES

    @property
    def bounded(self) -> bool:
        """Whether anything is ever removed."""
        return self.age > 0 or self.size > 0

    def removes(self, scope: Scope, arrived: int, size: int, now: int) -> bool:
        """Whether the oldest record of a mailbox that keeps `size` bytes goes."""
        if 0 < self.size < size:
            return True
        return self.age > 0 and (arrived < now - self.age if scope == "space" else size > self.lasting)


class Pruned(NamedTuple):
    """What was removed."""

    records: int
    size: int


class Usage(NamedTuple):
    """What the whole store holds: mailboxes, records and bytes of data, and bytes on disk where that is known."""

    mailboxes: int
    records: int
    size: int
    disk: int


class StoreUnavailable(Exception):
    """The store cannot do it at present (disk full, no quorum); nothing of it was kept. The text is for operators."""


class StoreReadOnly(StoreUnavailable):
    """Nothing can be kept at present (disk full, or it may not be written); reading goes on."""


class StoreDamaged(StoreUnavailable):
    """Something of what was kept cannot be read any more, and will not be until somebody mends it."""


class StoreGone(StoreUnavailable):
    """What is written to is not under its name any more: a new start would not find it."""


class StoreBusy(StoreUnavailable):
    """More is asked of it than it can take in; nothing is wrong with it."""


class LogStore(Protocol):
    """Every method but `watch` may raise StoreUnavailable. Mailboxes and devices are 32 bytes each."""

    async def append(self, mailbox: bytes, device: bytes, records: Sequence[Record], now: int) -> Appended:
        """Keep records, in order, all or none; those whose local number is not above the device's last are repeats,
        and skipped. `now` is the time of arrival (ms). Without records it tells how things stand.
        """
        ...

    async def read(self, mailbox: bytes, after: int, most_records: int, most_bytes: int) -> Part:
        """Records after a place: at least one where there is one, else up to either bound."""
        ...

    async def range(self, mailbox: bytes, low: str, high: str, limit: int, newest: bool) -> list[Kept]:
        """Records whose sort key is in [low, high) in its order; with `newest` the last ones, latest first."""
        ...

    async def acknowledge(self, mailbox: bytes, device: bytes, seq: int) -> None:
        """Note that a device has all up to a place; it never goes back, nor beyond the end."""
        ...

    async def positions(self, mailbox: bytes) -> dict[bytes, Position]:
        """Every device that wrote or acknowledged, by its key."""
        ...

    async def news(self, mailbox: bytes, device: bytes, after: int) -> list[tuple[bytes, int]]:
        """How many records after a place each other device has there, by device key."""
        ...

    async def served_under(self) -> bytes | None:
        """The public key of the relay that the store is served as; None before its first start."""
        ...

    async def serve_under(self, key: bytes, before: bytes | None) -> bytes:
        """Remember that key where `before` is what is remembered now; whichever key counts then. Of several who try
        at once one wins.
        """
        ...

    def watch(self, grown: Grown, growing: Grown | None = None) -> None:
        """Call `grown` for each mailbox that grew, whichever process wrote to it. A store that waits for its disk may
        call `growing` meanwhile with what will be so unless that fails: there is time to make ready for it.
        """
        ...

    async def prune(self, keep: Retention, now: int) -> Pruned:
        """Remove the oldest records beyond what is to be kept; places, chain and local numbers stay."""
        ...

    async def usage(self) -> Usage:
        """What is held, for operators."""
        ...

    async def check(self, writing: bool) -> None:
        """Look whether it can be used, and change nothing that is kept; with `writing` whether a small write comes
        to the disk too. It may take as long as the store is silent.
        """
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...
