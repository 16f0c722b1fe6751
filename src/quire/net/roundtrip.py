"""How long datagrams to one peer take until they are acknowledged, and what follows from it.

Owns: the smoothed round-trip time and its variation (RFC 6298), by how much datagrams come out of order, and whether
they wait in a queue on the way. Must not know: which datagrams, windows.
"""

from quire.limits import (
    ACK_DELAY_MS,
    FIRST_RTT_MS,
    MAX_REORDERING_MS,
    MAX_TIMEOUT_MS,
    MIN_TIMEOUT_MS,
    QUEUE_PERCENT,
    QUEUE_SLACK_MS,
)

#: What one round trip leaves of what was learned in those before.
_KEPT = 63 / 64


class RoundTrip:
    """All in ms."""

    def __init__(self) -> None:
        self._mean: float | None = None
        self._variation = 0.0
        self._latest = 0
        # How much later than the mean some come that others overtake.
        self._reordering = 0.0
        # The shortest that is known, and the shortest of this round.
        self._least = 0.0
        self._least_of_round: int | None = None

    @property
    def mean(self) -> float:
        """Smoothed; a guess before the first sample."""
        return float(FIRST_RTT_MS) if self._mean is None else self._mean

    @property
    def bound(self) -> int:
        """How long after it was sent one is lost that a later one overtook (RFC 9002 §6.1.2)."""
        return min(MAX_TIMEOUT_MS, int(max(self.mean, self._latest) * 9 / 8 + self._reordering) + 1)

    @property
    def patience(self) -> int:
        """How long to wait before asking for an acknowledgement (RFC 9002 §6.2.1)."""
        if self._mean is None:
            return 2 * FIRST_RTT_MS
        return int(self._mean + max(4 * self._variation, self._reordering, 10)) + ACK_DELAY_MS

    @property
    def timeout(self) -> int:
        """How long until what nobody acknowledges is lost."""
        return max(MIN_TIMEOUT_MS, self.patience)

    @property
    def queued(self) -> bool:
        """Whether even the shortest of this round is so long that it waited on the way.

        It may be as late as datagrams come out of order: of few, the shortest is no better than any.
        """
        least = self._least_of_round
        return (
            least is not None
            and least > QUEUE_PERCENT * self._least / 100 + QUEUE_SLACK_MS + self._reordering
        )

    def sample(self, took: int) -> None:
        """The latest datagram that arrived was acknowledged for the first time."""
        self._latest = took
        if self._mean is None:
            self._mean, self._variation, self._least = float(took), took / 2, float(took)
        else:
            self._variation += (abs(self._mean - took) - self._variation) / 4
            self._mean += (took - self._mean) / 8
        if self._least_of_round is None or took < self._least_of_round:
            self._least_of_round = took

    def overtaken(self, took: int) -> None:
        """One was acknowledged that was taken for lost because later ones had come."""
        self._reordering = max(self._reordering, min(took - self.mean, max(self.mean, MAX_REORDERING_MS)))

    def end_round(self, losing: bool) -> None:
        """Another round trip begins; `losing`: some were taken for lost in this one."""
        if losing:
            self._reordering *= _KEPT
        if (least := self._least_of_round) is not None:
            # The path may have become longer: that is believed little by little.
            self._least = min(float(least), self._least * _KEPT + least * (1 - _KEPT))
            self._least_of_round = None
