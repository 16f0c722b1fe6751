"""`kill -9` at random moments: nothing acknowledged is lost, and nothing needs repair."""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from threading import Thread, Timer

import msgspec
import pytest

from quire.api.client import call_node
from quire.errors import QuireError
from quire.runtime import NodeInfo
from tests.process.crash import Killer, acknowledged, examine, examine_whole
from tests.process.harness import Lab, Person, environment, wait_until


@pytest.fixture
def killer(tmp_path: Path) -> Iterator[Killer]:
    made = Killer(environment(tmp_path), tmp_path / "writer.stderr")
    yield made
    made.close()


def _kill_writers(killer: Killer, folder: Path, seed: int, homes: int, kills: int) -> int:
    """Each home is made, written and killed again and again; the acknowledged events in all."""
    random = Random(seed)
    total = 0
    for number in range(homes):
        home = folder / f"home {number}"
        for _ in range(kills):
            pid = killer.begin(home, random.randrange(1 << 30))
            time.sleep(random.random() ** 2 * 0.4)
            killer.kill(pid)
            if random.random() < 0.7:  # else it is the next writer that finds it as it was left
                examine(home, acknowledged(home))
        promised = acknowledged(home)
        examine(home, promised)
        examine_whole(home)
        total += len(promised)
    return total


def _kill_makers(killer: Killer, folder: Path, seed: int, kills: int) -> None:
    """Killed while home, identity and space are being made: there is a whole one, or none."""
    random = Random(seed)
    for number in range(kills):
        home = folder / f"new {number}"
        pid = killer.begin(home, 1)
        time.sleep(random.random() * 0.06)
        killer.kill(pid)
        examine(home, acknowledged(home))
        examine_whole(home)


@pytest.mark.slow
def test_killed_writers_lose_nothing(killer: Killer, tmp_path: Path) -> None:
    assert _kill_writers(killer, tmp_path, 1, homes=1, kills=12) > 0
    _kill_makers(killer, tmp_path, 2, kills=5)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_writers_lose_nothing_however_often(killer: Killer, tmp_path: Path) -> None:
    assert _kill_writers(killer, tmp_path, 3, homes=8, kills=20) > 1_000
    _kill_makers(killer, tmp_path, 4, kills=30)


def _talk_and_kill(lab: Lab, seed: int, kills: int) -> None:
    """Two nodes sync while one after the other is killed and comes back."""
    random = Random(seed)
    alice = lab.founder("alice")
    alice.up()
    bob = lab.guest("bob", alice)
    bob.up()
    said: dict[str, set[str]] = {"alice": set(), "bob": set()}
    texts: set[str] = set()
    for turn in range(kills):
        victim, other = (alice, bob) if random.random() < 0.3 else (bob, alice)
        _say(other, [f"{other.name} {turn} {n} {'y' * (n % 700)}" for n in range(150)], said, texts)
        _say(victim, [f"{victim.name} {turn} {n}" for n in range(20)], said, texts)
        time.sleep(random.random() * 0.3)
        victim.kill()
        held = examine(victim.home, said[victim.name])
        assert held >= len(said[victim.name])
        victim.up()
    alice.sees_at_least(texts)
    bob.sees_at_least(texts)
    for person in (alice, bob):
        person.stop()
        examine(person.home, said["alice"] | said["bob"])
        examine_whole(person.home)


def _say(person: Person, new: list[str], said: dict[str, set[str]], texts: set[str]) -> None:
    said[person.name] |= set(person.ask("sendMessages", target="general", texts=new))
    texts |= set(new)


@pytest.mark.slow
def test_killed_nodes_lose_nothing_and_sync_on(lab: Lab) -> None:
    _talk_and_kill(lab, 5, kills=3)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_nodes_lose_nothing_and_sync_on_however_often(lab: Lab) -> None:
    _talk_and_kill(lab, 6, kills=30)


def _kill_under_load(lab: Lab, seed: int, kills: int) -> None:
    """Killed while many write at once through the API, whose writes share transactions."""
    random = Random(seed)
    alice = lab.founder("alice")
    promised: set[str] = set()
    for turn in range(kills):
        node = alice.up()
        assert alice.process is not None
        writers = [
            Thread(target=_write_until_it_is_gone, args=(node, f"{turn} {n}", promised)) for n in range(4)
        ]
        for writer in writers:
            writer.start()
        wait_until(partial(_is_larger, promised, len(promised)), "a first answer")
        time.sleep(random.random() * 0.3)
        alice.process.kill()
        for writer in writers:
            writer.join()
        alice.kill()
        examine(alice.home, promised)
    examine_whole(alice.home)
    assert len(promised) > 20 * kills


def _is_larger(these: set[str], than: int) -> bool:
    return len(these) > than


def _write_until_it_is_gone(node: NodeInfo, name: str, promised: set[str]) -> None:
    """One message after the other; whatever was answered is promised."""
    for number in range(1_000_000):
        params = {"target": "general", "text": f"{name} {number}"}
        try:
            promised.add(call_node(node.api, node.token, "sendMessage", params)["event_id"])
        except QuireError:
            return


def test_nodes_killed_under_load_keep_what_they_answered(lab: Lab) -> None:
    _kill_under_load(lab, 7, kills=2)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nodes_killed_under_load_keep_what_they_answered_however_often(lab: Lab) -> None:
    _kill_under_load(lab, 8, kills=15)


@pytest.mark.slow
def test_a_killed_nodes_leavings_stop_nobody(lab: Lab) -> None:
    """Its node.json and holder.json are still there; its process number may be anyone's by now."""
    alice = lab.founder("alice")
    alice.up()
    alice.kill()
    left = (alice.home / "node.json").read_text()
    assert (alice.home / "holder.json").exists()
    alice.cli("send", "general", "one")
    me = str(os.getpid())
    pid = left.partition('"pid":')[2].partition(",")[0]
    for others in (me, "1", "999999999", "99999999999999999999"):
        (alice.home / "node.json").write_text(left.replace(f'"pid":{pid}', f'"pid":{others}'))
        (alice.home / "holder.json").write_text(f'{{"pid":{others},"doing":"quire up"}}')
        alice.cli("send", "general", f"beside {others}")
    for garbage in ("", "{", "[]", '{"pid":-1}', "\x00" * 100):
        (alice.home / "node.json").write_text(garbage)
        (alice.home / "holder.json").write_text(garbage)
        alice.cli("send", "general", f"after {garbage!r}")
    alice.up()
    assert len(alice.texts()) == 10


@pytest.mark.slow
def test_another_program_at_a_killed_nodes_address_is_not_taken_for_it(lab: Lab) -> None:
    """Its process number and its API's port are another node's now."""
    alice, bob = lab.founder("alice"), lab.founder("bob")
    alice.up()
    alice.kill()
    left = (alice.home / "node.json").read_bytes()
    node = bob.up()
    stale = msgspec.json.decode(left)
    stale |= {"pid": node.pid, "api": node.api}
    (alice.home / "node.json").write_bytes(msgspec.json.encode(stale))
    alice.cli("send", "general", "to my own home")
    assert alice.texts() == ["to my own home"]
    assert bob.texts() == []


def test_a_request_that_was_cut_off_is_an_error_in_plain_words(lab: Lab) -> None:
    alice = lab.founder("alice")
    node = alice.up()
    assert alice.process is not None

    def until_it_fails() -> str:
        try:
            call_node(node.api, node.token, "sendMessage", {"target": "general", "text": "again"})
        except QuireError as error:
            return str(error)
        return ""

    Timer(0.3, alice.process.kill).start()
    said = wait_until(until_it_fails, "the node's death showing")
    assert "node" in said.lower(), said
    alice.kill()
