"""A node for tests of the API: a real home in a temporary folder, a clock and sessions under control."""

import asyncio
from hashlib import shake_256
from pathlib import Path
from typing import Any

import msgspec

from quire.api.host import Health, PeerStatus
from quire.api.operations import call
from quire.events.context import Context
from quire.events.home import Home
from quire.handlers import REGISTRY

NOW = 1_790_000_000_000


class FakeHost:
    """What the API needs of a node, without a network."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._count = 0
        self.home = Home(folder / "quire.db", REGISTRY, self._entropy)
        self.time = NOW
        self.own: tuple[str, ...] = ()
        self.sessions: list[PeerStatus] = []
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

    def health(self) -> Health:
        return self.condition

    async def changed(self, cursor: int) -> None:
        while self.home.store.blobs.last_cursor() <= cursor:
            await self._wake.wait()

    def ask(self, operation: str, _as: str | None = None, _space: str | None = None, /, **params: Any) -> Any:
        """An operation's result in plain JSON types."""
        return msgspec.to_builtins(call(self, operation, params, _as, _space))

    def tick(self, times: int = 3) -> None:
        """Let the identities of this node exchange what they have."""
        for _ in range(times):
            for member in self.home.store.memberships.all():
                for handler in REGISTRY.handlers:
                    for job in handler.jobs:
                        job(Context(self.home, self.now(), member.account, member))
        self.committed()
