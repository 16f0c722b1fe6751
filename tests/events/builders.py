"""Authors whose every byte is under control, homes with a counted entropy, and what an identity sees."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import shake_256
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from quire.core import canonical
from quire.core.certificate import Certificate, certify, consent, invite_key, prove_inviter
from quire.core.encoding import from_text, to_text
from quire.core.event import event_id
from quire.core.keys import KEY_BYTES, DeviceKey, as_content
from quire.core.phrase import root_key
from quire.core.sealing import blob_context, key_id, seal
from quire.core.vault import Vault
from quire.core.wrapping import WrapKey, wrap
from quire.events.handler import Handler, Registry
from quire.events.home import Home
from quire.events.ingest import ingest
from quire.events.keyring import control_key, name_of, wrap_context
from quire.events.settle import Report
from quire.handlers import REGISTRY
from quire.handlers.admit import signed
from quire.handlers.space import HISTORY_ALL, space_id_of
from quire.limits import MAX_INTEGER, MAX_INVITE_USES
from quire.store.database import Database
from quire.store.memberships import INVITED, Membership

NOW = 1_790_000_000_000
SECOND = 1_000
MINUTE = 60 * SECOND
#: When the spaces of tests were founded.
FOUNDED = NOW - 60 * MINUTE
#: Types of the events that make up the membership graph.
GRAPH_TYPES = frozenset(handler.type for handler in REGISTRY.handlers if handler.change is not None)
_nonces = count()


def digest(text: str, size: int = 32) -> bytes:
    """Bytes of a text; 32 of them may serve as anything, as a key for content too."""
    found = shake_256(text.encode()).digest(size)
    return as_content(found) if size == KEY_BYTES else found


#: What seals the private keys of every home made here.
VAULT = Vault(digest("home key"))


def _root(name: str) -> DeviceKey:
    return root_key(digest(f"root {name}"))


class Made(NamedTuple):
    """An event as it travels."""

    event_id: str
    data: bytes
    sealed: bytes


class Invite(NamedTuple):
    """An invite's event, and the secret that its link would hold."""

    event: Made
    secret: bytes

    @property
    def public(self) -> str:
        return invite_key(self.secret).text


def invite_keys(secret: bytes, space_id: str, device: str) -> dict[str, str]:
    """What an invite says of its secret, made by a device in a space."""
    return {"public": invite_key(secret).text, "proof": prove_inviter(secret, space_id, device)}


class Space:
    """A space whose every key is known: its founder, the founding events, and what it takes to seal for it.

    One space of a name is like another; what its founder writes later is each object's own.
    """

    def __init__(self, name: str = "garden", history: str = HISTORY_ALL) -> None:
        self.name = name
        root, self.salt = _root(f"founder of {name}"), to_text(digest(f"salt {name}", 16))
        self.id = space_id_of(root.text, self.salt, history)
        self.raw_id = from_text(self.id, 32)
        self.link_key = digest(f"link {name}")
        self.key = digest(f"key {name}")
        self.founder = Author(self, f"founder of {name}")
        self.founder.ts = FOUNDED
        body = {"name": name, "salt": self.salt, "history": history, **self.founder.introduction()}
        self.found = self.founder.act("space", body)
        self.first_key = self.founder.act("key", self.new_key(self.key, [self.founder]), self.found)
        self.invite = self.founder.invite()
        #: When people are let in.
        self.opened = FOUNDED + SECOND
        #: What everyone who is in the space holds.
        self.founding = [self.found, self.first_key, self.invite.event]

    def seal(self, data: bytes, key: bytes = b"") -> bytes:
        """`key_id ‖ blob` under the space's content key, or another one."""
        key = key or self.key
        name = key_id(key)
        return name + seal(key, digest(f"nonce {next(_nonces)}", 24), data, blob_context(self.raw_id, name))

    def made(self, data: bytes, key: bytes = b"") -> Made:
        return Made(event_id(data), data, self.seal(data, key))

    def wrapped(self, content: bytes, holders: Sequence["Author"]) -> dict[str, Any]:
        """A content key in its wrappings, as key events and shares have it."""
        name = name_of(content)
        public, boxes = wrap(
            content,
            [WrapKey(holder.key.seed).public for holder in holders],
            digest(f"ephemeral {name}"),
            wrap_context(self.raw_id, name),
        )
        boxed = {holder.id: to_text(box) for holder, box in zip(holders, boxes, strict=True)}
        return {"name": name, "ephemeral": to_text(public), "boxes": boxed}

    def new_key(
        self, content: bytes, holders: Sequence["Author"], generation: int = 1, before: Sequence[Made] = ()
    ) -> dict[str, Any]:
        """The fields of a key event."""
        named = [one.event_id for one in before]
        fields = {"scope": "", "generation": generation, "before": named, "older": []}
        return {**fields, **self.wrapped(content, holders)}


class Author:
    """A person's device and its log in one space; every field of what it writes can be chosen."""

    def __init__(self, space: Space, name: str) -> None:
        self.space = space
        self.name = name
        self.root = _root(name)
        #: The identity's root key: who people mean.
        self.identity = self.root.text
        self.key = DeviceKey(digest(f"device {name}"))
        #: The device's key: the `author` of what it writes.
        self.id = self.key.text
        self.seq = 0
        self.prev: str | None = None
        self.ts = NOW

    @property
    def wrap(self) -> str:
        return to_text(WrapKey(self.key.seed).public)

    def introduction(self) -> dict[str, Any]:
        """The fields by which a device shows whose it is."""
        chain = [msgspec.to_builtins(certify(self.root, self.identity, self.id, self.wrap))]
        agreed = consent(self.key, self.identity, self.wrap)
        return {"identity": self.identity, "wrap": self.wrap, "chain": chain, "consent": agreed}

    def request(self, invite: Invite | None = None, **fields: Any) -> dict[str, Any]:
        """What this device says when it asks to be let in; it signs the name and the place that are given."""
        invite, shown = invite or self.space.invite, self.introduction()
        name, seq = fields.get("name", self.name), max(0, fields.get("seq", 0))
        chain = msgspec.convert(shown["chain"], list[Certificate])
        asked = signed(self.key, chain, self.identity, self.space.id, invite.secret, name, seq)
        return {**msgspec.to_builtins(asked), **fields}

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

    def write(
        self, type_: str, body: Mapping[str, Any], *, sign: bool = True, under: bytes = b"", **fields: Any
    ) -> Made:
        """Append one event to the log, sealed under the key of its kind (or that of the content key `under`)."""
        draft = self.draft(type_, body, **fields)
        content = under or self.space.key
        key = control_key(content) if type_ in GRAPH_TYPES else content
        made = self.space.made(self.signed(draft) if sign else canonical.encode(draft), key)
        self.seq, self.prev = draft["seq"], made.event_id
        self.ts += 1
        return made

    def act(self, type_: str, body: Mapping[str, Any], *after: Made, **fields: Any) -> Made:
        """Append an event of the membership graph that builds on others."""
        return self.write(type_, {"after": [one.event_id for one in after], **body}, **fields)

    def run(self, type_: str, bodies: Sequence[Mapping[str, Any]]) -> list[Made]:
        """Append events under one signature, the last one's."""
        return [self.write(type_, body, sign=body is bodies[-1]) for body in bodies]

    def introduce(self, ts: int = 0, invite: Invite | None = None) -> Made:
        """The one event that makes this device known: the founder lets it in.

        It depends on the invite alone. It stands at a place of the founder's log that nothing else takes.
        """
        founder, invite, ts = self.space.founder, invite or self.space.invite, ts or self.space.opened
        place = 1_000 + int.from_bytes(digest(f"place {self.name} {ts} {invite.public}", 4))
        body = {
            "after": [invite.event.event_id],
            "invite": invite.event.event_id,
            "request": self.request(invite),
        }
        draft = founder.draft("admit", body, seq=place, prev=to_text(digest(f"before {place}")), ts=ts)
        return self.space.made(founder.signed(draft), control_key(self.space.key))

    def invite(self, role: str = "member", uses: int = MAX_INVITE_USES, **fields: Any) -> Invite:
        """An invite, which builds on the founding (or on `after`)."""
        secret = digest(f"secret {self.name} {self.seq}")
        body = {
            "after": [self.space.first_key.event_id],
            **invite_keys(secret, self.space.id, self.id),
            "role": role,
            "uses": uses,
            "expires": MAX_INTEGER,
            "approve": False,
        }
        return Invite(self.write("invite", {**body, **fields}), secret)

    def is_called(self, name: str = "", *, sign: bool = True) -> Made:
        """The device says what its person is called."""
        return self.write("peer", {"pubkey": self.identity, "name": name or self.name}, sign=sign)

    def say(self, text: str, *, sign: bool = True, **fields: Any) -> Made:
        return self.write("message", {"body": text, "channel": "general"}, sign=sign, **fields)

    def says(self, texts: Iterable[str]) -> list[Made]:
        return self.run("message", [{"body": text, "channel": "general"} for text in texts])


def make_home(path: Path | str = ":memory:", registry: Registry = REGISTRY, seed: str = "") -> Home:
    """A home whose entropy is counted, beginning with `seed`: by default its path."""
    numbers, first = count(), seed or f"home {path}"
    return Home(path, registry, lambda size: digest(f"{first} {next(numbers)}", size), VAULT)


def registry_with(*handlers: Handler) -> Registry:
    return Registry((*REGISTRY.handlers, *handlers))


def add_holder(home: Home, space: Space, name: str, let_in: bool = True) -> Membership:
    """An identity of this home in the space: it holds the keys, the founding and its own admission.

    Its keys are `Author(space, name)`'s. Without `let_in` it has the keys alone, and knows of nothing.
    """
    author, memberships = Author(space, name), home.store.memberships
    with home.store.transaction():
        chain = msgspec.json.encode(author.introduction()["chain"]).decode()
        nonces = digest(f"nonces {name}", 48)
        account = memberships.add_account(author.identity, author.key, chain, nonces, digest(f"root {name}"))
        member = memberships.add(account, space.id, space.link_key, space.name, INVITED)
        keys, called = (space.key, control_key(space.key)), name_of(space.key)
        epochs = [memberships.add_key(member, key, called) for key in keys]
        member = memberships.seal_under(member, *epochs)
    if let_in:
        give(home, member, *space.founding, author.introduce())
    return memberships.get(member.account, member.space)


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


@contextmanager
def full_disk(db: Database, pages: int = 0) -> Iterator[None]:
    """A database whose file may grow by so many pages and no more, as on a full disk."""
    (size,) = db.all("PRAGMA page_count")[0]
    db.execute(f"PRAGMA max_page_count = {size + pages}").fetchall()
    try:
        yield
    finally:
        db.execute("PRAGMA max_page_count = 1000000").fetchall()


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
    "author": "SELECT device FROM devices WHERE n = ?",
    "device": "SELECT device FROM devices WHERE n = ?",
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
            if column in _NAMED and isinstance(value, int):
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
    for table in ("members", "member_devices", "hidden"):
        seen[table] = table_rows(home, member, table)
    for relation in ("message_index", "auth_graph"):
        seen[relation] = sorted(
            home.store.db.all(f"SELECT * FROM {relation} WHERE account_id = ?", (member.account_id,)),
            key=repr,
        )
    now = home.store.memberships.get(member.account, member.space)
    seen["keys"] = sorted(key for key, _ in now.epochs.values())
    seen["sealing"] = [now.epochs[epoch][0] for epoch in (now.content, now.control)]
    seen["states"] = states(home, member)
    seen["locked"] = home.store.locked.count(member.account, member.space)
    seen["waits"] = waits(home, member)
    return seen
