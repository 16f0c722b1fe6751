"""Speed bumps: how much one mailbox and one device may keep, and how fast a device and a connection may go.

Owns: the numbers, and what is over them. Must not know: the store; it goes by what the store says anyway.
"""

from collections import OrderedDict
from typing import NamedTuple

from quire.limits import MAX_RELAY_RATES, RELAY_BURST_S


class Quotas(NamedTuple):
    """Bytes and records; 0 for no bound. `burst` is how many seconds' worth may come at once."""

    mailbox_bytes: int = 0
    mailbox_records: int = 0
    device_bytes: int = 0
    records_per_second: int = 0
    bytes_per_second: int = 0
    burst: int = RELAY_BURST_S


class Held(NamedTuple):
    """What is kept: bytes and records of a mailbox, bytes of one device in it."""

    mailbox_bytes: int
    mailbox_records: int
    device_bytes: int


def exceeded(quotas: Quotas, held: Held, records: int, size: int) -> str | None:
    """Whose share would be exceeded by so many records of so many bytes, in words; None when there is room."""
    if 0 < quotas.mailbox_bytes < held.mailbox_bytes + size:
        return f"This mailbox has its {quotas.mailbox_bytes:,} bytes"
    if 0 < quotas.mailbox_records < held.mailbox_records + records:
        return f"This mailbox has its {quotas.mailbox_records:,} records"
    if 0 < quotas.device_bytes < held.device_bytes + size:
        return f"This device has its {quotas.device_bytes:,} bytes in this mailbox"
    return None


class Bucket:
    """A token bucket: `rate` a second, at most `burst` seconds of it saved up; a rate of 0 bounds nothing."""

    __slots__ = ("_at", "_full", "_left", "_rate")

    def __init__(self, rate: int, burst: int, now: int) -> None:
        self._rate = rate
        self._full = self._left = rate * burst * 1000  # thousandths: a rate per second is one of these per ms
        self._at = now

    def wait(self, cost: int, now: int) -> int:
        """How long (ms) until `cost` can be taken; what is larger than the bucket is let through when it is full."""
        if not self._rate:
            return 0
        self._left = min(self._full, self._left + (now - self._at) * self._rate)
        self._at = now
        lacking = min(cost * 1000, self._full) - self._left
        return max(-(-lacking // self._rate), 0)

    def take(self, cost: int) -> None:
        """Take it, into debt if need be."""
        self._left -= cost * 1000


class Pace:
    """What one device or connection may still send: records and bytes."""

    __slots__ = ("_bytes", "_records")

    def __init__(self, quotas: Quotas, now: int) -> None:
        self._records = Bucket(quotas.records_per_second, quotas.burst, now)
        self._bytes = Bucket(quotas.bytes_per_second, quotas.burst, now)

    def take(self, records: int, size: int, now: int) -> int:
        """0 when that much may be sent now (and is taken), else how long to wait (ms; nothing is taken)."""
        wait = max(self._records.wait(records, now), self._bytes.wait(size, now))
        if not wait:
            self._records.take(records)
            self._bytes.take(size)
        return wait


class Paces:
    """The pace of each device lately seen, so that connecting again gives nobody a new one."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._paces: OrderedDict[bytes, Pace] = OrderedDict()

    def __len__(self) -> int:
        return len(self._paces)

    def of(self, device: bytes, now: int) -> Pace:
        """A device's, the one that was longest not asked for being forgotten."""
        pace = self._paces.pop(device, None) or Pace(self._quotas, now)
        self._paces[device] = pace
        if len(self._paces) > MAX_RELAY_RATES:
            self._paces.popitem(last=False)
        return pace
