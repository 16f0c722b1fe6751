"""Conversations on the page, in a real browser: what is begun, read, told and shown of them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.web.page import Node, begin, bob_beside, is_listed, say

pytestmark = pytest.mark.browser


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
        host = opened(node.page_address)
        expect(host.locator("#requests")).to_contain_text("bob")
        host.click("#requests button:has-text('Let in')")
        expect(host.locator("#asking")).to_be_hidden()
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
