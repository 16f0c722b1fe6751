"""Secrets and local facts of each identity: its device key, its spaces, their keys, peers' addresses.

Owns: what is known to this home alone and cannot come from events. Must not know: handlers, sync.
"""

from dataclasses import dataclass

from quire.core.encoding import from_text
from quire.core.keys import DeviceKey
from quire.core.sealing import blob_context, key_id
from quire.limits import MAX_ADDRESSES, MAX_ADDRESSES_KEPT
from quire.store.database import Database
from quire.store.names import Names

#: Kinds of membership: `home` is the identity's own log, which never leaves this home.
HOME, FOUNDER, INVITED = "home", "founder", "invited"


@dataclass(frozen=True)
class Membership:
    """One identity in one space, with what it takes to read and write there."""

    account: int
    account_id: str
    space: int
    space_id: str
    name: str
    kind: str
    #: What the identity is called in this home.
    identity_name: str
    device_key: DeviceKey
    #: epoch number → (32-byte key, associated data of its blobs); the last is the current one.
    epochs: dict[int, tuple[bytes, bytes]]

    @property
    def raw_space_id(self) -> bytes:
        """The space's id as 32 bytes."""
        return from_text(self.space_id, 32)

    @property
    def current_epoch(self) -> int:
        """The epoch that new events are sealed under."""
        return next(reversed(self.epochs))


class Memberships:
    """Reads and writes the secret tables; memberships are cached until one changes."""

    def __init__(self, db: Database, names: Names) -> None:
        self._db = db
        self._names = names
        self._cache: dict[tuple[int, int], Membership] = {}
        self._all: list[Membership] | None = None
        db.on_rollback(self._forget)

    def _forget(self) -> None:
        self._cache.clear()
        self._all = None

    def add_account(self, key: DeviceKey) -> int:
        """Keep a new identity's device key; gives the account number."""
        account = self._names.account_number(key.text)
        self._db.execute("INSERT INTO device_keys VALUES (?, ?)", (account, key.seed))
        return account

    def add(self, account: int, space_id: str, space_key: bytes, name: str, kind: str) -> Membership:
        """Keep a space and its first key for an identity."""
        space = self._names.space_number(space_id)
        self._db.execute(
            "INSERT INTO memberships (account, space, name, kind) VALUES (?, ?, ?, ?)",
            (account, space, name, kind),
        )
        epoch = self._names.epoch_number(space, key_id(space_key))
        self._db.execute("INSERT INTO space_keys VALUES (?, ?, ?)", (account, epoch, space_key))
        self._forget()
        return self.get(account, space)

    def device_key(self, account: int) -> DeviceKey:
        """The device key of an identity of this home."""
        row = self._db.one("SELECT seed FROM device_keys WHERE account = ?", (account,))
        if row is None:
            raise KeyError(account)
        return DeviceKey(bytes(row[0]))

    def get(self, account: int, space: int) -> Membership:
        """One identity in one space. Raises KeyError when it is not in it."""
        found = self._cache.get((account, space))
        if found is None:
            row = self._db.one(
                "SELECT name, kind FROM memberships WHERE account = ? AND space = ?", (account, space)
            )
            if row is None:
                raise KeyError((account, space))
            found = self._cache[account, space] = self._load(account, space, row[0], row[1])
        return found

    def _load(self, account: int, space: int, name: str, kind: str) -> Membership:
        space_id = self._names.space_name(space)
        raw = from_text(space_id, 32)
        epochs = {
            epoch: (bytes(key), blob_context(raw, bytes(key_name)))
            for epoch, key, key_name in self._db.all(
                "SELECT k.epoch, k.key, e.key_id FROM space_keys AS k JOIN epochs AS e ON e.n = k.epoch"
                " WHERE k.account = ? AND e.space = ? ORDER BY k.epoch",
                (account, space),
            )
        }
        account_id = self._names.account_name(account)
        row = self._db.one("SELECT name FROM memberships WHERE account = ? AND kind = ?", (account, HOME))
        own_name = str(row[0]) if row else account_id
        key = self.device_key(account)
        return Membership(account, account_id, space, space_id, name, kind, own_name, key, epochs)

    def of_account(self, account: int) -> list[Membership]:
        """An identity's spaces in the order they were joined, its own log left out."""
        rows = self._db.all(
            "SELECT space FROM memberships WHERE account = ? AND kind <> ? ORDER BY space", (account, HOME)
        )
        return [self.get(account, space) for (space,) in rows]

    def home(self, account: int) -> Membership:
        """An identity's own log, which is never synced."""
        row = self._db.one("SELECT space FROM memberships WHERE account = ? AND kind = ?", (account, HOME))
        if row is None:
            raise KeyError(account)
        return self.get(account, row[0])

    def accounts(self) -> list[int]:
        """The identities of this home, oldest first."""
        return [account for (account,) in self._db.all("SELECT account FROM device_keys ORDER BY account")]

    def all(self) -> list[Membership]:
        """Every identity in every space that is synced."""
        if self._all is None:
            self._all = [member for account in self.accounts() for member in self.of_account(account)]
        return self._all

    def mark_invited(self, member: Membership) -> None:
        """Remember that this identity has invited others into this space."""
        self._db.execute(
            "UPDATE memberships SET invited = 1 WHERE account = ? AND space = ?",
            (member.account, member.space),
        )

    def has_invited(self, account: int) -> bool:
        """Whether this identity ever invited anyone."""
        return self._db.one("SELECT 1 FROM memberships WHERE account = ? AND invited", (account,)) is not None

    def remember_address(self, account: int, space: int, device: str, address: str, reached_ts: int) -> None:
        """Note that a device was reached at `address` (`host:port`), or 0 for hearsay (ms)."""
        self._db.execute(
            "INSERT INTO addresses VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET reached_ts = max(reached_ts, excluded.reached_ts)",
            (account, space, device, address, reached_ts),
        )
        self._db.execute(
            "DELETE FROM addresses WHERE account = ?1 AND space = ?2 AND (device, address) IN (SELECT device, address"
            " FROM addresses WHERE account = ?1 AND space = ?2"
            " ORDER BY reached_ts DESC, device, address LIMIT -1 OFFSET ?3)",
            (account, space, MAX_ADDRESSES_KEPT),
        )

    def addresses_of(self, account: int, device: str) -> list[str]:
        """Where a device was reached, in any space that an identity shares with it, the latest first."""
        rows = self._db.all(
            "SELECT address FROM addresses WHERE account = ? AND device = ?"
            " GROUP BY address ORDER BY max(reached_ts) DESC, address LIMIT ?",
            (account, device, MAX_ADDRESSES),
        )
        return [str(address) for (address,) in rows]

    def addresses(self, account: int, space: int, limit: int) -> list[tuple[str, str, int]]:
        """(device, `host:port`, last reached in ms) of a space's devices, the latest reached first."""
        rows = self._db.all(
            "SELECT device, address, reached_ts FROM addresses WHERE account = ? AND space = ?"
            " ORDER BY reached_ts DESC, device, address LIMIT ?",
            (account, space, limit),
        )
        return [(device, address, reached) for device, address, reached in rows]
