"""What operators type: figures, copies and space of a store, also while a relay runs."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from quire.net.relay_wire import Record
from quire.relay.log_store import Retention
from quire.relay.sqlite_log import SqliteLog
from quire.runtime.relay_config import RelayConfig
from quire.runtime.relay_server import RunningRelay, serve_relay
from tests.cli.conftest import Quire

DEVICE, MAILBOX = bytes(32), b"m" * 32


async def _fill(path: Path, prune: bool = False) -> None:
    store = SqliteLog(path)
    for local in range(1, 60):
        await store.append(MAILBOX, DEVICE, [Record(local, local, "private", bytes(100_000))], local)
    if prune:
        await store.prune(Retention(size=500_000), 100)
    await store.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningRelay]:
    """A relay in a thread of its own, over a store with something in it."""
    path = tmp_path / "relay.db"
    asyncio.run(_fill(path))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    config = RelayConfig(listen="127.0.0.1:0", store=f"sqlite:{path}")
    relay = asyncio.run_coroutine_threadsafe(serve_relay(config, new_key=True), loop).result(60)
    try:
        yield relay
    finally:
        asyncio.run_coroutine_threadsafe(relay.close(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_figures_of_a_store_and_of_a_running_relay(
    quire: Quire, tmp_path: Path, running: RunningRelay
) -> None:
    of_store = quire("relay", "stats", f"sqlite:{tmp_path / 'relay.db'}", "--json").json()
    assert (of_store["held"]["records"], of_store["held"]["mailboxes"]) == (59, 1)
    of_relay = quire("relay", "stats", running.url, "--json").json()
    assert of_relay["status"] == "ok"
    assert of_relay["held"]["records"] == 59
    shown = quire("relay", "stats", running.url)
    assert (shown.code, "held records" in shown.out) == (0, True)
    other = quire("relay", "stats", running.url[:-4] + "AAAA")
    assert (other.code, "another key than this address" in other.err) == (2, True)
    assert running.url.partition("#")[2] in other.err


def test_a_copy_of_a_store_that_is_in_use_is_a_store(
    quire: Quire, tmp_path: Path, running: RunningRelay
) -> None:
    copy = tmp_path / "copy.db"
    store = f"sqlite:{tmp_path / 'relay.db'}"
    done = quire("relay", "backup", str(copy), "--store", store)
    assert done.code == 0
    assert "key" in done.err
    assert copy.stat().st_mode & 0o777 == 0o600

    async def opened() -> int:
        log = SqliteLog(copy)
        part = await log.read(MAILBOX, 0, 1_000, 10**9)
        await log.close()
        return len(part.records)

    assert asyncio.run(opened()) == 59
    (tmp_path / "link.db").symlink_to(tmp_path / "none.db")
    for name in ("relay.db", "relay.db.key", "relay.db-wal", "relay.db.lock", "copy.db", "link.db"):
        before = (tmp_path / name).read_bytes() if name != "link.db" else b""
        refused = quire("relay", "backup", str(tmp_path / name), "--store", store)
        assert (refused.code, "there already, and a copy replaces nothing" in refused.err) == (1, True)
        assert name == "link.db" or (tmp_path / name).read_bytes() == before
    refused = quire("relay", "backup", str(tmp_path / "none" / "copy.db"), "--store", store)
    assert (refused.code, "could not be written" in refused.err) == (1, True)


def _overwrite(path: Path, pages: range) -> None:
    with path.open("r+b") as file:
        for page in pages:
            file.seek(4_096 * page)
            file.write(b"\xff" * 4_096)


def test_of_a_damaged_store_no_copy_is_kept(quire: Quire, tmp_path: Path) -> None:
    path, copy = tmp_path / "relay.db", tmp_path / "copy.db"
    asyncio.run(_fill(path))
    _overwrite(path, range(500, 510))
    done = quire("relay", "backup", str(copy), "--store", f"sqlite:{path}")
    assert done.code == 1
    assert f"The relay's store {path} is damaged: its copy is not whole" in done.err
    assert done.out == ""
    assert not [*tmp_path.glob("copy*")]
    before = path.read_bytes()
    compacted = quire("relay", "compact", "--store", f"sqlite:{path}")
    assert (compacted.code, "and was left as it is" in compacted.err, compacted.out) == (1, True, "")
    assert path.read_bytes() == before


def test_figures_that_are_damaged_are_none(quire: Quire, tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    asyncio.run(_fill(path))
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'totals'").fetchone()
    _overwrite(path, range(page - 1, page))
    done = quire("relay", "stats", f"sqlite:{path}")
    assert (done.code, "is damaged" in done.err, done.out) == (1, True, "")


def test_over_a_store_that_was_served_no_other_key_is_used(quire: Quire, tmp_path: Path) -> None:
    async def served() -> None:
        await (
            await serve_relay(RelayConfig(listen="127.0.0.1:0", store=f"sqlite:{tmp_path / 'relay.db'}"))
        ).close()

    asyncio.run(served())
    key = tmp_path / "relay.db.key"
    key.rename(tmp_path / "relay.db.k")
    words = ("relay", "serve", "--listen", "127.0.0.1:0", "--store", f"sqlite:{tmp_path / 'relay.db'}")
    refused = quire(*words)
    assert (refused.code, f"There is no key {key}" in refused.err) == (1, True)
    assert "--new-key" in refused.err
    assert not key.exists()


def test_space_is_given_back(quire: Quire, tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    asyncio.run(_fill(path, prune=True))
    size = path.stat().st_size
    done = quire("relay", "compact", "--store", f"sqlite:{path}", "--json")
    assert done.code == 0
    assert path.stat().st_size == size - done.json()["freed"] < 1_000_000


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("serve", "--store", "postgres://x"), 2, "is no store"),
        (("serve", "--listen", "here"), 2, "is no address"),
        (("serve", "--keep-days", "long"), 2, "A setting in the options"),
        (("serve", "--config", "none.toml"), 2, "cannot be read"),
        (("stats", "sqlite:none.db"), 1, "There is no relay's store"),
        (("stats", "ws://127.0.0.1:1"), 1, "does not answer: Connection refused. Does it run there?"),
        (("stats", "ws://127.0.0.1:99999"), 2, "has no port"),
        (("backup", "copy.db", "--store", "nats://127.0.0.1"), 2, "NATS's own tools"),
        (("compact", "--store", "sqlite:none.db"), 1, "There is no relay's store"),
    ],
)
def test_mistakes_are_told_in_plain_words(
    quire: Quire,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: int,
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = quire("relay", *words)
    assert done.code == code
    assert text in done.err
    assert done.err.startswith("quire: ")
    assert not [*tmp_path.glob("*.db")]


def test_another_database_is_left_alone(quire: Quire, tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("my notes")
    for word in ("stats", "compact"):
        words = [word, f"sqlite:{path}"] if word == "stats" else [word, "--store", f"sqlite:{path}"]
        assert quire("relay", *words).code == 1
    assert path.read_text() == "my notes"
