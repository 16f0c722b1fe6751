"""Full disks, disks that cannot be written, and damaged databases."""

import os
import resource
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest

from quire.errors import Damaged, HomeError
from tests.process.crash import examine, examine_whole
from tests.process.harness import Lab, Person, fails, run_quire, wait_until
from tests.process.small_disk import SmallDisk

MIB = 1 << 20


@pytest.fixture
def lab_on_disk(disk: SmallDisk, lab: Lab) -> Lab:
    """The lab, whose processes are stopped before the disk goes away."""
    return lab


def _write_until_full(person: Person, promised: set[str]) -> str:
    """Write until it fails; what the failure says."""
    for number in range(10_000):
        try:
            texts = [f"{number} {n} " + "f" * 900 for n in range(20)]
            promised |= set(person.ask("sendMessages", target="filling", texts=texts))
        except HomeError as error:
            return str(error)
    raise AssertionError("the disk took it all")


def _busy(person: Person, seconds: float) -> float:
    """The share of a core that a node used."""
    assert person.process is not None
    stat = Path(f"/proc/{person.process.pid}/stat")

    def used() -> float:
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = used()
    time.sleep(seconds)
    return (used() - before) / seconds


def _live_through(
    lab: Lab, alice: Person, fill: Callable[[], None], free: Callable[[], None], words: str
) -> None:
    """A node on a disk that fills up goes on, says so, loses nothing, and catches up once there is space."""
    bob = lab.guest("bob", alice)
    bob.up()
    promised = set(alice.ask("sendMessages", target="general", texts=[f"before {n}" for n in range(50)]))
    bob.sees({f"before {n}" for n in range(50)})
    fill()
    assert words in _write_until_full(alice, promised)
    texts = {f"while full {n} {'g' * 600}" for n in range(400)}
    bob.ask("sendMessages", target="general", texts=sorted(texts))
    wait_until(lambda: words in alice.said(), "alice's node telling that its disk is full")
    assert alice.process is not None
    assert alice.process.poll() is None
    assert len(alice.texts()) >= 50  # what is there can be read
    assert _busy(alice, 3.0) < 0.7
    assert len(alice.said()) < 20_000, "the same trouble is told again and again"
    free()
    alice.sees_at_least(texts)
    promised.add(alice.ask("sendMessage", target="general", text="after")["event_id"])
    bob.sees_at_least({"after"})
    alice.stop()
    examine(alice.home, promised)
    examine_whole(alice.home)


@pytest.mark.slow
def test_a_node_lives_through_a_full_disk(lab_on_disk: Lab, disk: SmallDisk) -> None:
    alice = lab_on_disk.person("alice")
    alice.home = disk.folder / "alice"
    alice.ask("createIdentity", name="alice")
    alice.ask("createSpace", name="club")
    alice.up()
    try:
        _live_through(lab_on_disk, alice, disk.fill, disk.free, "disk is full")
    finally:
        alice.kill()


@pytest.mark.slow
def test_a_node_lives_through_files_that_may_not_grow(lab: Lab) -> None:
    """As a full disk, where none can be made: a limit on the size of the child's files."""
    alice = lab.founder("alice")
    alice.up()
    assert alice.process is not None
    pid = alice.process.pid

    def limit(size: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    _live_through(lab, alice, lambda: limit(MIB), lambda: limit(resource.RLIM_INFINITY), "cannot be")


def test_commands_on_a_full_disk_fail_in_plain_words(lab_on_disk: Lab, disk: SmallDisk) -> None:
    alice = lab_on_disk.person("alice")
    alice.home = disk.folder / "alice"
    alice.ask("createIdentity", name="alice")
    alice.ask("createSpace", name="club")
    alice.cli("send", "general", "kept")
    disk.fill()
    for words in (
        ["send", "general", "x" * 9_000],
        ["up", "--listen", "127.0.0.1:0"],
        ["identity", "create", "b"],
    ):
        said = fails(alice, *words)
        assert "No space left" in said or "disk is full" in said or "cannot be" in said
    disk.free()
    alice.cli("send", "general", "and again")
    assert alice.texts() == ["kept", "and again"]


def test_a_home_that_cannot_be_written_is_told(lab_on_disk: Lab, disk: SmallDisk) -> None:
    alice = lab_on_disk.person("alice")
    alice.home = disk.folder / "alice"
    alice.ask("createIdentity", name="alice")
    disk.protect("ro")
    for words in (["identity", "list"], ["up", "--listen", "127.0.0.1:0"]):
        said = fails(alice, *words)
        assert "cannot be used" in said
        assert "rights" in said
    disk.protect("rw")
    assert [identity["name"] for identity in alice.json("identity", "list")] == ["alice"]


# --- Damaged databases.


def _filled(lab: Lab) -> Person:
    alice = lab.founder("alice")
    for part in range(5):
        alice.ask("sendMessages", target="general", texts=[f"{part} {n} {'t' * 100}" for n in range(200)])
    return alice


def _all_say_damaged(person: Person) -> None:
    for words in (["up", "--listen", "127.0.0.1:0"], ["messages", "general"], ["send", "general", "x"]):
        said = fails(person, *words)
        assert "quire.db is damaged" in said
        assert "quire verify" in said


@pytest.mark.parametrize(
    "content", [b"not a database, " * 1_000, bytes(100_000), Random(1).randbytes(100_000)]
)
def test_garbage_for_a_database_is_told(lab: Lab, content: bytes) -> None:
    alice = _filled(lab)
    (alice.home / "quire.db").write_bytes(content)
    _all_say_damaged(alice)
    assert (alice.home / "quire.db").read_bytes() == content  # nothing is made worse


@pytest.mark.slow
@pytest.mark.parametrize("keep", [0.9, 0.5, 0.1])
def test_a_truncated_database_is_told(lab: Lab, keep: float) -> None:
    alice = _filled(lab)
    whole = (alice.home / "quire.db").read_bytes()
    (alice.home / "quire.db").write_bytes(whole[: int(len(whole) * keep)])
    _all_say_damaged(alice)
    (alice.home / "quire.db").write_bytes(whole)
    assert alice.cli("verify").startswith("All is well")


def test_another_programs_database_is_left_alone(lab: Lab) -> None:
    alice = lab.person("alice")
    alice.home.mkdir()
    other = sqlite3.connect(alice.home / "quire.db")
    other.execute("CREATE TABLE notes (text)")
    other.close()
    before = (alice.home / "quire.db").read_bytes()
    assert "not one of Quire's" in fails(alice, "up", "--listen", "127.0.0.1:0")
    assert "notes" in str(before)


def _flip(data: bytes, random: Random, bits: int, start: int = 4096) -> bytes:
    damaged = bytearray(data)
    for _ in range(bits):
        damaged[random.randrange(start, len(damaged))] ^= 1 << random.randrange(8)
    return bytes(damaged)


@pytest.mark.slow
def test_flipped_bytes_in_blobs_are_found_and_named(lab: Lab) -> None:
    alice = _filled(lab)
    written = alice.texts()
    random = Random(3)
    with closing(apsw.Connection(str(alice.home / "quire.db"))) as db:
        rows: Any = db.execute("SELECT n, event_id, sealed FROM blobs ORDER BY n LIMIT 5 OFFSET 500")
        chosen = list(rows)
        for n, _, sealed in chosen:
            db.execute("UPDATE blobs SET sealed = ? WHERE n = ?", (_flip(sealed, random, 1, 0), n))
    done = run_quire(["--home", str(alice.home), "verify"], alice.environment)
    assert done.returncode == 1
    assert all(event_id in done.stdout for _, event_id, _ in chosen), done.stdout
    assert alice.texts() == written  # the views do not need the blobs
    alice.cli("rebuild")
    assert len(alice.texts()) == len(written) - 5
    bob_can_talk_to(alice, lab)


def bob_can_talk_to(alice: Person, lab: Lab) -> None:
    """A damaged home syncs what is whole."""
    alice.up()
    bob = lab.guest("bob", alice)
    bob.up()
    bob.ask("sendMessage", target="general", text="to a damaged home")
    alice.sees_at_least({"to a damaged home"})
    alice.ask("sendMessage", target="general", text="from a damaged home")
    bob.sees_at_least({"from a damaged home"})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_anywhere_never_make_a_traceback(lab: Lab, seed: int) -> None:
    alice = _filled(lab)
    path = alice.home / "quire.db"
    whole = path.read_bytes()
    written = alice.texts()
    random = Random(seed)
    for bits in (1, 8, 64):
        path.write_bytes(_flip(whole, random, bits))
        for words in (
            ["verify"],
            ["status"],
            ["messages", "general"],
            ["rebuild"],
            ["send", "general", "more"],
        ):
            done = run_quire(["--home", str(alice.home), *words], alice.environment)
            assert done.returncode in (0, 1, 2), (words, done.stdout, done.stderr)
            assert "Traceback" not in done.stderr, (words, done.stderr)
        for name in ("quire.db-wal", "quire.db-shm"):
            (alice.home / name).unlink(missing_ok=True)
    path.write_bytes(whole)
    assert alice.texts() == written


@pytest.mark.slow
def test_a_node_stays_up_while_its_database_is_damaged_under_it(lab: Lab) -> None:
    """It says what is wrong and goes on; a torn page must not make it spin or die."""
    alice = _filled(lab)
    alice.up()
    bob = lab.guest("bob", alice)
    alice.stop()
    path = alice.home / "quire.db"
    whole = path.read_bytes()
    alice.up()
    with path.open("r+b") as file:
        for page in range(8, len(whole) // 4096, 3):
            file.seek(4096 * page)
            file.write(b"\xff" * 64)
    bob.up()
    for number in range(20):
        bob.ask("sendMessage", target="general", text=f"to a damaged home {number}")
        time.sleep(0.05)
    assert alice.process is not None
    assert _busy(alice, 3.0) < 0.7
    assert alice.process.poll() is None
    with suppress(Damaged, HomeError):
        assert alice.ask("listIdentities")
    alice.stop()
