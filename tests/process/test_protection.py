"""What a thief finds in the files of a home, and homes under passphrases and kills, in processes of their own."""

import os
import signal
import subprocess
import time
from pathlib import Path
from random import Random

import pytest

from quire.core.encoding import to_text
from quire.runtime import open_offline, protection
from tests.process.harness import QUIRE, Lab, Person, fails, run_quire

TEXT = "the tulips are out on the north side"
WORDS = "correct horse battery"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def secrets(person: Person) -> list[bytes]:
    """Private keys of a home, in the spellings in which they could lie about."""
    with open_offline(person.home) as host:
        memberships = host.home.store.memberships
        seeds = [memberships.device_key(account).seed for account in memberships.accounts()]
    assert seeds
    return [spelt for seed in seeds for spelt in (seed, seed.hex().encode(), to_text(seed).encode())]


def found_in(folder: Path, words: list[bytes]) -> set[str]:
    """The names of the files in which one of these is."""
    return {name for name, content in contents(folder).items() if any(word in content for word in words)}


@pytest.mark.slow
@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "encrypted"])
def test_what_lies_in_the_files_of_a_home(lab: Lab, encrypt: bool) -> None:
    alice = lab.person("gertrude")
    alice.cli("identity", "create", "gertrude", *(["--encrypt"] if encrypt else []))
    alice.cli("space", "create", "Garden club")
    alice.up()
    for number in range(200):
        alice.ask("sendMessage", target="general", text=f"{TEXT} {number}")
    assert alice.ask("searchMessages", words="tulips")
    alice.kill()  # so that the WAL stays
    assert len(contents(alice.home)["quire.db-wal"]) > 100_000
    with_wal = contents(alice.home)
    sought = [TEXT.encode(), b"tulips", b"gertrude", b"Garden club", b"CREATE TABLE"]
    for word in sought:
        named = {name for name, content in with_wal.items() if word in content}
        assert named == set() if encrypt else named & {"quire.db", "quire.db-wal"}, word
    seeds = secrets(alice)  # opens and closes the home: everything is in the database now
    assert "quire.db-wal" not in contents(alice.home)
    assert bool(found_in(alice.home, sought)) is not encrypt
    assert found_in(alice.home, seeds) == set()
    assert not any(seed in content for content in with_wal.values() for seed in seeds)


@pytest.mark.slow
def test_a_running_node_needs_no_passphrase_for_its_commands(lab: Lab) -> None:
    alice = lab.person("alice")
    alice.environment["QUIRE_PASSPHRASE"] = WORDS
    alice.cli("identity", "create", "alice", "--encrypt")
    alice.cli("space", "create", "garden")
    assert protection(alice.home) == ("passphrase", True)
    alice.up()
    del alice.environment["QUIRE_PASSPHRASE"]
    alice.cli("send", "general", TEXT)
    assert TEXT in alice.cli("messages", "general")
    assert alice.json("sql", "SELECT count(*) AS n FROM message_index") == [{"n": 1}]
    assert {finding["state"] for finding in alice.json("doctor")} == {"ok"}
    alice.stop()
    assert "Set QUIRE_PASSPHRASE" in fails(alice, "status", code=2)
    assert "Set QUIRE_PASSPHRASE" in fails(alice, "up", "--listen", "127.0.0.1:0", code=2)
    alice.environment["QUIRE_PASSPHRASE"] = WORDS + "!"
    assert "passphrase is wrong" in fails(alice, "up", "--listen", "127.0.0.1:0", code=2)


@pytest.mark.slow
@pytest.mark.parametrize("passphrase", ["", WORDS], ids=["file", "passphrase"])
def test_a_home_killed_while_it_is_made_is_opened_or_made_again(lab: Lab, passphrase: str) -> None:
    """Whenever the kill comes: the same command again makes the home, or finds it made."""
    random, there = Random(5), 0
    for number in range(12):
        person = lab.person(f"person{number}")
        if passphrase:
            person.environment["QUIRE_PASSPHRASE"] = passphrase
        command = [QUIRE, "--home", str(person.home), "identity", "create", "alice", "--encrypt"]
        process = subprocess.Popen(
            command, env=person.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 20
        wanted = ("lock", "home.key", "quire.db", "quire.db-wal", "token")[number % 5]
        while process.poll() is None and not (person.home / wanted).exists() and time.monotonic() < end:
            time.sleep(0.0005)
        time.sleep(random.random() * 0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        there += (person.home / "home.key").exists()
        again = run_quire(["--home", str(person.home), *command[3:]], person.environment)
        made = "already an identity called 'alice'" in again.stderr or again.returncode == 0
        assert made, again.stderr
        assert [one["name"] for one in person.json("identity", "list")] == ["alice"]
        assert protection(person.home) == ("passphrase" if passphrase else "file", True)
    assert there > 0
