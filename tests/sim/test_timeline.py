import re
import shutil
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from playwright.sync_api import Page, sync_playwright

from quire.sim.history import History, Written
from quire.sim.timeline import timeline

NASTY = "</script><script>alert(1)</script><!-- & @STYLE@ \u2028 '; -- \"</style><img src=x onerror=alert(1)>"


class Elements(HTMLParser):
    """Every start tag, and the text within each script and style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.within: dict[str, str] = {}
        self._in = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = (dict(attrs).get("id") or tag) if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in:
            self.within[self._in] = self.within.get(self._in, "") + data


def nasty(told: History) -> History:
    write = Written(5, NASTY, "device1", NASTY, NASTY, 1, [NASTY], {"device1": 5, "device2": 6})
    return replace(told, scenario=NASTY, writes=[*told.writes, write])


def test_the_page_holds_each_write(told: History) -> None:
    held = msgspec.json.decode(Elements(timeline(told)).within["history"], type=History)
    assert held == told
    assert len(held.writes) > 50


def test_texts_end_no_element(told: History) -> None:
    plain, hostile = Elements(timeline(told)), Elements(timeline(nasty(told)))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert msgspec.json.decode(hostile.within["history"], type=History).writes[-1].texts == [NASTY]
    assert hostile.within["script"] == plain.within["script"]
    assert hostile.within["style"] == plain.within["style"]


def test_the_page_refers_to_nothing_outside_itself(told: History) -> None:
    page = timeline(told)
    assert not re.search(r"https?:|['(]//|url\(|@import|fetch\(|XMLHttp|WebSocket|import\(", page)
    for tag, attributes in Elements(page).tags:
        assert not attributes.keys() & {"src", "href", "action", "srcset", "data"}, tag


def test_only_the_page_s_own_script_and_style_may_run(told: History) -> None:
    found = Elements(timeline(told))
    policy = next(a["content"] or "" for _, a in found.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for name in ("script", "style"):
        digest = b64encode(sha256(found.within[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy


# --- In a browser. ----------------------------------------------------------------------------------------


@pytest.fixture
def page(told: History, tmp_path: Path) -> Iterator[Page]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert program, "These tests need Chromium on PATH: `make test` installs it."
    file = tmp_path / "timeline.html"
    file.write_text(timeline(nasty(told)), encoding="utf-8")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1200, "height": 900})
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("dialog", lambda dialog: complaints.append(dialog.message))
        opened.goto(file.as_uri())
        yield opened
        browser.close()
    assert complaints == []


@pytest.mark.browser
def test_a_row_tells_who_wrote_it_and_when_each_device_had_it(page: Page, told: History) -> None:
    rows = page.locator("tr.row")
    assert rows.count() == len(told.writes) + 1
    write = told.writes[12]
    rows.nth(12).click()
    detail = page.locator("#detail").inner_text()
    assert f"{write.writer} on {write.device}" in detail
    others = [lane for lane in told.lanes if write.space in lane.spaces and lane.device != write.device]
    assert page.locator("#delays span").count() == len(others)
    assert page.locator("#chosen .spot").count() == len(write.reached)


@pytest.mark.browser
def test_a_mark_under_the_pointer_is_told_of(page: Page, told: History) -> None:
    box = page.locator("#marks circle.writ").nth(30).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert " on device" in page.locator("#detail p").inner_text()
    page.mouse.move(5, 5)
    assert page.locator("#detail p").inner_text().startswith("Point at a mark")


@pytest.mark.browser
def test_filter_and_zoom(page: Page, told: History) -> None:
    page.locator("#words").fill("<img src=x")
    assert page.locator("tr.row").count() == 1
    assert page.locator("tr.row td.text").inner_text()[:30] == NASTY[:30]
    page.locator("#words").fill("")
    page.locator("#writer").select_option("ada")
    assert page.locator("tr.row").count() == sum(write.writer == "ada" for write in told.writes)
    page.locator("#writer").select_option("")
    page.locator("#calm").click()
    seen = page.locator("text.tick").all_text_contents()
    assert all(float(text.removesuffix(" s")) >= told.calm_ms / 1000 - 2.5 for text in seen)
    page.locator("#all").click()
    assert page.locator("tr.row").count() == len(told.writes) + 1


@pytest.mark.browser
def test_dragging_over_the_lanes_zooms(page: Page) -> None:
    before = page.locator("text.tick").all_text_contents()
    box = page.locator("#lanes").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 500, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 700, box["y"] + 60, steps=4)
    page.mouse.up()
    assert page.locator("text.tick").all_text_contents() != before
