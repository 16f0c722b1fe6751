"""The page in a real browser, against a real node."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.process.relay_devices import RelayProcess
from tests.web.page import Node, begin, say

pytestmark = pytest.mark.browser


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
