"""Secrets and local facts of each identity: its device key, its spaces, their keys, peers' addresses.

Owns: what is known to this home alone and cannot come from events. Must not know: handlers, sync.
"""

from dataclasses import dataclass
from typing import Any

from quire.core.encoding import from_text
from quire.core.keys import DeviceKey, derive, is_content
from quire.core.sealing import NONCE_BYTES, blob_context, key_id
from quire.core.vault import Vault
from quire.limits import MAX_ADDRESSES, MAX_ADDRESSES_KEPT
from quire.store.database import Database, Row
from quire.store.names import Names

#: Kinds of membership: `home` is the identity's own log, which never leaves this home; who is `joining` has
#: asked to be let in, and holds no key yet.
HOME, FOUNDER, INVITED, JOINING = "home", "founder", "invited", "joining"
#: Doors that are no spaces: devices meet at them to speak by letters, and nothing is synced. `pairing` is open
#: while a further device is linked; at `siblings` the devices of one identity find each other.
PAIRING, SIBLINGS = "pairing", "siblings"
DOORS = (PAIRING, SIBLINGS)
_NO_SPACES = (HOME, *DOORS)


@dataclass(frozen=True)
class Membership:
    """One identity in one space, with what it takes to read and write there.

    `account_id` is the identity's first root key, `device_key` this home's device of it; `link_key` 32 bytes.
    """

    account: int
    account_id: str
    space: int
    space_id: str
    name: str
    kind: str
    #: What the identity is called in this home.
    identity_name: str
    device_key: DeviceKey
    link_key: bytes
    #: epoch number → (32-byte key, associated data of its blobs).
    epochs: dict[int, tuple[bytes, bytes]]
    #: The epochs that new events are sealed under: those of the membership graph under `control`.
    content: int
    control: int
    #: The epochs whose keys are for content, not for the membership graph.
    contents: frozenset[int] = frozenset()
    from_join: bool = False

    @property
    def apart(self) -> frozenset[int]:
        """Epochs of content in a space where newcomers do not get what was written before they came; else none."""
        return self.contents if self.from_join else frozenset()

    @property
    def raw_space_id(self) -> bytes:
        """The space's id as 32 bytes."""
        return from_text(self.space_id, 32)

    @property
    def device(self) -> str:
        """This device's public key: the author of what it writes."""
        return self.device_key.text


class Memberships:
    """Reads and writes the secret tables; memberships are cached until one changes."""

    def __init__(self, db: Database, names: Names, vault: Vault) -> None:
        self._db = db
        self._names = names
        self._vault = vault
        self._cache: dict[tuple[int, int], Membership] = {}
        self._all: list[Membership] | None = None
        self._doors: list[Membership] | None = None
        self._accounts: list[int] | None = None
        self._of_account: dict[int, list[Membership]] = {}
        db.on_rollback(self._forget)

    def _forget(self) -> None:
        self._cache.clear()
        self._of_account.clear()
        self._all = self._doors = self._accounts = None

    def _changed(self) -> None:
        self._db.keep()  # what is forgotten of these no peer can bring back
        self._forget()

    def add_account(
        self, account_id: str, key: DeviceKey, chain: str, nonces: bytes, root: bytes | None = None
    ) -> int:
        """Keep a new identity's device key, its certificates and, where it is here, the entropy of its root.

        `nonces` are 48 fresh random bytes; private keys are sealed by the vault. Gives the account number.
        """
        account = self._names.account_number(account_id)
        seed = self._vault.seal(nonces[:NONCE_BYTES], key.seed, b"device" + key.public)
        sealed = None if root is None else self._vault.seal(nonces[NONCE_BYTES:], root, b"root" + key.public)
        self._db.execute(
            "INSERT INTO device_keys VALUES (?, ?, ?, ?, ?)", (account, key.text, seed, sealed, chain)
        )
        self._changed()
        return account

    def add(self, account: int, space_id: str, link_key: bytes, name: str, kind: str) -> Membership:
        """Note that an identity is in a space, or wants to be; it has no key there yet."""
        space = self._names.space_number(space_id)
        self._db.execute(
            "INSERT INTO memberships (account, space, name, kind, link_key) VALUES (?, ?, ?, ?, ?)",
            (account, space, name, kind, link_key),
        )
        self._changed()
        return self.get(account, space)

    def become(self, account: int, account_id: str) -> None:
        """An identity turns out to be another: a device that had none, or one whose first root key is known now."""
        self._names.rename_account(account, account_id)
        self._changed()

    def set_chain(self, account: int, chain: str) -> None:
        """Keep other certificates of an identity's device, as JSON."""
        self._db.execute("UPDATE device_keys SET chain = ? WHERE account = ?", (chain, account))
        self._changed()

    def set_root(self, account: int, root: bytes, nonce: bytes) -> None:
        """Keep another entropy of an identity's root (32 bytes), sealed with 24 fresh random bytes."""
        public = from_text(str(self._kept(account, "device")), 32)
        sealed = self._vault.seal(nonce, root, b"root" + public)
        self._db.execute("UPDATE device_keys SET root = ? WHERE account = ?", (sealed, account))
        self._changed()

    def remove(self, member: Membership) -> None:
        """Forget a door, and an identity that had no more than this."""
        key = (member.account, member.space)
        self._db.execute("DELETE FROM memberships WHERE account = ? AND space = ?", key)
        self._db.execute("DELETE FROM addresses WHERE account = ? AND space = ?", key)
        if self._db.one("SELECT 1 FROM memberships WHERE account = ?", key[:1]) is None:
            self._db.execute("DELETE FROM device_keys WHERE account = ?", key[:1])
            self._names.remove_account(member.account)
        self._changed()

    def add_key(self, member: Membership, key: bytes, name: str, is_certain: bool = True) -> int:
        """Keep a key for an identity, and the name of the content key it belongs to; its epoch.

        A key that is held already is called by this name from now on if that `is_certain`.
        """
        epoch = self._names.epoch_number(member.space, key_id(key))
        known = "UPDATE SET name = excluded.name" if is_certain else "NOTHING"
        self._db.execute(
            f"INSERT INTO space_keys VALUES (?, ?, ?, ?) ON CONFLICT DO {known}",
            (member.account, epoch, key, name),
        )
        self._changed()
        return epoch

    def key_name(self, member: Membership, epoch: int) -> str:
        """The name of the content key that the key of an epoch belongs to. Raises KeyError when it is not held."""
        row = self._db.one(
            "SELECT name FROM space_keys WHERE account = ? AND epoch = ?", (member.account, epoch)
        )
        if row is None:
            raise KeyError(epoch)
        return str(row[0])

    def keys_called(self, member: Membership, name: str) -> list[bytes]:
        """The keys that are held as the content key of a name, or as derived from it."""
        rows = self._db.all(
            "SELECT key FROM space_keys WHERE account = ? AND name = ? ORDER BY epoch", (member.account, name)
        )
        return [bytes(key) for (key,) in rows]

    def seal_under(self, member: Membership, content: int, control: int) -> Membership:
        """Seal new events under these epochs from now on."""
        self._db.execute(
            "UPDATE memberships SET content = ?, control = ? WHERE account = ? AND space = ?",
            (content, control, member.account, member.space),
        )
        self._changed()
        return self.get(member.account, member.space)

    def set_kind(self, member: Membership, kind: str, name: str) -> Membership:
        """Change what an identity is to a space, and what the space is called."""
        self._db.execute(
            "UPDATE memberships SET kind = ?, name = ? WHERE account = ? AND space = ?",
            (kind, name, member.account, member.space),
        )
        self._changed()
        return self.get(member.account, member.space)

    def set_from_join(self, member: Membership) -> Membership:
        """Note that newcomers to a space do not get what was written before they came."""
        self._db.execute(
            "UPDATE memberships SET from_join = 1 WHERE account = ? AND space = ?",
            (member.account, member.space),
        )
        self._changed()
        return self.get(member.account, member.space)

    def apart(self, account: int, space: int) -> frozenset[int]:
        """Epochs whose content not every member of a space can open, and which are counted apart; mostly none."""
        return self.get(account, space).apart

    def sketch_key(self, account: int, space: int) -> bytes:
        """The key that all members of a space sketch what they hold under."""
        return derive(self.get(account, space).link_key, "quire sketch key")

    def device_key(self, account: int) -> DeviceKey:
        """The device key of an identity of this home. Raises HomeError when the vault is another's."""
        public = from_text(str(self._kept(account, "device")), 32)
        return DeviceKey(self._vault.open(bytes(self._kept(account, "seed")), b"device" + public))

    def chain(self, account: int) -> str:
        """The certificates of an identity's device in this home, as JSON."""
        return str(self._kept(account, "chain"))

    def root(self, account: int) -> bytes | None:
        """The entropy of an identity's root key, where it is in this home (32 bytes)."""
        sealed = self._kept(account, "root")
        public = from_text(str(self._kept(account, "device")), 32)
        return None if sealed is None else self._vault.open(bytes(sealed), b"root" + public)

    def _kept(self, account: int, column: str) -> Any:
        row = self._db.one(f"SELECT {column} FROM device_keys WHERE account = ?", (account,))
        if row is None:
            raise KeyError(account)
        return row[0]

    def get(self, account: int, space: int) -> Membership:
        """One identity in one space. Raises KeyError when it is not in it."""
        found = self._cache.get((account, space))
        if found is None:
            row = self._db.one(
                "SELECT name, kind, link_key, content, control, from_join FROM memberships"
                " WHERE account = ? AND space = ?",
                (account, space),
            )
            if row is None:
                raise KeyError((account, space))
            found = self._cache[account, space] = self._load(account, space, row)
        return found

    def _load(self, account: int, space: int, row: Row) -> Membership:
        name, kind, link_key, content, control, from_join = row
        space_id = self._names.space_name(space)
        raw = from_text(space_id, 32)
        keys = self._db.all(
            "SELECT k.epoch, k.key, e.key_id FROM space_keys AS k JOIN epochs AS e ON e.n = k.epoch"
            " WHERE k.account = ? AND e.space = ? ORDER BY k.epoch",
            (account, space),
        )
        epochs = {epoch: (bytes(key), blob_context(raw, bytes(key_id_))) for epoch, key, key_id_ in keys}
        contents = (epoch for epoch, key, _ in keys if is_content(bytes(key)))
        account_id = self._names.account_name(account)
        own = self._db.one("SELECT name FROM memberships WHERE account = ? AND kind = ?", (account, HOME))
        return Membership(
            account,
            account_id,
            space,
            space_id,
            name,
            kind,
            str(own[0]) if own else account_id,
            self.device_key(account),
            bytes(link_key),
            epochs,
            content,
            control,
            frozenset(contents),
            bool(from_join),
        )

    def of_account(self, account: int) -> list[Membership]:
        """An identity's spaces in the order they were joined, its own log left out."""
        found = self._of_account.get(account)
        if found is None:
            rows = self._db.all(
                "SELECT space FROM memberships WHERE account = ? AND kind NOT IN (?, ?, ?) ORDER BY space",
                (account, *_NO_SPACES),
            )
            found = self._of_account[account] = [self.get(account, space) for (space,) in rows]
        return found

    def doors(self) -> list[Membership]:
        """Every door that is open and is no space, those of devices without an identity among them."""
        if self._doors is None:
            rows = self._db.all(
                "SELECT account, space FROM memberships WHERE kind IN (?, ?) ORDER BY account, space", DOORS
            )
            self._doors = [self.get(account, space) for account, space in rows]
        return self._doors

    def doors_of(self, account: int, kind: str) -> list[Membership]:
        """An identity's doors of one kind."""
        return [door for door in self.doors() if door.account == account and door.kind == kind]

    def home(self, account: int) -> Membership:
        """An identity's own log, which is never synced."""
        row = self._db.one("SELECT space FROM memberships WHERE account = ? AND kind = ?", (account, HOME))
        if row is None:
            raise KeyError(account)
        return self.get(account, row[0])

    def accounts(self) -> list[int]:
        """The identities of this home, oldest first."""
        if self._accounts is None:
            rows = self._db.all("SELECT account FROM memberships WHERE kind = ? ORDER BY account", (HOME,))
            self._accounts = [account for (account,) in rows]
        return self._accounts

    def all(self) -> list[Membership]:
        """Every identity in every space that is synced."""
        if self._all is None:
            rows = self._db.all(
                "SELECT account, space FROM memberships WHERE kind NOT IN (?, ?, ?) ORDER BY account, space",
                _NO_SPACES,
            )
            self._all = [self.get(account, space) for account, space in rows]
        return self._all

    def remember_address(self, account: int, space: int, device: str, address: str, reached_ts: int) -> None:
        """Note that a device was reached at `address` (`host:port`), or 0 for hearsay (ms).

        MAX_ADDRESSES are kept of a device, MAX_ADDRESSES_KEPT of a space: the latest of each device before the others,
        and hearsay last, that of devices which are no members' at the very end: so no device makes the others forgotten
        by being in many places, nor do devices that somebody makes up.
        """
        known = self.knows_address(account, space, device, address)
        self._db.execute(
            "INSERT INTO addresses VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET reached_ts = max(reached_ts, excluded.reached_ts)",
            (account, space, device, address, reached_ts),
        )
        if known:
            return
        self._db.execute(
            "DELETE FROM addresses WHERE account = ?1 AND space = ?2 AND (device, address) IN"
            " (SELECT device, address FROM (SELECT *, row_number() OVER"
            " (ORDER BY place > ?4, reached_ts = 0, reached_ts = 0 AND device NOT IN"
            " (SELECT d.device FROM member_devices AS m JOIN devices AS d ON d.n = m.device"
            " WHERE m.account = ?1 AND m.space = ?2 AND m.standing),"
            " place, reached_ts DESC, device) AS rank FROM"
            " (SELECT *, row_number() OVER (PARTITION BY device ORDER BY reached_ts DESC, address) AS place"
            " FROM addresses WHERE account = ?1 AND space = ?2)) WHERE place > ?4 OR rank > ?3)",
            (account, space, MAX_ADDRESSES_KEPT, MAX_ADDRESSES),
        )

    def knows_address(self, account: int, space: int, device: str, address: str) -> bool:
        """Whether an address of a device is noted already."""
        row = self._db.one(
            "SELECT 1 FROM addresses WHERE account = ? AND space = ? AND device = ? AND address = ?",
            (account, space, device, address),
        )
        return row is not None

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
