"""Homes to measure on, made through the same operations that people use."""

import gc
import os
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from quire.events.context import Context
from quire.events.home import Home
from quire.handlers import REGISTRY, identity, invite, joining, message, space
from quire.runtime.checkpoints import Checkpoints
from quire.runtime.home_key import UNATTENDED, make_vault, open_vault
from quire.runtime.run import COLLECT

BATCH = 1_000


def now() -> int:
    """The wall clock (ms)."""
    return time.time_ns() // 1_000_000


def resident_mb() -> float:
    """Resident memory of this process (MB)."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1_000


def new_home(folder: Path, beside: bool = True) -> Home:
    """An empty home, with checkpoints `beside` the writer and the collector set as in every running node.

    The checkpoints go on until this process ends: whoever closes the home to copy its files wants none.
    """
    gc.set_threshold(*COLLECT)
    folder.mkdir(parents=True)
    home = Home(folder / "quire.db", REGISTRY, os.urandom, make_vault(folder, UNATTENDED))
    if beside:
        Checkpoints(home.store.db).__enter__()
    return home


def founder(folder: Path, beside: bool = True) -> Context:
    """A new home with one identity that founded a space."""
    home = new_home(folder, beside)
    identity.create(Context(home, now()), "alice")
    account = home.store.memberships.accounts()[0]
    space.create(Context(home, now(), account), "bench")
    return inside(home)


def guest(folder: Path, inviter: Context) -> Context:
    """A new home whose identity was let into the inviter's space, and holds nothing of it yet."""
    home = new_home(folder)
    host = Context(inviter.home, now(), inviter.account, inviter.chosen)
    joining.join(Context(home, now()), invite.create(host).link, "bob")
    newcomer = inside(home)
    for request in joining.greet(newcomer, host.member.device):
        for welcome in joining.answer(host, newcomer.member.device, request):
            joining.answer(newcomer, host.member.device, welcome)
    return inside(home)


def reopened(folder: Path) -> Context:
    """A home that is there already."""
    return inside(Home(folder / "quire.db", REGISTRY, os.urandom, open_vault(folder, UNATTENDED)))


def inside(home: Home) -> Context:
    """The first identity of a home in its first space."""
    member = home.store.memberships.all()[0]
    return Context(home, now(), member.account, member)


def fill(ctx: Context, count: int, bodies: list[str]) -> None:
    """Write `count` messages in batches."""
    for start in range(0, count, BATCH):
        batch = [bodies[(start + place) % len(bodies)] for place in range(min(BATCH, count - start))]
        message.create_many(Context(ctx.home, now(), ctx.account, ctx.chosen), "general", batch)


def sealed_batches(ctx: Context, size: int) -> Iterator[list[bytes]]:
    """Everything that an identity holds of others' interest, as `key_id ‖ blob`, in batches of `size`."""

    def records() -> Iterator[bytes]:
        after = 0
        names = ctx.home.store.names
        while page := ctx.home.store.blobs.held_after(ctx.account, ctx.member.space, after, BATCH):
            after = page[-1][0].n
            yield from (names.key_id(row.epoch) + row.sealed for row, _ in page)

    source = records()
    while batch := list(islice(source, size)):
        yield batch
