"""`quire verify` says exactly what is damaged, and nothing of what is sound."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quire.events import verify as verify_module
from quire.events.home import Home
from quire.events.ingest import ingest
from quire.events.rebuild import rebuild
from quire.events.verify import Damage, Verification, verify
from quire.handlers import message
from tests.handlers.network import Network


@pytest.fixture
def net(tmp_path: Path) -> Network:
    network = Network(tmp_path / "quire.db")
    network.found("alice")
    network.join("alice", "bob")
    message.create_many(network.ctx("alice"), "general", [f"run {n}" for n in range(20)])
    network.send("bob", "general", "alone")
    network.tick(3)
    return network


def found(home: Home) -> list[tuple[str, str]]:
    return [(damage.what, damage.event_id) for damage in verify(home).damage]


def event_of(net: Network, text: str) -> tuple[int, str]:
    (row,) = net.home.store.db.all(
        "SELECT DISTINCT b.n, b.event_id FROM message_rows AS m JOIN blobs AS b ON b.n = m.event WHERE body_text = ?",
        (text,),
    )
    return row[0], row[1]


def test_a_sound_home_is_sound(net: Network) -> None:
    told: list[int] = []
    verification = verify(net.home, told.append)
    blobs = net.home.store.db.one("SELECT count(*) FROM blobs")
    assert blobs is not None
    assert verification.damage == []
    assert verification.damaged == 0
    assert verification.events == blobs[0] == told[-1]
    # A run has one signature; every other event here was written alone.
    assert 0 < verification.signatures < verification.events - 15


@pytest.mark.parametrize("place", [0, 23, 24, 60, -1])
def test_a_flipped_bit_in_a_blob(net: Network, place: int) -> None:
    n, event_id = event_of(net, "run 7")
    (sealed,) = net.home.store.db.one("SELECT sealed FROM blobs WHERE n = ?", (n,)) or (b"",)
    bad = bytearray(sealed)
    bad[place] ^= 1
    net.home.store.db.execute("UPDATE blobs SET sealed = ? WHERE n = ?", (bytes(bad), n))
    verification = verify(net.home)
    assert verification.damage == [Damage("blob", event_id, "cannot be opened: its bytes were altered")]
    assert verification.unproven == 7  # the rest of its run has lost what vouched for it


CHANGES: dict[str, tuple[str, str]] = {
    "another id": ("event_id = iif(event_id LIKE 'A%', 'B', 'A') || substr(event_id, 2)", "blob"),
    "another place": ("seq = seq + 1000", "log"),
    "another time": ("ts = ts + 1", "log"),
    "another's blob": ("sealed = (SELECT sealed FROM blobs ORDER BY n DESC LIMIT 1)", "blob"),
    "an unknown key": ("epoch = 99", "blob"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_row(net: Network, change: str) -> None:
    n, _ = event_of(net, "run 7")
    what, kind = CHANGES[change]
    net.home.store.db.execute(f"UPDATE blobs SET {what} WHERE n = ?", (n,))
    assert kind in [what for what, _ in found(net.home)]


def test_an_event_that_nobody_vouches_for(net: Network) -> None:
    """The signed head of a run is lost, with what it vouched for still marked as genuine."""
    n, _ = event_of(net, "run 19")
    net.home.store.db.execute("DELETE FROM blobs WHERE n = ?", (n,))
    verification = verify(net.home)
    assert ("signature", event_of(net, "run 18")[1]) == (
        verification.damage[0].what,
        verification.damage[0].event_id,
    )
    assert [d.what for d in verification.damage].count("log") == 2  # alice and bob both lack what they hold
    assert verification.unproven == 19


def test_wrong_summaries(net: Network) -> None:
    net.home.store.buckets.count_arrivals()
    net.home.store.db.execute("UPDATE buckets SET count = count + 1 WHERE level = 22")
    assert {what for what, _ in found(net.home)} == {"summary"}
    rebuild(net.home, net.now)
    assert found(net.home) == [], "as the finding says"


def test_a_broken_page(tmp_path: Path, net: Network) -> None:
    net.home.store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    (root,) = net.home.store.db.one("SELECT rootpage FROM sqlite_schema WHERE name = 'blobs_by_log'") or (0,)
    net.home.close()
    path = tmp_path / "quire.db"
    data = bytearray(path.read_bytes())
    data[(root - 1) * 4096 : root * 4096] = bytes(4096)
    path.write_bytes(data)
    damaged = Network(path)
    assert "database" in [what for what, _ in found(damaged.home)]
    damaged.home.close()


def test_the_list_is_bounded_and_the_count_is_not(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_module, "MAX_DAMAGE_LISTED", 3)
    net.home.store.db.execute("UPDATE blobs SET sealed = zeroblob(80)")
    verification = verify(net.home)
    assert len(verification.damage) == 3
    assert verification.damaged >= verification.events > 3


def test_nothing_is_changed_by_looking(net: Network) -> None:
    net.home.store.buckets.count_arrivals()
    tables = [
        name for (name,) in net.home.store.db.all("SELECT name FROM sqlite_schema WHERE type = 'table'")
    ]

    def dump() -> list[Any]:
        return [
            net.home.store.db.all(f"SELECT * FROM {name}") for name in tables if not name.startswith("search")
        ]

    before = dump()
    check: Callable[[Home], Verification] = verify
    check(net.home)
    assert dump() == before


def test_damaged_events_come_back_from_a_peer(tmp_path: Path, net: Network) -> None:
    """Damage, rebuild, sync: what was set aside is taken in again, whole, in its old place."""
    records = [
        net.home.store.names.key_id(row.epoch) + row.sealed
        for row, _ in net.home.store.blobs.held_after(
            net.member("alice").account, net.member("alice").space, 0, 100
        )
    ]
    before = net.texts("alice"), net.texts("bob")
    for text in ("run 3", "run 19", "alone"):
        n, _ = event_of(net, text)
        net.home.store.db.execute("UPDATE blobs SET sealed = zeroblob(length(sealed)) WHERE n = ?", (n,))
    rebuilt = rebuild(net.home, net.now)
    assert rebuilt.set_aside == 6, "three events, held by two identities"
    assert "run 3" not in net.texts("alice")
    assert {what for what, _ in found(net.home)} == {"blob"}, "verify goes on naming what is damaged"
    head = net.home.store.blobs.head(
        net.home.store.names.device_number(net.member("alice").space, net.member("alice").device)
    )
    for name in ("alice", "bob"):
        report = ingest(net.home, net.member(name), records, "a peer", net.now)
        assert (report.valid, report.rejected) == (3, {})
    assert (net.texts("alice"), net.texts("bob")) == before
    assert found(net.home) == []
    net.send("alice", "general", "after all that")
    assert verify(net.home).damaged == 0
    assert net.home.store.db.all("SELECT * FROM forks") == []
    assert head[0] > 0
