"""Numbers for the names that occur in many rows: accounts, spaces, devices and epoch keys.

Owns: the four name tables and their caches. Must not know: what the names stand for.
"""

from typing import Any

from quire.errors import NotFound
from quire.store.database import Database


class Names:
    """Gives each name its number, making one at first sight (`*_number`), and back (`*_name`)."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._numbers: dict[tuple[str, Any], int] = {}
        self._names: dict[tuple[str, int], Any] = {}
        db.on_rollback(self._forget)

    def _forget(self) -> None:
        self._numbers.clear()
        self._names.clear()

    def account_number(self, account_id: str) -> int:
        """The number of an identity of this home, by its public key."""
        return self._number("accounts", "account_id", (account_id,))

    def rename_account(self, number: int, account_id: str) -> None:
        """Identity `number` has another public key from now on."""
        self._db.execute("UPDATE accounts SET account_id = ? WHERE n = ?", (account_id, number))
        self._forget()

    def remove_account(self, number: int) -> None:
        """Forget an identity that nothing refers to any more."""
        self._db.execute("DELETE FROM accounts WHERE n = ?", (number,))
        self._forget()

    def space_number(self, space_id: str) -> int:
        """The number of a space."""
        return self._number("spaces", "space_id", (space_id,))

    def device_number(self, space: int, device: str) -> int:
        """The number of a device's log in a space, by the device's public key."""
        return self._number("devices", "space, device", (space, device))

    def epoch_number(self, space: int, key_id: bytes) -> int:
        """The number of an epoch key of a space, by its 8-byte key id."""
        return self._number("epochs", "space, key_id", (space, key_id))

    def account_name(self, number: int) -> str:
        """The public key of identity `number`."""
        return str(self._name("accounts", "account_id", number))

    def space_name(self, number: int) -> str:
        """The id of space `number`."""
        return str(self._name("spaces", "space_id", number))

    def device_name(self, number: int) -> str:
        """The public key of device `number`."""
        return str(self._name("devices", "device", number))

    def key_id(self, epoch: int) -> bytes:
        """The 8-byte key id of epoch `epoch`."""
        return bytes(self._name("epochs", "key_id", epoch))

    def known_epoch(self, space: int, key_id: bytes) -> int | None:
        """The number of an epoch key that is known here, else None."""
        number = self._numbers.get(("epochs", (space, key_id)))
        if number is not None:
            return number
        row = self._db.one("SELECT n FROM epochs WHERE space = ? AND key_id = ?", (space, key_id))
        return None if row is None else int(row[0])

    def known_device(self, space: int, device: str) -> int | None:
        """The number of a device that has been seen, else None."""
        number = self._numbers.get(("devices", (space, device)))
        if number is not None:
            return number
        row = self._db.one("SELECT n FROM devices WHERE space = ? AND device = ?", (space, device))
        return None if row is None else int(row[0])

    def _number(self, table: str, columns: str, name: tuple[Any, ...]) -> int:
        number = self._numbers.get((table, name))
        if number is None:
            where = " AND ".join(f"{column} = ?" for column in columns.split(", "))
            row = self._db.one(f"SELECT n FROM {table} WHERE {where}", name)
            if row is None:
                marks = ", ".join("?" * len(name))
                number = self._db.insert(f"INSERT INTO {table} ({columns}) VALUES ({marks})", name)
            else:
                number = int(row[0])
            self._numbers[table, name] = number
        return number

    def _name(self, table: str, column: str, number: int) -> Any:
        name = self._names.get((table, number))
        if name is None:
            row = self._db.one(f"SELECT {column} FROM {table} WHERE n = ?", (number,))
            if row is None:
                raise NotFound(f"There is no number {number} in {table}.")
            name = self._names[table, number] = row[0]
        return name
