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


def test_many_lines_differ_in_colour_or_dash_and_all_have_a_place_in_the_legend() -> None:
    found = drawn(chart(lines=[Line(f"device{n}", [(0, n), (1, n)]) for n in range(30)]))
    looks = [e.get("class") for e in found.iter(f"{SVG}path") if e.get("data-line")]
    assert len(set(looks)) == 30
    width = float(found.get("width", ""))
    places = {
        (e.get("x"), e.get("y")) for e in found.iter(f"{SVG}text") if (e.text or "").startswith("device")
    }
    assert len(places) == 30
    assert max(float(x or 0) for x, _ in places) < width


def test_no_line_without_points() -> None:
    assert not [e for e in drawn(chart(lines=[Line("none", [])])).iter() if e.get("data-line")]
