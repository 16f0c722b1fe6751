"""So many per second: the bound on what one peer may make us say or read.

Owns: one counter. Must not know: what is counted.
"""


class Allowance:
    """Counts down from a bound that is renewed every `period` ms."""

    def __init__(self, period: int = 1_000) -> None:
        self._period = period
        self._since: int | None = None
        self._used = 0

    def take(self, bound: int, now: int) -> bool:
        """Use one of `bound` per period; False when they are used up."""
        if self._since is None or now - self._since >= self._period:
            self._since = now
            self._used = 0
        if self._used >= bound:
            return False
        self._used += 1
        return True

    @property
    def renewed_at(self) -> int | None:
        """When the bound that is being counted down from is renewed (ms); None before anything was used."""
        return None if self._since is None else self._since + self._period
