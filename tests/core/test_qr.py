"""QR codes: what is drawn for terminal and page is made into a picture and read back by a real decoder."""

import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.core.qr import as_svg, as_terminal
from quire.core.ticket import Ticket, encode_link, encode_web_link
from quire.errors import UserError
from quire.limits import MAX_QR_CHARS

WHITE, BLACK = 255, 0
SVG = "{http://www.w3.org/2000/svg}"
TICKET = Ticket(
    "join", b"s" * 32, b"k" * 32, b"t" * 32, b"i" * 32, ["192.0.2.1:7700", "[2001:db8::7]:7700"], "Garten 🌱"
)
LINKS = [encode_link(TICKET), encode_web_link(TICKET), "x", "x" * MAX_QR_CHARS, "A-1"]
Picture = list[bytearray]


def read(picture: Picture, scale: int = 3) -> str:
    """What a scanner reads in a picture, each of whose pixels is enlarged; a negative is not read."""
    rows = [bytes(pixel for pixel in row for _ in range(scale)) for row in picture for _ in range(scale)]
    image = memoryview(b"".join(rows)).cast("B", (len(rows), len(rows[0])))
    found = zxingcpp.read_barcodes(
        image, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode), try_invert=False
    )
    assert len(found) == 1
    return str(found[0].text)


def picture_of_terminal(text: str) -> Picture:
    """The pixels, two to a character, that a terminal of any theme shows."""
    rows = []
    for line in text.split("\n"):
        drawn = re.fullmatch(r"\x1b\[38;5;231;48;5;16m([ ▀▄█]+)\x1b\[0m", line)
        assert drawn, "every line sets both colours from the part of the palette that no theme changes"
        rows.append(bytearray(WHITE if letter in "▀█" else BLACK for letter in drawn[1]))
        rows.append(bytearray(WHITE if letter in "▄█" else BLACK for letter in drawn[1]))
    assert len({len(row) for row in rows}) == 1
    return rows


def picture_of_svg(text: str) -> Picture:
    """The pixels of an SVG made of one light square and one path of dark horizontal strokes, one unit high."""
    root = ElementTree.fromstring(text)
    width, height = map(int, root.attrib["viewBox"].removeprefix("0 0 ").split())
    _, ground, strokes = root
    assert ground.attrib == {"fill": "#fff", "d": f"M0 0h{width}v{height}h-{width}z"}
    assert strokes.attrib["stroke"] == "#000"
    picture = [bytearray([WHITE]) * width for _ in range(height)]
    x, y = 0.0, 0.0
    for command, one, two in re.findall(r"([Mmh])(-?[\d.]+)(?: (-?[\d.]+))?", strokes.attrib["d"]):
        if command == "h":
            picture[int(y)][int(x) : int(x + float(one))] = bytes([BLACK]) * int(one)
        x = float(one) + (x if command != "M" else 0)
        y = float(two or 0) + (y if command != "M" else 0)
    return picture


@pytest.mark.parametrize("link", LINKS)
def test_the_terminal_can_be_scanned(link: str) -> None:
    assert read(picture_of_terminal(as_terminal(link))) == link


@pytest.mark.parametrize("link", LINKS)
def test_the_page_can_be_scanned(link: str) -> None:
    assert read(picture_of_svg(as_svg(link))) == link


@given(st.text(alphabet=st.characters(codec="ascii"), min_size=1, max_size=100))
@settings(deadline=None, max_examples=30)
def test_both_are_the_same_code(link: str) -> None:
    page, terminal = picture_of_svg(as_svg(link)), picture_of_terminal(as_terminal(link))
    assert terminal[: len(page)] == page
    assert len(terminal) - len(page) <= 1


@pytest.mark.parametrize("picture", [lambda link: picture_of_terminal(as_terminal(link)),
                                     lambda link: picture_of_svg(as_svg(link))])  # fmt: skip
def test_a_quiet_zone_of_four_modules(picture: Callable[[str], Picture]) -> None:
    rows = picture(LINKS[0])
    size = len(rows[0])
    code = rows[:size]
    outside = [
        pixel for at, row in enumerate(code) for pixel in (row[:4] + row[-4:] if 4 <= at < size - 4 else row)
    ]
    assert set(outside) == {WHITE}
    assert code[4][4] == code[size - 5][4] == code[4][size - 5] == BLACK


def test_a_usual_link_fits_a_terminal() -> None:
    lines = as_terminal(LINKS[0]).split("\n")
    assert len(lines) <= 34
    assert len(picture_of_terminal(as_terminal(LINKS[0]))[0]) <= 69


def test_the_svg_stands_alone_and_has_a_title() -> None:
    link = "quire://join#<secret>&\"'"
    text = as_svg(link, title="Invite to <Garten> & more")
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert [child.tag for child in root] == [f"{SVG}title", f"{SVG}path", f"{SVG}path"]
    assert root[0].text == "Invite to <Garten> & more"
    assert re.findall(r"href|src|url\(|@import|<script|<style|<!|<\?", text) == []
    assert text.count("http") == 1  # the namespace
    assert "secret" not in text


@pytest.mark.parametrize("link", ["", "x" * (MAX_QR_CHARS + 1), "quire://join#ä", "\udcff"])
def test_what_makes_no_code(link: str) -> None:
    for draw in (as_terminal, as_svg):
        with pytest.raises(UserError, match="QR code"):
            draw(link)
