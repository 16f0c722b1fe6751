import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from quire.cli import joining
from quire.runtime.ports import reachable_at
from tests.cli.conftest import Quire
from tests.process.announced import announced

PROGRAM = [sys.executable, "-c", "from quire.cli import main; main()"]


class Running:
    """`quire up` in a process of its own."""

    def __init__(self, home: Path, *words: str) -> None:
        command = [*PROGRAM, "--home", str(home), "up", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [*command, "--json", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.told = announced(self.process.stdout)

    def stop(self) -> tuple[int, str]:
        """Interrupt it; exit code and what it complained of."""
        self.process.send_signal(signal.SIGINT)
        _, complaints = self.process.communicate(timeout=20)
        return self.process.returncode, complaints


@pytest.fixture
def up() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(home: Path, *words: str) -> Running:
        started.append(Running(home, *words))
        return started[-1]

    yield start
    for node in started:
        if node.process.poll() is None:
            node.process.kill()
        node.process.communicate()


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not what():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.05)


def test_commands_talk_to_the_running_node(alice: Quire, up: Callable[..., Running], tmp_path: Path) -> None:
    node = up(tmp_path / "home")
    assert node.told["page"].startswith(f"http://{node.told['api']}/#token=")
    sent = alice("send", "general", "hello")
    assert (sent.code, sent.out, sent.err) == (0, "Sent to #general.\n", "")
    assert "alice: hello" in alice("messages", "general").out
    assert "Node: running at 127.0.0.1:" in alice("status").out
    mistake = alice("send", "@dave", "hi")
    assert (mistake.code, mistake.out) == (2, "")
    assert "Nobody called 'dave' is known here" in mistake.err
    assert f"process {node.process.pid}" in alice("doctor").out
    assert node.stop() == (0, "")
    assert "alice: hello" in alice("messages", "general").out


def _outward() -> list[str]:
    return [at.rpartition(":")[0] for at in reachable_at(("0.0.0.0", 1)) if not at.startswith("127.")]


@pytest.mark.parametrize("host", ["0.0.0.0", *_outward()])
def test_an_api_beyond_this_machine_is_warned_of_and_works(
    alice: Quire, up: Callable[..., Running], tmp_path: Path, host: str
) -> None:
    node = up(tmp_path / "home", "--api", f"{host}:0")
    assert httpx.get(node.told["page"], trust_env=False).status_code == 200
    assert alice("send", "general", "hello").code == 0
    code, complaints = node.stop()
    assert code == 0
    assert "Warning: with this --api, other machines reach the local API. It is plain HTTP" in complaints


def test_a_second_node_says_who_holds_the_home(
    alice: Quire, up: Callable[..., Running], tmp_path: Path
) -> None:
    node = up(tmp_path / "home")
    second = alice("up", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0")
    assert second.code == 1
    assert f"process {node.process.pid}" in second.err
    assert "Traceback" not in second.err


def test_a_port_in_use(alice: Quire, up: Callable[..., Running], tmp_path: Path) -> None:
    node = up(tmp_path / "other")
    taken = alice("up", "--listen", "127.0.0.1:0", "--api", node.told["api"])
    assert taken.code == 1
    assert "another program uses it" in taken.err
    taken = alice("up", "--listen", node.told["listen"], "--api", "127.0.0.1:0")
    assert taken.code == 1
    assert node.told["listen"] in taken.err


def test_a_relay_beside_it_takes_the_settings_of_a_relay(
    alice: Quire, up: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("listen = '127.0.0.1:0'\nurl = 'wss://relay.example.org'\nmailbox_mib = 1\n")
    monkeypatch.setenv("QUIRE_RELAY_MAILBX_MIB", "1")
    node = up(tmp_path / "other", "--mirror-config", str(file))
    assert node.told["relay"].startswith("wss://relay.example.org/#")
    assert (tmp_path / "other" / "relay.db").exists()
    code, complaints = node.stop()
    assert code == 0
    assert "Is QUIRE_RELAY_MAILBOX_MIB meant?" in complaints
    refused = alice("up", "--mirror-listen", "here")  # which says that a relay is wanted
    assert (refused.code, "is no address" in refused.err) == (2, True)
    refused = alice("up", "--mirror-config", str(tmp_path / "none.toml"))
    assert (refused.code, "cannot be read" in refused.err) == (2, True)


def _shows(count: int, quire: Quire, *words: str) -> bool:
    return len(quire("messages", "general", "--json", *words).json()) == count


@pytest.mark.slow
def test_two_homes_hold_a_conversation(alice: Quire, up: Callable[..., Running], tmp_path: Path) -> None:
    up(tmp_path / "home")
    bob = ("--home", str(tmp_path / "bob"))
    alice("send", "general", "hello")
    assert alice("join", alice("invite").out, "--name", "bob", *bob).code == 0
    node = up(tmp_path / "bob")
    wait_for(lambda: "alice: hello" in alice("messages", "general", *bob).out)
    assert node.stop()[0] == 0
    alice("send", "general", "while bob was away")
    alice("send", "general", "and so was alice", *bob)
    up(tmp_path / "bob")
    homes: tuple[tuple[str, ...], ...] = ((), bob)
    for home in homes:
        wait_for(partial(_shows, 3, alice, *home))
    states = {peer["name"]: peer["state"] for peer in alice("peers", "--json").json()}
    assert states["alice"] == "self"
    wait_for(lambda: {p["name"]: p["state"] for p in alice("peers", "--json").json()}["bob"] == "in-sync")


@pytest.mark.slow
def test_join_waits_for_the_answer_of_a_member(
    alice: Quire, up: Callable[..., Running], tmp_path: Path
) -> None:
    up(tmp_path / "home")
    up(tmp_path / "bob")
    bob = ("--home", str(tmp_path / "bob"))
    link = alice("invite").out
    assert alice("join", link, "--name", "bob", *bob).out == "bob is in the space 'garden' now.\n"
    alice("send", "general", "hello")
    wait_for(lambda: "alice: hello" in alice("messages", "general", *bob).out)
    spent = alice("join", link, "--name", "carol", *bob)
    assert (spent.code, spent.out) == (2, "")
    assert "every seat of the invite is taken (rule `invite-used`)" in spent.err
    assert alice("space", "list", "--as", "carol", "--json", *bob).json() == [], "nothing is left of it"
    assert alice("send", "general", "as the only one who is in", *bob).code == 0
    approve = alice("invite", "--approve").out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joining, "PATIENCE_S", 1.0)
        waiting = alice("join", approve, "--name", "dora", *bob)
    assert waiting.code == 0
    assert "dora is waiting for a member of 'garden'" in waiting.out
    assert alice("member", "approve", "dora").code == 0
    wait_for(lambda: "joining" not in alice("status", "--as", "dora", *bob).out)


def test_a_reader_that_leaves_early_is_no_error(alice: Quire, tmp_path: Path) -> None:
    many = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 9000) SELECT x FROM n"
    read, write = os.pipe()
    os.close(read)
    command = [*PROGRAM, "--home", str(tmp_path / "home"), "sql", many]
    ran = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert ran.stderr == ""


def test_colours_are_for_terminals(alice: Quire) -> None:
    assert "\x1b" not in alice("identity", "list").out
