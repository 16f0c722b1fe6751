"""A node with the page, and what a person does there. Must not know: what is checked."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.process.announced import announced

PROGRAM = [sys.executable, "-c", "from quire.cli import main; main()"]


class Node:
    """`quire up` on a home, and commands against the same home."""

    def __init__(self, home: Path) -> None:
        self._home = str(home)
        self.start()

    def start(self) -> None:
        command = [
            *PROGRAM,
            "--home",
            self._home,
            "up",
            "--listen",
            "127.0.0.1:0",
            "--api",
            "127.0.0.1:0",
            "--json",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.page_address = announced(self.process.stdout)["page"]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=20)

    def __call__(self, *words: str) -> str:
        ran = subprocess.run(
            [*PROGRAM, "--home", self._home, *words], capture_output=True, text=True, check=True
        )
        return ran.stdout


def begin(page: Page, person: str = "alice", space: str = "Garden club") -> None:
    page.fill("#create [name=person]", person)
    page.fill("#create [name=space]", space)
    page.click("#create button")
    expect(page.locator("#where")).to_have_text("#general")


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")
    expect(page.locator("#messages .body").last).to_have_text(text)


def is_listed(node: Node, channel: str, text: str) -> bool:
    for _ in range(50):
        if text in node("messages", channel):
            return True
        time.sleep(0.1)
    return False


@contextmanager
def bob_beside(node: Node, home: Path) -> Iterator[Node]:
    """A second node, of bob, whom alice's node has let into its space."""
    bob = Node(home)
    try:
        bob("join", str(json.loads(node("--json", "invite"))["link"]), "--name", "bob")
        yield bob
    finally:
        bob.stop()
