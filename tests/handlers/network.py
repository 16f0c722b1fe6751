"""A whole network in one home: identities, a clock, and the tick that runs every handler's jobs."""

from pathlib import Path
from typing import Any

from quire.events.context import Context
from quire.events.home import Home
from quire.events.settle import release_held
from quire.handlers import identity, message, peer, space
from quire.store.memberships import Membership
from tests.events.builders import NOW, bodies, make_home, states


class Network:
    """Identities of one home, by name; each is in at most one space."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        self.home: Home = make_home(path)
        self.now = NOW
        self.addresses: tuple[str, ...] = ()

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

    def found(self, name: str, space_name: str = "garden") -> None:
        self.create(name)
        space.create(self.ctx(name), space_name)

    def link(self, inviter: str) -> str:
        return identity.invite(self.ctx(inviter)).link

    def join(self, inviter: str, name: str) -> identity.Joined:
        return identity.join(self.ctx(), self.link(inviter), name)

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
