"""How many greetings go to a host that has never answered.

Owns: the bound for each host, whoever says that somebody is there. Must not know: sessions, what a greeting says.

A member can say of any number of devices that they are anywhere. What is sent there must be worth no more to it than
what it could send itself. Hosts where somebody answered are taken for what they are.
"""

from collections.abc import Hashable

from quire.limits import HAILS_PER_HOST, HAILS_PERIOD_MS, MAX_HOSTS
from quire.sync.allowance import Allowance


class Hails:
    """Times in ms; when MAX_HOSTS are known all are forgotten."""

    def __init__(self) -> None:
        self._allowed: dict[Hashable, Allowance] = {}
        self._owed: dict[Hashable, int] = {}
        self._proven: dict[Hashable, None] = {}

    def heard(self, host: Hashable) -> None:
        """Something came from there, though it may only say so: as much may be answered."""
        if host not in self._proven:
            _make_room(self._owed)
            self._owed[host] = self._owed.get(host, 0) + 1

    def proven(self, host: Hashable) -> None:
        """Somebody there has answered."""
        _make_room(self._proven)
        self._proven[host] = None
        self._owed.pop(host, None)
        self._allowed.pop(host, None)

    def may_go(self, host: Hashable, now: int) -> bool:
        """Whether one more may go there; if so, it goes."""
        if host in self._proven:
            return True
        if self._owed.get(host, 0) > 0:
            self._owed[host] -= 1
            return True
        _make_room(self._allowed)
        return self._allowed.setdefault(host, Allowance(HAILS_PERIOD_MS)).take(HAILS_PER_HOST, now)


def _make_room(memory: dict[Hashable, int] | dict[Hashable, None] | dict[Hashable, Allowance]) -> None:
    if len(memory) >= MAX_HOSTS:
        memory.clear()
