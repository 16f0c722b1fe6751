"""A node for tests of the API: a real home in a temporary folder, a clock and sessions under control."""

import asyncio
from hashlib import shake_256
from pathlib import Path
from typing import Any

import msgspec

from quire.api.host import Health, PeerStatus, RelayStatus
from quire.api.operations import call
from quire.core.vault import Vault
from quire.events.context import Context
from quire.events.home import Home
from quire.handlers import REGISTRY, incoming, joining
from quire.limits import INGEST_BATCH

NOW = 1_790_000_000_000
#: What seals the private keys of every home made here.
VAULT = Vault(bytes(range(32)))


class FakeHost:
    """What the API needs of a node, without a network."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._count = 0
        self.home = Home(folder / "quire.db", REGISTRY, self._entropy, VAULT)
        self.time = NOW
        self.own: tuple[str, ...] = ()
        self.sessions: list[PeerStatus] = []
        self.relaying: list[RelayStatus] = []
        self.commits = 0
        self.condition = Health()
        self._wake = asyncio.Event()

    def _entropy(self, size: int) -> bytes:
        self._count += 1
        return shake_256(f"{self._folder.name} {self._count}".encode()).digest(size)

    def now(self) -> int:
        self.time += 1
        return self.time

    def addresses(self) -> tuple[str, ...]:
        return self.own

    def committed(self) -> None:
        self.commits += 1
        self._wake.set()
        self._wake = asyncio.Event()

    def peers(self, account: int, space: int) -> list[PeerStatus]:
        return self.sessions

    def relays(self, account: int, space: int) -> list[RelayStatus]:
        return self.relaying

    def health(self) -> Health:
        return self.condition

    async def changed(self, cursor: int) -> None:
        while self.home.store.blobs.last_cursor() <= cursor:
            await self._wake.wait()

    def ask(self, operation: str, _as: str | None = None, _space: str | None = None, /, **params: Any) -> Any:
        """An operation's result in plain JSON types."""
        return msgspec.to_builtins(call(self, operation, params, _as, _space))

    def context(self, name: str = "") -> Context:
        """Of an identity in its first space; of the first identity when none is named."""
        members = self.home.store.memberships.all()
        member = next(one for one in members if name in ("", one.identity_name))
        return Context(self.home, self.now(), member.account, member, self.own)

    def tick(self, times: int = 3) -> None:
        """Let the identities of this node exchange what they have."""
        for _ in range(times):
            for member in self.home.store.memberships.all():
                for handler in REGISTRY.handlers:
                    for job in handler.jobs:
                        job(Context(self.home, self.now(), member.account, member))
        self.committed()


def give_all(source: FakeHost, target: FakeHost) -> None:
    """Everything that one home's first identity holds in its space, for the other's."""
    giver, taker = source.context().member, target.context().member
    rows = source.home.store.blobs.held_after(giver.account, giver.space, 0, INGEST_BATCH)
    records = [source.home.store.names.key_id(row.epoch) + row.sealed for row, _ in rows]
    incoming.receive(target.home, taker, records, giver.device, target.now())


def let_in(host: FakeHost, newcomer: FakeHost, name: str) -> None:
    """Another home joins by letters, and both hold the same after."""
    newcomer.ask("joinSpace", link=host.ask("createInvite")["link"], name=name)
    here, there = host.context(), newcomer.context()
    for letter in joining.greet(there, here.member.device):
        for reply in joining.answer(here, there.member.device, letter):
            joining.answer(there, here.member.device, reply)
    give_all(host, newcomer)
    give_all(newcomer, host)
