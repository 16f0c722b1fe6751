"""Errors of the file in plain words, and transactions that keep everything or nothing."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import apsw
import pytest

from quire.errors import Damaged, HomeError, QuireError
from quire.events.home import Home
from quire.events.rebuild import rebuild
from quire.handlers import REGISTRY
from quire.store.database import Database
from quire.store.store import Store
from tests.events.builders import (
    NOW,
    VAULT,
    Author,
    Space,
    add_holder,
    bodies,
    full_disk,
    give,
    make_home,
    states,
    undone,
    views,
)


def filled(path: Path, messages: int = 200) -> None:
    home, space = make_home(path), Space()
    alice, carol = add_holder(home, space, "alice"), Author(space, "carol")
    give(
        home,
        alice,
        carol.introduce(),
        *carol.says(f"message {number} " + "x" * 100 for number in range(messages)),
    )
    home.search.catch_up()
    home.store.index(alice.account, alice.space).whole()
    home.close()


def use(path: Path) -> None:
    """Open a home, look at everything in it, write."""
    home = Home(path, REGISTRY, os.urandom, VAULT)
    try:
        with home.store.db.plain_errors():
            for member in home.store.memberships.all():
                views(home, member)
                give(home, member, Author(Space(), "new").introduce())
            rebuild(home, NOW)
    finally:
        home.close()


# --- Transactions -------------------------------------------------------------------------------------


def test_inner_transactions_join_the_outer_one() -> None:
    db = Database(":memory:")
    db.execute("CREATE TABLE t (x)")
    forgotten = []
    db.on_rollback(lambda: forgotten.append(1))
    with undone(db):
        db.execute("INSERT INTO t VALUES (1)")
        with db.transaction():
            db.execute("INSERT INTO t VALUES (2)")
        assert db.connection.in_transaction, "the inner end commits nothing"
    assert db.all("SELECT * FROM t") == []
    assert forgotten == [1]
    with db.transaction():
        db.execute("INSERT INTO t VALUES (3)")
    assert db.all("SELECT * FROM t") == [(3,)]
    assert forgotten == [1]
    assert not db.connection.in_transaction


def test_a_keyboard_interrupt_rolls_back_too() -> None:
    db = Database(":memory:")
    db.execute("CREATE TABLE t (x)")

    def interrupted() -> None:
        with db.transaction():
            db.execute("INSERT INTO t VALUES (1)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert db.all("SELECT * FROM t") == []


def test_programmers_mistakes_are_no_home_errors() -> None:
    db = Database(":memory:")
    with pytest.raises(apsw.SQLError), db.transaction():
        db.execute("SELECT * FROM nothing")
    db.execute("SELECT 1")


def test_one_all_insert() -> None:
    db = Database(":memory:")
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, x)")
    assert [db.insert("INSERT INTO t (x) VALUES (?)", (x,)) for x in "ab"] == [1, 2]
    assert db.one("SELECT x FROM t WHERE n = 2") == ("b",)
    assert db.one("SELECT x FROM t WHERE n = 3") is None
    assert db.all("SELECT x FROM t ORDER BY n") == [("a",), ("b",)]


def test_another_writer(tmp_path: Path) -> None:
    filled(tmp_path / "a.db", 3)
    home = make_home(tmp_path / "a.db")
    other = apsw.Connection(str(tmp_path / "a.db"))
    other.execute("BEGIN IMMEDIATE")
    home.store.db.connection.set_busy_timeout(1)
    with pytest.raises(HomeError, match="locked by another program"), home.store.transaction():
        pass
    other.execute("ROLLBACK")
    other.close()
    with home.store.transaction():
        pass
    home.close()


def test_read_only(tmp_path: Path) -> None:
    filled(tmp_path / "a.db", 3)
    db = Database(tmp_path / "a.db", read_only=True)
    assert db.one("SELECT count(*) FROM events") == (8,)
    with pytest.raises(HomeError, match="cannot be read or written"), db.plain_errors():
        db.execute("DELETE FROM blobs")
    db.close()
    with pytest.raises(HomeError, match="cannot be read or written"):
        Database(tmp_path / "missing.db", read_only=True)


# --- Damaged and missing files ------------------------------------------------------------------------


def test_places_where_no_database_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (
        tmp_path / "file" / "quire.db",
        tmp_path,
        tmp_path / "no" / "folder" / "quire.db",
        Path("/proc/quire.db"),
    ):
        with pytest.raises(HomeError, match="cannot be read or written"):
            Store(path, VAULT)


@pytest.mark.parametrize("garbage", [b"garbage" * 1_000, b"SQLite format 3\0" + b"\xff" * 5_000, b"xy"])
def test_garbage(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "quire.db"
    path.write_bytes(garbage)
    with pytest.raises(Damaged, match="damaged"):
        Store(path, VAULT)
    assert path.read_bytes() == garbage, "left as it was, for whoever can read more from it"


def test_truncated_anywhere(tmp_path: Path) -> None:
    """Cut after each page, and within pages: Damaged or HomeError in words, never another exception."""
    filled(tmp_path / "whole.db")
    whole = (tmp_path / "whole.db").read_bytes()
    refused: list[tuple[Path, str]] = []
    sizes = [*range(4_096, len(whole), 4_096)]
    for size in [*sizes[:12], *sizes[12::7], 1, 99, 100, 2_000, len(whole) - 1, len(whole) - 4_095]:
        path = tmp_path / f"{size}.db"
        path.write_bytes(whole[:size])
        try:
            use(path)
        except (Damaged, HomeError) as error:
            refused.append((path, str(error)))
    assert len(refused) > 10
    assert all(str(path) in text for path, text in refused)


@pytest.mark.slow
def test_flipped_bytes(tmp_path: Path) -> None:
    """A byte altered anywhere in the file is told in words, or does no harm to what can still be read."""
    filled(tmp_path / "whole.db", 60)
    whole = (tmp_path / "whole.db").read_bytes()
    refused = 0
    for place in [*range(16, 100, 9), *range(100, 20_000, 777), *range(20_000, len(whole), 4_999)]:
        path = tmp_path / f"{place}.db"
        altered = bytearray(whole)
        altered[place] ^= 0xFF
        path.write_bytes(altered)
        try:
            use(path)
        except QuireError:
            refused += 1
        path.unlink()
    assert refused > 3


# --- A full disk --------------------------------------------------------------------------------------


def test_a_full_disk_keeps_everything_before_and_nothing_of_the_batch(tmp_path: Path) -> None:
    path = tmp_path / "quire.db"
    home, space = make_home(path), Space()
    alice, carol = add_holder(home, space, "alice"), Author(space, "carol")
    give(home, alice, carol.introduce(), *carol.says(["kept", "too"]))
    before, whole = views(home, alice), home.store.index(alice.account, alice.space).whole()
    with full_disk(home.store.db, 2):
        big = carol.says(f"{number} " + "x" * 5_000 for number in range(50))
        for _ in range(2):
            with pytest.raises(HomeError, match="disk is full: nothing of this change was kept"):
                give(home, alice, *big)
            assert views(home, alice) == before
            assert home.store.index(alice.account, alice.space).whole() == whole
            assert not home.store.db.connection.in_transaction
    assert give(home, alice, *big).valid == 50
    assert len(bodies(home, alice)) == 52
    assert len(states(home, alice)) == len(before["states"]) + 50
    home.close()


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs limits on the size of files")
def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """The same with a real failure to write, in a process of its own; the home works again afterwards."""
    filled(tmp_path / "quire.db", 20)
    script = dedent("""
        import os, resource, signal, sys
        from quire.errors import HomeError
        from quire.events.home import Home
        from quire.handlers import REGISTRY
        from tests.events.builders import VAULT, Author, Space, bodies, give
        home = Home(sys.argv[1], REGISTRY, os.urandom, VAULT)
        alice, erin = home.store.memberships.all()[0], Author(Space(), "erin")
        limit = os.path.getsize(sys.argv[1]) + 50_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        give(home, alice, erin.introduce(), erin.say("small"))
        try:
            give(home, alice, *erin.says(f"{n} " + "x" * 5_000 for n in range(100)))
        except HomeError as error:
            print(error)
        print(len(bodies(home, alice)))
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "quire.db")],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert "cannot be read or written" in done.stdout or "disk is full" in done.stdout, done.stdout
    assert done.stdout.splitlines()[-1] == "21"
    home = make_home(tmp_path / "quire.db")
    alice = home.store.memberships.all()[0]
    assert len(bodies(home, alice)) == 21
    erin = Author(Space(), "frank")
    assert give(home, alice, erin.introduce(), erin.say("again")).valid == 2
    home.close()
