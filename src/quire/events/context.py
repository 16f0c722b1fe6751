"""What an operation or job may use: one identity, one of its spaces, the time, and the door to append.

Owns: the surface that handlers' commands, queries and jobs see. Must not know: any handler.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quire.errors import UserError
from quire.events.append import append
from quire.events.handler import Opened
from quire.events.home import Home
from quire.store.memberships import Membership
from quire.store.views import View


@dataclass(frozen=True)
class Context:
    """One run of an operation. `now` is the wall clock (ms); `addresses` this node's own `host:port`s."""

    home: Home
    now: int
    account: int = 0
    chosen: Membership | None = None
    addresses: tuple[str, ...] = ()

    @property
    def member(self) -> Membership:
        """The identity and space acted for. Raises UserError when there is no space."""
        if self.chosen is None:
            raise UserError(
                "This identity is in no space yet. Make one with `quire space create NAME`, "
                "or join one with `quire join LINK`."
            )
        return self.chosen

    def append(self, type_: str, *bodies: Mapping[str, Any]) -> list[Opened[Any]]:
        """Append events to this identity's log in this space (one signature for all)."""
        return append(self.home, self.member, type_, bodies, self.now)

    def view(self, type_: str) -> View:
        """A handler's own tables."""
        return self.home.views[type_]

    def within(self, member: Membership) -> "Context":
        """The same, in another space of an identity."""
        return Context(self.home, self.now, member.account, member, self.addresses)
