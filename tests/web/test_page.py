"""The page in a real browser, against a real node."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect, sync_playwright

from tests.process.relay_devices import RelayProcess

pytestmark = pytest.mark.browser

PROGRAM = [sys.executable, "-c", "from quire.cli import main; main()"]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


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
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        self.page_address = json.loads("".join(lines))["page"]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=20)

    def __call__(self, *words: str) -> str:
        ran = subprocess.run(
            [*PROGRAM, "--home", self._home, *words], capture_output=True, text=True, check=True
        )
        return ran.stdout


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert program, "These tests need Chromium on PATH: `make test` installs it."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path / "home")
    yield node
    if node.process.poll() is None:
        node.stop()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page; whatever it complains of fails the test."""
    contexts = []
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not re.search(
            "ERR_(CONNECTION|EMPTY|INCOMPLETE|SOCKET)", message.text
        ):
            complaints.append(message.text)

    def open_(address: str, **settings: Any) -> Page:
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def begin(page: Page, person: str = "alice", space: str = "Garden club") -> None:
    page.fill("#create [name=person]", person)
    page.fill("#create [name=space]", space)
    page.click("#create button")
    expect(page.locator("#where")).to_have_text("#general")


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")
    expect(page.locator("#messages .body").last).to_have_text(text)


def test_from_nothing_to_a_found_message(node: Node, opened: Callable[..., Page]) -> None:
    page = opened(node.page_address)
    assert "token" not in page.url
    begin(page)
    expect(page.locator("#space-name")).to_have_text("Garden club")
    say(page, "Hello <b>world</b> & all")
    say(page, "Tulips are out")
    assert "alice: Tulips are out" in node("messages", "general")
    page.fill("#words", "tulip*")
    page.press("#words", "Enter")
    expect(page.locator("#where")).to_contain_text("Results for “tulip*”")
    expect(page.locator("#messages .body")).to_have_text(["Tulips are out"])
    page.click("#where button")
    expect(page.locator("#messages .body")).to_have_count(2)
    page.reload()
    expect(page.locator("#messages .body")).to_have_text(["Hello <b>world</b> & all", "Tulips are out"])


def test_messages_come_live_and_after_a_pause(node: Node, opened: Callable[..., Page]) -> None:
    page = opened(node.page_address)
    begin(page)
    node("send", "general", "live")
    expect(page.locator("#messages .body")).to_have_text(["live"])
    node("send", "tools", "spade")
    tools = page.locator("#channels button", has_text="#tools")
    tools.click()
    expect(page.locator("#messages .body")).to_have_text(["spade"])


def test_a_private_channel_goes_by_its_name(node: Node, opened: Callable[..., Page]) -> None:
    page = opened(node.page_address)
    begin(page)
    node("channel", "create", "plans", "--private")
    node("send", "plans", "a cake")
    page.locator("#channels button", has_text="#plans").click()
    expect(page.locator("#messages .body")).to_have_text(["a cake"])
    expect(page.locator("#where")).to_have_text("#plans")
    expect(page.locator("#inside")).to_have_text("Private: alice.")
    expect(page.locator("#channels button").filter(has=page.get_by_role("img", name="private"))).to_have_text(
        "#plans"
    )
    say(page, "with cherries")
    assert "alice: with cherries" in node("messages", "plans")


def test_a_broken_stream_resumes_where_it_was(node: Node, opened: Callable[..., Page]) -> None:
    page = opened(node.page_address)
    begin(page)
    say(page, "before")
    node.stop()
    expect(page.locator("#live")).to_be_visible()
    node("send", "general", "meanwhile")
    address = node.page_address
    node.start()
    assert node.page_address == address
    expect(page.locator("#live")).to_be_hidden()
    node("send", "general", "after")
    expect(page.locator("#messages .body")).to_have_text(["before", "meanwhile", "after"])


def test_a_node_that_is_gone_is_told(node: Node, opened: Callable[..., Page]) -> None:
    page = opened(node.page_address)
    begin(page)
    node.stop()
    expect(page.locator("#live")).to_contain_text("The node does not answer")
    page.fill("#text", "not lost")
    page.press("#text", "Enter")
    expect(page.locator("#error")).to_contain_text("Start it with `quire up`")
    expect(page.locator("#text")).to_have_value("not lost")


def test_two_people_meet_through_a_link(
    node: Node, opened: Callable[..., Page], tmp_path: Path, browser: Browser
) -> None:
    alice = opened(node.page_address)
    begin(alice)
    say(alice, "Welcome")
    alice.click("#invite")
    expect(alice.locator("#link")).to_have_value(re.compile("^quire://join#"))
    link = alice.input_value("#link")
    alice.click("#invite-box button:has-text('Close')")
    other = Node(tmp_path / "bob")
    try:
        bob = opened(other.page_address)
        bob.fill("#join [name=link]", link)
        bob.fill("#join [name=person]", "bob")
        bob.click("#join button")
        expect(bob.locator("#messages .body")).to_have_text(["Welcome"])
        say(bob, "Thank you")
        expect(alice.locator("#messages .body").last).to_have_text("Thank you")
        expect(alice.locator("#sync")).to_have_text("In sync with 1 of 1.")
        bob.locator("#people button", has_text="alice").click()
        say(bob, "Just for you")
        expect(alice.locator("#people .unread")).to_have_text("1")
        alice.locator("#people button", has_text="bob").click()
        expect(alice.locator("#messages .body")).to_have_text(["Just for you"])
    finally:
        other.stop()


def test_a_relay_and_who_is_met_by_it_alone_are_shown(
    node: Node, opened: Callable[..., Page], tmp_path: Path
) -> None:
    relay = RelayProcess(tmp_path)
    relay.start()
    other = Node(tmp_path / "bob")
    try:
        alice = opened(node.page_address)
        begin(alice)
        node("relay", "add", relay.url)
        host = relay.url.split("/")[2]
        expect(alice.locator("#sync")).to_have_text(f"Nobody else is here yet. Relay {host}: in sync.")
        other("join", str(json.loads(node("--json", "invite"))["link"]), "--name", "bob")
        other("send", "general", "Hello by relay")
        expect(alice.locator("#messages .body")).to_have_text(["Hello by relay"])
        other.stop()
        expect(alice.locator("#people .state", has_text="by relay")).to_be_visible(timeout=60_000)
        relay.stop()
        expect(alice.locator("#people .state", has_text="unreachable")).to_be_visible()
        expect(alice.locator("#sync")).to_contain_text(f"Relay {host}: unreachable.")
        alice.click("#state summary")
        expect(alice.locator("#state-text")).to_contain_text(f"Relay {host}: unreachable, 0 to hand over (")
    finally:
        relay.kill()
        if other.process.poll() is None:
            other.stop()


def test_mistakes_are_told_on_the_page(node: Node, opened: Callable[..., Page]) -> None:
    page = opened(node.page_address.partition("#")[0])
    expect(page.locator("#stop-text")).to_contain_text("quire up")


def test_a_damaged_link(node: Node, browser: Browser) -> None:
    page = browser.new_page()  # the refused request is in its console
    page.goto(node.page_address)
    page.fill("#join [name=link]", "quire://join#AAAA")
    page.fill("#join [name=person]", "bob")
    page.click("#join button")
    expect(page.locator("#start-error")).to_contain_text("incomplete or mistyped")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window(node: Node, opened: Callable[..., Page], scheme: str) -> None:
    page = opened(node.page_address, viewport={"width": 380, "height": 700}, color_scheme=scheme)
    begin(page, space="A space with quite a long name for so narrow a window")
    say(page, "w" * 200)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    assert not page.locator("#side").is_visible()
    page.click("#menu")
    assert page.locator("#channels button").first.is_visible()
    page.fill("#channel-name", "tools")
    page.press("#channel-name", "Enter")
    expect(page.locator("#where")).to_have_text("#tools")
    assert not page.locator("#side").is_visible()


def test_joining_waits_for_a_member_and_a_spent_link_is_told(
    node: Node, tmp_path: Path, opened: Callable[..., Page]
) -> None:
    node("identity", "create", "alice")
    node("space", "create", "Garden club")
    node("send", "general", "Welcome to the garden")
    link = node("invite").strip()
    node.stop()
    other = Node(tmp_path / "bob")
    try:
        page = opened(other.page_address)
        page.fill("#join [name=link]", link)
        page.fill("#join [name=person]", "bob")
        page.click("#join button")
        expect(page.locator("#start-wait")).to_contain_text("Garden club: waiting for a member to let you in")
        node.start()
        expect(page.locator("#where")).to_have_text("#general", timeout=30_000)
        expect(page.locator("#messages")).to_contain_text("Welcome to the garden")
        again = opened(other.page_address)
        node("send", "general", "Both hear this")
        expect(again.locator("#messages")).to_contain_text("Both hear this")
    finally:
        other.stop()
    late = Node(tmp_path / "carol")
    try:
        page = opened(late.page_address)
        page.fill("#join [name=link]", link)
        page.fill("#join [name=person]", "carol")
        page.click("#join button")
        expect(page.locator("#start-error")).to_contain_text(
            "You were not let in: every seat of the invite is taken"
        )
    finally:
        late.stop()


@contextmanager
def bob_beside(node: Node, home: Path) -> Iterator[Node]:
    """A second node, of bob, whom alice's node has let into its space."""
    bob = Node(home)
    try:
        bob("join", str(json.loads(node("--json", "invite"))["link"]), "--name", "bob")
        yield bob
    finally:
        bob.stop()


def test_what_is_begun_to_one_person_stays_there(
    node: Node, opened: Callable[..., Page], tmp_path: Path
) -> None:
    page = opened(node.page_address)
    begin(page)
    with bob_beside(node, tmp_path / "bob"):
        page.locator("#people button", has_text="bob").click()
        expect(page.locator("#where")).to_have_text("@bob")
        page.fill("#text", "for bob alone")
        page.locator("#channels button", has_text="#general").click()
        expect(page.locator("#where")).to_have_text("#general")
        expect(page.locator("#text")).to_have_value("")
        page.fill("#text", "for everybody")
        page.locator("#people button", has_text="bob").click()
        expect(page.locator("#text")).to_have_value("for bob alone")
        page.press("#text", "Enter")
        expect(page.locator("#messages .body")).to_have_text(["for bob alone"])
        page.locator("#channels button", has_text="#general").click()
        expect(page.locator("#text")).to_have_value("for everybody")
        expect(page.locator("#messages .body")).to_have_count(0)


def test_who_was_removed_is_told_and_sees_what_goes_unheard(
    node: Node, opened: Callable[..., Page], tmp_path: Path
) -> None:
    begin(opened(node.page_address))
    with bob_beside(node, tmp_path / "bob") as other:
        bob = opened(other.page_address)
        say(bob, "I am here")
        expect(bob.locator("#notice")).to_be_hidden()
        node("member", "remove", "bob")
        expect(bob.locator("#notice")).to_contain_text("No member any more", timeout=20_000)
        expect(bob.locator("#notice")).to_contain_text("Others may not see what is written here.")
        say(bob, "Does anybody hear me")
        marked = bob.locator("#messages li", has=bob.locator(".unheard"))
        expect(marked.locator(".body")).to_have_text(["Does anybody hear me"])
        bob.reload()
        expect(bob.locator("#notice")).to_contain_text("No member any more")
        expect(marked.locator(".body")).to_have_text(["Does anybody hear me"])


def test_what_is_unread_outlasts_a_reload_and_what_was_read_counts_everywhere(
    node: Node, opened: Callable[..., Page], tmp_path: Path
) -> None:
    def unread() -> dict[str, int]:
        return {c["channel_id"]: c["unread"] for c in json.loads(node("--json", "channels"))}

    page = opened(node.page_address)
    begin(page)
    with bob_beside(node, tmp_path / "bob") as bob:
        bob("send", "tools", "spade")
        tools = page.locator("#channels button", has_text="#tools")
        expect(tools.locator(".unread")).to_have_text("1")
        page.reload()
        expect(tools.locator(".unread")).to_have_text("1")
        with page.expect_response("**/api/markRead"):
            tools.click()
        expect(page.locator("#messages .body")).to_have_text(["spade"])
        expect(tools.locator(".unread")).to_have_count(0)
        assert unread()["tools"] == 0
        with page.expect_response("**/api/markRead"):
            bob("send", "tools", "rake")
        assert unread()["tools"] == 0
        page.reload()
        expect(page.locator("#where")).to_have_text("#general")
        expect(page.locator("#channels .unread")).to_have_count(0)


def test_a_node_that_is_gone_knows_of_nobody_and_its_error_goes_when_it_is_back(
    node: Node, opened: Callable[..., Page], tmp_path: Path
) -> None:
    page = opened(node.page_address)
    begin(page)
    with bob_beside(node, tmp_path / "bob"):
        expect(page.locator("#people .in-sync")).to_have_count(1)
        node.process.kill()
        expect(page.locator("#live")).to_be_visible()
        expect(page.locator("#people .in-sync")).to_have_count(0)
        page.fill("#text", "not lost")
        page.press("#text", "Enter")
        expect(page.locator("#error")).to_contain_text("The node does not answer")
        node.process.communicate()
        node.start()
        expect(page.locator("#live")).to_be_hidden(timeout=20_000)
        expect(page.locator("#error")).to_be_hidden()
        expect(page.locator("#people .in-sync")).to_have_count(1, timeout=20_000)


def test_a_refused_invite_is_told_on_a_phone(node: Node, browser: Browser, tmp_path: Path) -> None:
    guest = Node(tmp_path / "gus")
    page = browser.new_page(viewport={"width": 390, "height": 700})  # the refusal is in its console
    try:
        node("identity", "create", "alice")
        node("space", "create", "Garden club")
        link = str(json.loads(node("--json", "invite", "--role", "guest"))["link"])
        guest("join", link, "--name", "gus")
        page.goto(guest.page_address)
        page.click("#menu")
        page.click("#invite")
        expect(page.locator("#error")).to_be_in_viewport()
        expect(page.locator("#error")).to_contain_text("guest")
    finally:
        page.close()
        guest.stop()


def test_a_wait_to_be_let_in_is_no_error_and_outlasts_a_reload(
    node: Node, opened: Callable[..., Page], tmp_path: Path
) -> None:
    node("identity", "create", "alice")
    node("space", "create", "Garden club")
    node("send", "general", "Welcome to the garden")
    link = str(json.loads(node("--json", "invite", "--approve"))["link"])
    other = Node(tmp_path / "bob")
    try:
        page = opened(other.page_address, viewport={"width": 390, "height": 700})
        page.fill("#join [name=link]", link)
        page.fill("#join [name=person]", "bob")
        page.click("#join button")
        expect(page.locator("#start-wait")).to_contain_text("waiting for a member to let you in")
        expect(page.locator("#start-wait")).to_be_in_viewport()
        expect(page.locator("#start-error")).to_be_empty()
        page.reload()
        expect(page.locator("#start-wait")).to_contain_text("waiting for a member to let you in")
        expect(page.locator("#room")).to_be_hidden()
        node("member", "approve", "bob")
        expect(page.locator("#messages")).to_contain_text("Welcome to the garden", timeout=20_000)
        expect(page.locator("#start-wait")).to_be_hidden()
        expect(page.locator("#error")).to_be_hidden()
    finally:
        other.stop()


def test_many_channels_leave_people_and_invite_in_sight(node: Node, opened: Callable[..., Page]) -> None:
    page = opened(node.page_address, viewport={"width": 1000, "height": 700})
    begin(page)
    for number in range(20):
        page.fill("#channel-name", f"channel-{number}")
        page.press("#channel-name", "Enter")
        expect(page.locator("#where")).to_have_text(f"#channel-{number}")
        expect(page.locator("#nothing")).to_contain_text("No messages here yet")
        say(page, "hello")
    expect(page.locator("#channels button")).to_have_count(21)
    for id_ in ("#people", "#invite", "#state summary"):
        expect(page.locator(id_)).to_be_in_viewport()


def test_what_is_done_while_a_channel_loads_is_kept(node: Node, opened: Callable[..., Page]) -> None:
    page = opened(node.page_address)
    begin(page)
    say(page, "in general")
    held: list[Route] = []

    def hold(route: Route) -> None:  # a method of a list is nothing that Playwright can call
        held.append(route)

    page.route("**/api/getMessages", hold)
    page.fill("#channel-name", "plans")
    page.press("#channel-name", "Enter")
    expect(page.locator("#text")).to_be_focused()
    page.fill("#text", "at once")
    page.press("#text", "Enter")
    expect(page.locator("#text")).to_be_empty()
    page.focus("#channel-name")
    page.wait_for_function("document.querySelector('#channels [aria-current]').textContent === '#plans'")
    assert is_listed(node, "plans", "at once")
    assert len(held) == 1
    held[0].fulfill(json={"result": []})
    expect(page.locator("#messages .body")).to_have_text(["at once"])
    expect(page.locator("#channel-name")).to_be_focused()


def is_listed(node: Node, channel: str, text: str) -> bool:
    for _ in range(50):
        if text in node("messages", channel):
            return True
        time.sleep(0.1)
    return False


def test_an_invite_tells_its_limits_and_is_made_once(node: Node, opened: Callable[..., Page]) -> None:
    page = opened(node.page_address, viewport={"width": 390, "height": 700})
    begin(page)
    page.click("#menu")
    page.click("#invite")
    expect(page.locator("#link-limits")).to_contain_text("for one person, until")
    link = page.input_value("#link")
    assert page.evaluate("(box => box.scrollHeight <= box.clientHeight)(document.getElementById('link'))")
    page.click("#invite-box button:has-text('Close')")
    page.click("#invite")
    expect(page.locator("#invite-box")).to_be_visible()
    assert page.input_value("#link") == link
    assert len(json.loads(node("--json", "invite", "list"))) == 1
    page.click("#another")
    expect(page.locator("#link")).not_to_have_value(link)
    assert len(json.loads(node("--json", "invite", "list"))) == 2
