"""Line charts as SVG, written by hand: axes, lines, bands and a legend; the same bytes for the same numbers.

Owns: how a chart looks, in light and dark. Must not know: what its numbers mean.
"""

from collections.abc import Callable, Iterable, Sequence
from math import ceil, floor, log10
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

import msgspec

#: Colours of lines, that people who see few colours can tell apart too (Okabe and Ito, 2008), for light and dark.
_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#a8578a", "#8a6d00", "#2a93d5", "#5b5b5b", "#7a4fbf")
_DARK = ("#4db3ff", "#ff8c42", "#2fd6a3", "#e293c2", "#f0e442", "#8fd0ff", "#c4c4c4", "#b79bff")
_DASHES = ("", "6 3", "2 3", "8 3 2 3", "14 3", "1.5 5")
#: Of more lines than these give looks to, hues so far apart (degrees) that none comes near one before it for long.
_FIRST, _GOLDEN = 335, 137.508
_LEGEND_ROWS, _LEGEND_COLUMN = 24, 190
_LEFT, _TOP, _BOTTOM, _RIGHT = 62, 34, 46, 16


class Axis(msgspec.Struct):
    """From `low` to `high`; a logarithmic one has marks at `marks`, or at powers of ten."""

    label: str
    low: float
    high: float
    log: bool = False
    marks: Sequence[float] = ()

    def share(self, value: float) -> float:
        """Where a value lies between low (0) and high (1)."""
        if self.log:
            return log10(max(value, self.low) / self.low) / log10(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Values to write at the axis."""
        if self.marks:
            return list(self.marks)
        if self.log:
            first, last = floor(log10(self.low) + 1e-9), ceil(log10(self.high) - 1e-9)
            return [10.0**n for n in range(first, last + 1) if self.low <= 10.0**n <= self.high]
        step = _step((self.high - self.low) / 6)
        return [n * step for n in range(ceil(self.low / step), floor(self.high / step + 1e-9) + 1)]


class Line(msgspec.Struct):
    """One line and its name; `stepped` ones hold each value until the next."""

    name: str
    points: Sequence[tuple[float, float]]
    stepped: bool = False


class Shade(msgspec.Struct):
    """A stretch of the x-axis in which something was so, in words; of no length: a moment."""

    start: float
    end: float
    words: str


class Chart(msgspec.Struct):
    """One chart of a picture; sizes in pixels, without the legend."""

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line]
    shades: Sequence[Shade] = ()
    width: int = 760
    height: int = 420
    dots: bool = False


def picture(title: str, charts: Sequence[Chart]) -> str:
    """An SVG document of charts side by side with one legend, for the lines of the first."""
    names = [line.name for line in charts[0].lines]
    columns, looks = -(-len(names) // _LEGEND_ROWS), _Looks.of(max(len(chart.lines) for chart in charts))
    across = sum(chart.width for chart in charts)
    width, height = across + columns * _LEGEND_COLUMN, max(chart.height for chart in charts) + 34
    parts: list[str] = [f'<rect class="paper" width="{width}" height="{height}"/>']
    parts.append(f'<text class="title" x="14" y="23">{escape(title)}</text>')
    left = 0
    for chart in charts:
        parts.append(f'<g transform="translate({left} 30)">{"".join(_chart(chart, looks))}</g>')
        left += chart.width
    parts += _legend(names, across + 8, looks)
    # As wide as the window, but no wider than this; the height follows.
    size = f'width="100%" style="max-width:{width}px" viewBox="0 0 {width} {height}" preserveAspectRatio="xMinYMin"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
    return (
        head
        + f'role="img" aria-label={quoteattr(title)}>\n<style>{_style(looks)}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


class _Looks(NamedTuple):
    """Enough colours for so many lines, for light and dark; each comes with every dash before any look comes again."""

    light: Sequence[str]
    dark: Sequence[str]

    @classmethod
    def of(cls, lines: int) -> "_Looks":
        more = range(-(-lines // len(_DASHES)) - len(_LIGHT))
        hues = [f"{(_FIRST + n * _GOLDEN) % 360:.0f}" for n in more]
        light, dark = (tuple(f"hsl({hue} 90% {at}%)" for hue in hues) for at in (30, 66))
        return cls(_LIGHT + light, _DARK + dark)

    def at(self, place: int) -> str:
        return f"c{place % len(self.light)} d{place // len(self.light) % len(_DASHES)}"


def _chart(chart: Chart, looks: _Looks) -> Iterable[str]:
    right, bottom = chart.width - _RIGHT, chart.height - _BOTTOM

    def x(value: float) -> float:
        return _LEFT + chart.x.share(value) * (right - _LEFT)

    def y(value: float) -> float:
        return bottom - chart.y.share(value) * (bottom - _TOP)

    for shade in chart.shades:
        kind, wide = ("shade", x(shade.end) - x(shade.start)) if shade.end > shade.start else ("moment", 1.5)
        area = f'x="{x(shade.start):.1f}" y="{_TOP}" width="{wide:.1f}" height="{bottom - _TOP}"'
        yield f'<rect class="{kind}" {area}><title>{escape(shade.words)}</title></rect>\n'
    for value in chart.x.ticks():
        yield f'<path class="grid" d="M{x(value):.1f} {_TOP}V{bottom}"/>'
        yield f'<text class="tick" x="{x(value):.1f}" y="{bottom + 16}" text-anchor="middle">{_number(value)}</text>\n'
    for value in chart.y.ticks():
        yield f'<path class="grid" d="M{_LEFT} {y(value):.1f}H{right}"/>'
        yield f'<text class="tick" x="{_LEFT - 7}" y="{y(value) + 4:.1f}" text-anchor="end">{_number(value)}</text>\n'
    yield f'<text class="name" x="{(_LEFT + right) / 2:.1f}" y="{bottom + 36}" text-anchor="middle">'
    yield f"{escape(chart.x.label)}</text>\n"
    yield f'<text class="name" transform="translate(14 {(_TOP + bottom) / 2:.1f}) rotate(-90)" text-anchor="middle">'
    yield f"{escape(chart.y.label)}</text>\n"
    yield f'<text class="chart" x="{_LEFT}" y="{_TOP - 10}">{escape(chart.title)}</text>\n'
    for place, line in enumerate(chart.lines):
        yield from _line(line, looks.at(place), chart, x, y)


def _line(
    line: Line, look: str, chart: Chart, x: Callable[[float], float], y: Callable[[float], float]
) -> Iterable[str]:
    if not line.points:
        return
    (first_x, first_y), *others = line.points
    path = f"M{x(first_x):.1f} {y(first_y):.1f}"
    for value_x, value_y in others:
        path += (
            f"H{x(value_x):.1f}V{y(value_y):.1f}" if line.stepped else f"L{x(value_x):.1f} {y(value_y):.1f}"
        )
    last = " ".join(f"{value:g}" for value in line.points[-1])
    yield f'<path class="line {look}" data-line={quoteattr(line.name)} data-last="{last}" d="{path}">'
    yield f"<title>{escape(line.name)}</title></path>\n"
    for value_x, value_y in line.points if chart.dots else ():
        words = f"{line.name}: {_number(value_x)}, {_number(value_y)}"
        yield f'<circle class="dot {look}" cx="{x(value_x):.1f}" cy="{y(value_y):.1f}" r="3.2">'
        yield f"<title>{escape(words)}</title></circle>\n"


def _legend(names: Sequence[str], left: int, looks: _Looks) -> Iterable[str]:
    for place, name in enumerate(names):
        x = left + place // _LEGEND_ROWS * _LEGEND_COLUMN
        y = 70 + place % _LEGEND_ROWS * 16
        yield f'<path class="line {looks.at(place)}" d="M{x} {y - 4}h22"/>'
        yield f'<text class="tick" x="{x + 28}" y="{y}">{escape(_short(name))}</text>'


def _short(name: str) -> str:
    return name if len(name) <= 26 else name[:25] + "…"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _step(least: float) -> float:
    """The first of 1, 2, 5, 10, 20 … (or a fraction of ten) that is not below `least`."""
    power = 10.0 ** floor(log10(least))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= least * (1 - 1e-9))


def _style(looks: _Looks) -> str:
    light = "".join(f".c{n}{{--c:{colour}}}" for n, colour in enumerate(looks.light))
    dark = "".join(f".c{n}{{--c:{colour}}}" for n, colour in enumerate(looks.dark))
    dashes = "".join(f".d{n}{{stroke-dasharray:{dash}}}" for n, dash in enumerate(_DASHES) if dash)
    return (
        "svg{--paper:#fff;--ink:#1c2128;--faint:#6b7280;--rule:#e3e6ea;--shade:#d55e0018;font:12px system-ui}"
        "text{fill:var(--ink)}.title{font-size:15px;font-weight:600}.chart{font-weight:600}"
        ".tick,.name{fill:var(--faint)}.tick{font-size:11px}.paper{fill:var(--paper)}.grid{stroke:var(--rule)}"
        ".shade{fill:var(--shade)}.moment{fill:var(--faint)}.line{fill:none;stroke:var(--c);stroke-width:1.8}"
        f".line:hover{{stroke-width:4}}.dot{{fill:var(--c)}}{light}{dashes}"
        "@media(prefers-color-scheme:dark){svg{--paper:#14181d;--ink:#e6e9ee;--faint:#9aa4b2;--rule:#2a3038;"
        f"--shade:#ff8c4222}}{dark}}}"
    )
