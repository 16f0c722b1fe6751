"""Authors whose every byte is under control, homes with a counted entropy, and what an identity sees."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import shake_256
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from quire.core import canonical
from quire.core.encoding import to_text
from quire.core.event import event_id
from quire.core.keys import DeviceKey
from quire.core.sealing import blob_context, key_id, seal
from quire.events.handler import Handler, Registry
from quire.events.home import Home
from quire.events.ingest import ingest
from quire.events.settle import Report
from quire.handlers import REGISTRY
from quire.store.database import Database
from quire.store.memberships import INVITED, Membership

NOW = 1_790_000_000_000
SECOND = 1_000
MINUTE = 60 * SECOND
_nonces = count()


def digest(text: str, size: int = 32) -> bytes:
    return shake_256(text.encode()).digest(size)


class Made(NamedTuple):
    """An event as it travels."""

    event_id: str
    data: bytes
    sealed: bytes


class Space:
    """A space's id and key, and what it takes to seal for it."""

    def __init__(self, name: str = "garden") -> None:
        self.name = name
        self.raw_id = digest(f"space {name}")
        self.id = to_text(self.raw_id)
        self.key = digest(f"key {name}")

    def seal(self, data: bytes) -> bytes:
        name = key_id(self.key)
        return name + seal(
            self.key, digest(f"nonce {next(_nonces)}", 24), data, blob_context(self.raw_id, name)
        )

    def made(self, data: bytes) -> Made:
        return Made(event_id(data), data, self.seal(data))


class Author:
    """A device and its log in one space; every field of what it writes can be chosen."""

    def __init__(self, space: Space, name: str) -> None:
        self.space = space
        self.name = name
        self.key = DeviceKey(digest(f"device {name}"))
        self.id = self.key.text
        self.seq = 0
        self.prev: str | None = None
        self.ts = NOW

    def draft(self, type_: str, body: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        """The next event of this log as a dictionary, without `sig`."""
        header = {
            "type": type_,
            "v": 1,
            "ts": self.ts,
            "author": self.id,
            "seq": self.seq + 1,
            "prev": self.prev,
        }
        return {**header, **body, **fields}

    def signed(self, draft: Mapping[str, Any], space: Space | None = None) -> bytes:
        signature = self.key.sign(
            b"quire event 1\0" + (space or self.space).raw_id + canonical.encode(dict(draft))
        )
        return canonical.encode({**draft, "sig": to_text(signature)})

    def write(self, type_: str, body: Mapping[str, Any], *, sign: bool = True, **fields: Any) -> Made:
        """Append one event to the log."""
        draft = self.draft(type_, body, **fields)
        made = self.space.made(self.signed(draft) if sign else canonical.encode(draft))
        self.seq, self.prev = draft["seq"], made.event_id
        self.ts += 1
        return made

    def run(self, type_: str, bodies: Sequence[Mapping[str, Any]]) -> list[Made]:
        """Append events under one signature, the last one's."""
        return [self.write(type_, body, sign=body is bodies[-1]) for body in bodies]

    def introduce(self, *, sign: bool = True) -> Made:
        return self.write("peer", {"pubkey": self.id, "name": self.name}, sign=sign)

    def say(self, text: str, *, sign: bool = True, **fields: Any) -> Made:
        return self.write("message", {"body": text, "channel": "general"}, sign=sign, **fields)

    def says(self, texts: Iterable[str]) -> list[Made]:
        return self.run("message", [{"body": text, "channel": "general"} for text in texts])


def make_home(path: Path | str = ":memory:", registry: Registry = REGISTRY, seed: str = "home") -> Home:
    numbers = count()
    return Home(path, registry, lambda size: digest(f"{seed} {path} {next(numbers)}", size))


def registry_with(*handlers: Handler) -> Registry:
    return Registry((*REGISTRY.handlers, *handlers))


def add_holder(home: Home, space: Space, name: str) -> Membership:
    """An identity of this home in the space, which holds nothing yet; its key is `Author(space, name)`'s."""
    with home.store.transaction():
        account = home.store.memberships.add_account(DeviceKey(digest(f"device {name}")))
        return home.store.memberships.add(account, space.id, space.key, space.name, INVITED)


def give(home: Home, member: Membership, *made: Made, now: int = NOW) -> Report:
    """One batch for one identity."""
    return ingest(home, member, [one.sealed for one in made], "a peer", now)


def give_one_by_one(home: Home, member: Membership, *made: Made, now: int = NOW) -> None:
    for one in made:
        give(home, member, one, now=now)


def states(home: Home, member: Membership) -> dict[str, str]:
    """Event id → state of everything an identity holds."""
    rows = home.store.db.all(
        "SELECT event_id, state FROM events WHERE account_id = ? AND space_id = ?",
        (member.account_id, member.space_id),
    )
    assert len(rows) == len(dict(rows)), "held twice"
    return dict(rows)


class Undone(Exception):
    """Something fails before the commit."""


@contextmanager
def undone(db: Database) -> Iterator[None]:
    """A transaction that is rolled back at its end."""
    with suppress(Undone), db.transaction():
        yield
        raise Undone


def state_of(home: Home, member: Membership, made: Made) -> str | None:
    return states(home, member).get(made.event_id)


def bodies(home: Home, member: Membership) -> list[str]:
    """The texts an identity is shown, sorted."""
    return sorted(
        body
        for (body,) in home.store.db.all(
            "SELECT body_text FROM message_index WHERE account_id = ? AND space_id = ?",
            (member.account_id, member.space_id),
        )
    )


def rejected(home: Home, member: Membership) -> dict[str, int]:
    found: dict[str, int] = {}
    for _, reason, number, _ in home.store.rejections.of(member.account):
        found[reason] = found.get(reason, 0) + number
    return found


def waits(home: Home, member: Membership) -> list[tuple[str, str]]:
    """(need, event id) of everything that waits."""
    return home.store.db.all(
        "SELECT w.need, b.event_id FROM blocked AS w JOIN blobs AS b ON b.n = w.event"
        " WHERE w.account = ? AND w.space = ? ORDER BY w.need, b.event_id",
        (member.account, member.space),
    )


#: Local numbers in views, by column, and the names they stand for; `n` is a row's own number.
_NAMED = {
    "account": "SELECT account_id FROM accounts WHERE n = ?",
    "space": "SELECT space_id FROM spaces WHERE n = ?",
    "event": "SELECT event_id FROM blobs WHERE n = ?",
    "sender": "SELECT device FROM devices WHERE n = ?",
    "channel": "SELECT channel_id FROM channel_rows WHERE n = ?",
}


def table_rows(home: Home, member: Membership, table: str) -> list[tuple[Any, ...]]:
    """One identity's rows of a handler's table, with names where the table has local numbers."""
    cursor = home.store.db.execute(f"SELECT * FROM {table} WHERE account = ?", (member.account,))
    columns = [name for name, *_ in home.store.db.all("SELECT name FROM pragma_table_info(?)", (table,))]
    rows = []
    for row in cursor:
        named = []
        for column, value in zip(columns, row, strict=True):
            if column in _NAMED and value is not None:
                found = home.store.db.one(_NAMED[column], (value,))
                assert found is not None, (table, column, value)
                value = found[0]
            if column != "n":
                named.append((column, value))
        rows.append(tuple(named))
    return sorted(rows, key=repr)


def views(home: Home, member: Membership) -> dict[str, Any]:
    """Everything that handlers made of what an identity holds, free of local numbering."""
    seen: dict[str, Any] = {
        table: table_rows(home, member, table)
        for handler in home.registry.handlers
        if not handler.local
        for table in handler.tables
    }
    for relation in ("message_index", "auth_graph"):
        seen[relation] = sorted(
            home.store.db.all(f"SELECT * FROM {relation} WHERE account_id = ?", (member.account_id,)),
            key=repr,
        )
    seen["states"] = states(home, member)
    seen["waits"] = waits(home, member)
    return seen
