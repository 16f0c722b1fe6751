import random
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from tests.cli.conftest import Quire


def _overwrite(path: Path, table: str, fill: Callable[[int], bytes]) -> None:
    """Put so many other bytes in the place of a table's first page."""
    database = apsw.Connection(str(path))
    ((page,),) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,))
    ((size,),) = database.execute("PRAGMA page_size")
    database.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(fill(size))


@pytest.mark.parametrize("start", [0, 100])
def test_verify_of_what_does_not_open_tells_the_ways_out(alice: Quire, tmp_path: Path, start: int) -> None:
    path = tmp_path / "home" / "quire.db"
    with path.open("r+b") as file:
        file.seek(start)
        file.write(random.Random(7).randbytes(3_000))
    assert "run `quire verify`" in alice("messages", "general").err
    told = alice("verify")
    assert (told.code, told.out) == (1, "")
    assert f"{path} is damaged" in told.err
    assert "`quire verify`" not in told.err
    for way in ("a backup", "`quire device link`", "`quire identity recover LINK`", "comes back by sync"):
        assert way in told.err


@pytest.mark.parametrize("table", ["accounts", "spaces", "memberships"])
def test_damage_that_is_met_before_a_command_begins_is_told_as_such(
    alice: Quire, tmp_path: Path, table: str
) -> None:
    path = tmp_path / "home" / "quire.db"
    _overwrite(path, table, random.Random(7).randbytes)
    for command in ("messages general", "verify", "status", "peers"):
        told = alice(*command.split())
        assert (told.code, f"{path} is damaged" in told.err) == (1, True), (command, told)


def test_a_database_that_is_gone_too(alice: Quire, tmp_path: Path) -> None:
    (tmp_path / "home" / "quire.db").unlink()
    told = alice("verify")
    assert told.code == 1
    assert "`quire device join LINK`" in told.err


def test_a_damaged_key_is_another_matter(alice: Quire, tmp_path: Path) -> None:
    (tmp_path / "home" / "home.key").write_bytes(b"nothing")
    told = alice("verify")
    assert told.code == 1
    assert "`quire device link`" not in told.err


def test_damage_in_a_database_that_opens_comes_with_what_to_do(alice: Quire, tmp_path: Path) -> None:
    alice("send", "general", "x")
    database = apsw.Connection(str(tmp_path / "home" / "quire.db"))
    database.execute("UPDATE blobs SET sealed = zeroblob(length(sealed)) WHERE n = 5")
    database.close()
    told = alice("verify")
    assert (told.code, told.err) == (
        1,
        "`quire rebuild` sets damaged events aside: they come back by sync from whoever has them whole.\n",
    )
    _overwrite(tmp_path / "home" / "quire.db", "rejections", bytes)
    told = alice("verify")
    assert told.code == 1
    assert "database" in told.out
    assert "If `quire rebuild` does not mend it" in told.err
