"""First words of devices that have no session: whether they are theirs.

Owns: links that are remembered for it, and how many are made in a second. Must not know: sessions, the graph.

A header can name any device: whoever has the link key can write one. To find out takes the key that both devices agree
upon; with that at hand what is forged costs as little as what is forged for a session. So those of known devices are
remembered, and nobody's name is used up by others.
"""

from collections.abc import Callable

from quire.limits import MAX_LINKS_KEPT, STRANGERS_PER_SECOND
from quire.net.link import Link
from quire.net.standing import Standing
from quire.sync.allowance import Allowance

#: A space, a local device and a remote device.
Who = tuple[bytes, bytes, bytes]


class Crowded(Exception):
    """No more keys are agreed upon in this second."""


class Contacts:
    """Times in ms."""

    def __init__(self) -> None:
        # Apart, so that a flood of unknown devices cannot keep members out.
        self._allowed = {standing: Allowance() for standing in Standing}
        # The one that was used longest ago is first. Unknown devices are as many as somebody likes to make up.
        self._links: dict[Standing, dict[Who, Link]] = {Standing.MEMBER: {}, Standing.REMOVED: {}}

    def __len__(self) -> int:
        return sum(map(len, self._links.values()))

    def open(
        self, who: Who, standing: Standing, data: bytes, make: Callable[[], Link | None], now: int
    ) -> tuple[Link, bytes] | None:
        """The link with a device and what it says; None where it has not said it. Raises Crowded.

        `make` makes the link, where the device's key is one.
        """
        known = self._links.get(standing, {})
        link = known.get(who)
        if link is None:
            if not self._allowed[standing].take(STRANGERS_PER_SECOND, now):
                raise Crowded
            link = make()
        if link is None:
            return None
        payload = link.open(data)
        if payload is not None:
            known.pop(who, None)
        known.setdefault(who, link)
        if len(known) > MAX_LINKS_KEPT:
            del known[next(iter(known))]
        return None if payload is None else (link, payload)

    def forget(self, space_id: bytes, local: bytes) -> None:
        """A local device left a space."""
        for known in self._links.values():
            for who in [who for who in known if who[:2] == (space_id, local)]:
                del known[who]
