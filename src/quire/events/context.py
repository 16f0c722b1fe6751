"""What an operation or job may use: one identity, one of its spaces, the time, and the door to append.

Owns: the surface that handlers' commands, queries and jobs see. Must not know: any handler.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from quire.errors import NoKeyYet, NotIn, Refused, UserError
from quire.events.append import append, make_event
from quire.events.handler import Opened
from quire.events.home import Home
from quire.events.keyring import lacks_current, waits_since
from quire.events.standing import graph_at, graph_of
from quire.graph.graph import Graph
from quire.graph.ledger import Entry
from quire.graph.rules import REASONS
from quire.graph.state import is_stale, parents
from quire.limits import KEY_WAIT_MS, MAX_PARENTS
from quire.store.memberships import JOINING, Membership
from quire.store.views import View

#: What a device that was taken away is told, and tells.
REVOKED = (
    "This device was revoked by another device of the same identity: it can still show what it holds, and "
    "nobody takes anything from it any more. Link it anew with `quire device link` on a device that counts."
)

WAITS_FOR_KEY = (
    "The space has a new key that has not been handed to this device yet, and what is written under the old one "
    "could be read by who was removed. A member's device hands it on: try again in a minute."
)

#: The type of the events that bring many ends of the membership graph together.
MERGE = "merge"

#: Stands for the id of an event that is not written yet.
_DRAFT = "draft"

NOT_HEARD = (
    "This device has not heard of its own admission to the space yet: that takes a member who can be reached. "
    "`quire status` tells how sync stands; try again then."
)


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
        """The identity and space acted for, as it is now. Raises UserError when there is no space."""
        if self.chosen is None:
            raise UserError(
                "This identity is in no space yet. Make one with `quire space create NAME`, "
                "or join one with `quire join LINK`."
            )
        return self.home.store.memberships.get(self.chosen.account, self.chosen.space)

    @property
    def graph(self) -> Graph:
        """The membership graph of this space, as this identity knows it.

        Without what this device wrote while its clock was ahead, or nothing that it writes now could build on the rest.
        """
        member = self.member
        return graph_at(self.home, member, self.home.clock(member.account).peek(self.now))

    def append(
        self, type_: str, *bodies: Mapping[str, Any], audiences: Sequence[str] = ()
    ) -> list[Opened[Any]]:
        """Append events to this identity's log in this space (one signature for all).

        With `audiences` (ids of the events that made them) only those can open the bodies. Nothing is sealed under
        a key that somebody has who must not have it: a new one is made first.
        """
        self._refuse_revoked()
        for scope in ("", *audiences):
            self._renew_key(scope)
        return append(self.home, self.member, type_, bodies, self.now, audiences)

    def change(
        self, type_: str, body: Mapping[str, Any], epoch: int = 0, about: Sequence[str] = ()
    ) -> Opened[Any]:
        """Append an event of the membership graph, sealed under the key of `epoch` or the present one.

        It builds on all that counts, and on the events that it is `about`, also where those do not. Where many have
        written without knowing of each other, events before it bring that together: were some left out, so might be
        what it is about, and keys could not be renewed, nor could anybody be removed.

        Raises Refused, naming the rule, when it would not count.
        """
        self._refuse_revoked()
        with self.home.store.transaction():
            heads = parents(self.graph, self.member.device)
            slug = self._why_not(type_, {**body, "after": [*dict.fromkeys([*heads, *about])]})
            if slug == "device":
                if not self.graph.ledger.claims(self.member.device, self.graph.valid):
                    raise NotIn(NOT_HEARD)
                raise Refused(
                    "That cannot be done: you are no member of this space any more (rule `device`)."
                )
            if slug:
                raise Refused(f"That cannot be done: {REASONS[slug]} (rule `{slug}`).")
            after = dict.fromkeys([*self._merged(heads, epoch), *about])
            return self._write(type_, {**body, "after": [*after]}, epoch)

    def _merged(self, heads: Sequence[str], epoch: int) -> Sequence[str]:
        """At most MAX_PARENTS events that build on all of these: some of them, and the last of as few as it takes.

        They are sealed like what builds on them, or who can open that would wait for them.
        """
        while len(heads) > MAX_PARENTS:
            made = self._write(MERGE, {"after": heads[:MAX_PARENTS]}, epoch)
            heads = [made.event_id, *heads[MAX_PARENTS:]]
        return heads

    def _write(self, type_: str, body: Mapping[str, Any], epoch: int) -> Opened[Any]:
        return append(self.home, self.member, type_, [body], self.now, epoch=epoch)[0]

    def _why_not(self, type_: str, body: Mapping[str, Any]) -> str:
        """The rule that an event of the graph would break."""
        home, member = self.home, self.member
        handler = home.registry.get(type_)
        assert handler.change is not None
        device = home.store.names.device_number(member.space, member.device)
        seq = home.store.log_end(device)[0] + 1
        ts = home.clock(member.account).tick(self.now)
        event = make_event(handler, ts, member.device, seq, None, body)
        at = member.account, member.space, member.space_id, member.account_id
        draft = Opened(*at, 0, device, _DRAFT, event)
        change = handler.change(draft, member.raw_space_id)
        return self.graph.why_not(Entry(_DRAFT, member.device, seq, ts, body["after"], change))

    def _refuse_revoked(self) -> None:
        member = self.member
        graph = graph_of(self.home, member)
        if self.home.may_write.get((member.account, member.space)) == graph.valid:
            return  # found so a moment ago, and nothing has changed since
        if graph.ledger.revocations(member.device) & graph.valid:
            raise Refused(REVOKED)

    def _renew_key(self, scope: str) -> None:
        member = self.member
        if member.kind == JOINING:
            return
        known = self.home.stale.setdefault((member.account, member.space), {})
        found = known.get(scope)
        if found is None:
            lacks = not scope and lacks_current(self.home, member, self.graph)
            found = (is_stale(self.graph, scope), lacks)
            if self.graph is graph_of(self.home, member):  # else it changes with time
                known[scope] = found
        stale, lacks = found
        if lacks and not stale and self.now - waits_since(self.home, member, self.graph) < KEY_WAIT_MS:
            raise NoKeyYet(WAITS_FOR_KEY)
        if stale or lacks:
            for handler in self.home.registry.handlers:
                if handler.renew is not None:
                    handler.renew(self, scope)

    def view(self, type_: str) -> View:
        """A handler's own tables."""
        return self.home.views[type_]

    def within(self, member: Membership) -> "Context":
        """The same, in another space of an identity."""
        return replace(self, account=member.account, chosen=member)
