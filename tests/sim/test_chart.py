import re
from xml.etree import ElementTree

import pytest

from quire.sim.chart import Axis, Chart, Line, Shade, picture

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*charts: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(picture("a <b> & c", charts))


def chart(**changed: object) -> Chart:
    given = {
        "title": "t <&>",
        "x": Axis("x", 0, 10),
        "y": Axis("y", 0, 100),
        "lines": [Line("one <b>", [(0, 0), (10, 100)])],
    }
    return Chart(**(given | changed))  # type: ignore[arg-type]


def test_text_is_escaped_and_comes_back() -> None:
    found = drawn(chart(shades=[Shade(1, 2, "<script>")]))
    told = [text for text in found.itertext() if "{" not in text]
    assert {"a <b> & c", "t <&>", "one <b>", "<script>"} <= set(told)


def test_lines_go_from_corner_to_corner() -> None:
    path = next(e for e in drawn(chart()).iter(f"{SVG}path") if e.get("data-line"))
    assert re.fullmatch(r"M62\.0 374\.0L744\.0 34\.0", path.get("d", ""))
    stepped = drawn(chart(lines=[Line("s", [(0, 0), (5, 50)], stepped=True)]))
    path = next(e for e in stepped.iter(f"{SVG}path") if e.get("data-line"))
    assert re.fullmatch(r"M62\.0 374\.0H403\.0V204\.0", path.get("d", ""))


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis("", 0, 60), [0, 10, 20, 30, 40, 50, 60]),
        (Axis("", 0, 500), [0, 100, 200, 300, 400, 500]),
        (Axis("", 0, 0.5), [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        (Axis("", 0.01, 10, log=True), [0.01, 0.1, 1, 10]),
        (Axis("", 2, 100, log=True, marks=(2, 5, 100)), [2, 5, 100]),
    ],
)
def test_ticks(axis: Axis, ticks: list[float]) -> None:
    assert axis.ticks() == pytest.approx(ticks)


def test_shares_of_a_logarithmic_axis() -> None:
    axis = Axis("", 0.01, 100, log=True)
    assert [axis.share(value) for value in (0.0, 0.01, 1, 100)] == pytest.approx([0, 0, 0.5, 1])


@pytest.mark.parametrize("count", [3, 30, 50, 200])
def test_many_lines_differ_in_colour_or_dash_and_all_have_a_place_in_the_legend(count: int) -> None:
    found = drawn(chart(lines=[Line(f"device{n}", [(0, n), (1, n)]) for n in range(count)]))
    looks = [(e.get("class") or "").split()[1:] for e in found.iter(f"{SVG}path") if e.get("data-line")]
    assert len(set(map(tuple, looks))) == count
    style = "".join(e.text or "" for e in found.iter(f"{SVG}style"))
    for light_or_dark in style.split("@media"):
        colours = dict(re.findall(r"\.(c\d+)\{--c:([^}]+)\}", light_or_dark))
        assert {colour for colour, _ in looks} <= colours.keys()
        assert len(set(colours.values())) == len(colours)
    *_, width, _height = map(float, found.get("viewBox", "").split())
    places = {
        (e.get("x"), e.get("y")) for e in found.iter(f"{SVG}text") if (e.text or "").startswith("device")
    }
    assert len(places) == count
    assert max(float(x or 0) for x, _ in places) < width


def test_a_narrow_window_shrinks_it() -> None:
    found = drawn(chart())
    assert (found.get("width"), found.get("height")) == ("100%", None)
    assert found.get("style") == f"max-width:{found.get('viewBox', '').split()[2]}px"


def test_no_line_without_points() -> None:
    assert not [e for e in drawn(chart(lines=[Line("none", [])])).iter() if e.get("data-line")]
