"""A whole network in one home: identities, a clock, and the tick that runs every handler's jobs."""

from pathlib import Path
from typing import Any

from quire.core.certificate import invite_key
from quire.core.ticket import decode_link
from quire.events.context import Context
from quire.events.home import Home
from quire.events.ingest import release_held
from quire.handlers import identity, invite, joining, message, peer, space
from quire.store.memberships import Membership
from tests.events.builders import NOW, Author, Invite, Made, Space, bodies, make_home, states


class Network:
    """Identities of one home, by name; each is in at most one space."""

    def __init__(self, path: Path | str = ":memory:", seed: str = "home") -> None:
        self.home: Home = make_home(path, seed=seed)
        self.now = NOW
        self.addresses: tuple[str, ...] = ()
        self._spaces: dict[str, Space] = {}

    def ctx(self, name: str = "") -> Context:
        self.now += 1
        if not name:
            return Context(self.home, self.now, addresses=self.addresses)
        account = identity.account_called(Context(self.home, self.now), name)
        spaces = self.home.store.memberships.of_account(account)
        return Context(self.home, self.now, account, spaces[-1] if spaces else None, self.addresses)

    def member(self, name: str) -> Membership:
        return self.ctx(name).member

    def create(self, *names: str) -> None:
        for name in names:
            identity.create(self.ctx(), name)

    def found(self, name: str, space_name: str = "garden", history: str = space.HISTORY_ALL) -> None:
        self.create(name)
        space.create(self.ctx(name), space_name, history)

    def link(self, inviter: str, **limits: Any) -> str:
        return invite.create(self.ctx(inviter), **limits).link

    def join(self, inviter: str, name: str, **limits: Any) -> joining.Joined:
        return joining.join(self.ctx(), self.link(inviter, **limits), name)

    def space(self, holder: str) -> Space:
        """A holder's space for authors on devices elsewhere: whoever introduces itself is let in by the holder."""
        if holder not in self._spaces:
            member = self.member(holder)
            secret = decode_link(self.link(holder, uses=1_000)).secret
            made = invite.find(self.ctx(holder), invite_key(secret).text)
            assert made is not None
            there = self._spaces[holder] = Space()
            there.id, there.raw_id = member.space_id, member.raw_space_id
            there.key = member.epochs[member.content][0]
            there.founder.key, there.founder.id = member.device_key, member.device
            there.invite = Invite(Made(made.event_id, b"", b""), secret)
            there.opened = made.ts + 1
        return self._spaces[holder]

    def send(self, name: str, target: str, text: str) -> message.Message:
        return message.create(self.ctx(name), target, text)

    def texts(self, name: str, target: str = "general") -> list[str]:
        return [m.body_text for m in message.list_(self.ctx(name), target)]

    def knows(self, name: str) -> list[str]:
        return [known.name for known in peer.list_(self.ctx(name))]

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += 1_000
            for member in self.home.store.memberships.all():
                ctx = Context(self.home, self.now, member.account, member, self.addresses)
                release_held(self.home, member, self.now)
                with self.home.store.transaction():
                    for handler in self.home.registry.handlers:
                        for job in handler.jobs:
                            job(ctx)

    def settle(self) -> None:
        """Tick until nothing new arrives."""
        before = -1
        while before != (before := self.home.store.blobs.last_cursor()):
            self.tick(3)

    def holdings(self, name: str) -> dict[str, str]:
        return states(self.home, self.member(name))

    def shown(self, name: str) -> list[str]:
        return bodies(self.home, self.member(name))

    def sizes(self) -> dict[str, int]:
        """How many rows each table has."""
        tables = self.home.store.db.all(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        )
        return {name: self.rows(f"SELECT count(*) FROM {name}")[0][0] for (name,) in tables}

    def rows(self, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
        return self.home.store.db.all(sql, bindings)


def author_in(net: Network, holder: str, name: str) -> Author:
    """A device elsewhere that writes into a holder's space."""
    author = Author(net.space(holder), name)
    author.ts = net.now
    return author
