"""Charts as SVG text: axes, lines, bands, points, labels. The same data give the same bytes."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

# Colours that people with any colour vision can tell apart (Okabe and Ito).
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#8F4E8B",
    "#666666",
)
INK, PAPER = "#222222", "#ffffff"
_GRID = "#E4E4E4"
_FONT = 13
_CAPTION_FONT = 11
# Pixels that a character of a caption takes on average.
_CAPTION_CHARACTER = 5.6

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        label: What is shown, with its unit.
        low: Smallest value.
        high: Largest value.
        ticks: Values with a number beside them.
        log: Whether the scale is logarithmic.
    """

    label: str
    low: float
    high: float
    ticks: Sequence[float]
    log: bool = False

    def place(self, value: float) -> float:
        """0 at ``low`` to 1 at ``high``."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass
class Chart:
    """A chart in the making; positions are in the units of the axes.

    Attributes:
        title: Above the chart.
        x: Horizontal axis.
        y: Vertical axis.
        caption: Below it; wrapped.
        width: Of the whole picture, in pixels.
        height: Of the area between the axes, in pixels.
        right: Room to the right of that area, for labels.
    """

    title: str
    x: Axis
    y: Axis
    caption: str
    width: int = 760
    height: int = 340
    right: int = 40
    _parts: list[str] = field(default_factory=list)

    _left = 66
    _top = 44

    def _at(self, point: Point) -> Point:
        inner = self.width - self._left - self.right
        return (
            self._left + inner * self.x.place(point[0]),
            self._top + self.height * (1 - self.y.place(point[1])),
        )

    def _path(self, points: Iterable[Point]) -> str:
        return " ".join("{:.1f},{:.1f}".format(*self._at(point)) for point in points)

    def line(
        self, points: Sequence[Point], color: str, *, width: float = 2, dash: str = ""
    ) -> None:
        """Straight lines from point to point; ``dash`` as SVG's stroke-dasharray."""
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<polyline points="{self._path(points)}" fill="none" stroke="{color}" '
            f'stroke-width="{width}"{dashes}/>'
        )

    def band(self, lower: Sequence[Point], upper: Sequence[Point], color: str) -> None:
        """The area between two lines, pale."""
        points = self._path([*lower, *reversed(upper)])
        self._parts.append(f'<polygon points="{points}" fill="{color}" fill-opacity="0.18"/>')

    def marks(
        self, points: Iterable[Point], color: str, shape: str = "circle", edge: str = PAPER
    ) -> None:
        """A mark at each point: ``circle``, ``square`` or ``triangle``; ``edge`` is its outline."""
        self._parts += [_mark(*self._at(point), color, shape, edge) for point in points]

    def text(
        self, point: Point, text: str, color: str = INK, *, anchor: str = "start", dy: float = 0
    ) -> None:
        """Text at a point; ``anchor`` is start, middle or end, ``dy`` pixels to move it down."""
        x, y = self._at(point)
        self._parts.append(_text(x, y + dy, text, color, anchor))

    def labels_at_right(self, labels: Sequence[tuple[float, str, str]]) -> None:
        """Labels (value, text, colour) beside the right end of lines, moved apart if too close."""
        gap = _FONT + 4
        placed: list[tuple[float, str, str]] = []
        for value, text, color in sorted(labels, key=lambda label: -label[0]):
            y = self._at((self.x.high, value))[1] + 4
            if placed and y - placed[-1][0] < gap:
                y = placed[-1][0] + gap
            placed.append((y, text, color))
        x = self.width - self.right + 8
        self._parts += [_text(x, y, text, color, "start") for y, text, color in placed]

    def legend(self, entries: Sequence[tuple[str, str, str, str]]) -> None:
        """Entries (text, colour, shape and edge of the mark), in the lower right corner."""
        x = self.width - self.right - 12 - 7.2 * max(len(text) for text, *_ in entries)
        y = self._top + self.height - 12 - 19 * (len(entries) - 1)
        for i, (text, color, shape, edge) in enumerate(entries):
            self._parts.append(_mark(x - 14, y + 19 * i - 4, color, shape, edge))
            self._parts.append(_text(x, y + 19 * i, text, INK, "start"))

    def render(self) -> str:
        """The picture."""
        bottom = self._top + self.height
        per_line = int((self.width - 40) / _CAPTION_CHARACTER)
        caption = textwrap.wrap(self.caption, per_line)
        total = bottom + 62 + 15 * len(caption)
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {total}" '
                f'width="{self.width}" height="{total}" role="img" '
                'font-family="Helvetica, Arial, sans-serif">',
                f"<title>{escape(self.title)}</title>",
                f'<rect width="{self.width}" height="{total}" rx="6" fill="{PAPER}"/>',
                f'<text x="20" y="26" font-size="15" font-weight="bold" fill="{INK}">'
                f"{escape(self.title)}</text>",
                *self._axes(),
                *self._parts,
                *(
                    f'<text x="20" y="{bottom + 64 + 15 * i}" font-size="{_CAPTION_FONT}" '
                    f'fill="#555555">{escape(line)}</text>'
                    for i, line in enumerate(caption)
                ),
                "</svg>",
                "",
            ]
        )

    def _axes(self) -> list[str]:
        right, bottom = self.width - self.right, self._top + self.height
        parts = []
        for tick in self.x.ticks:
            x = self._at((tick, self.y.low))[0]
            parts.append(_rule(x, self._top, x, bottom))
            parts.append(_text(x, bottom + 18, f"{tick:g}", INK, "middle"))
        for tick in self.y.ticks:
            y = self._at((self.x.low, tick))[1]
            parts.append(_rule(self._left, y, right, y))
            parts.append(_text(self._left - 8, y + 4, f"{tick:g}", INK, "end"))
        middle = self._top + self.height / 2
        parts += [
            f'<path d="M{self._left},{self._top} V{bottom} H{right}" fill="none" '
            f'stroke="{INK}" stroke-width="1"/>',
            _text((self._left + right) / 2, bottom + 40, self.x.label, INK, "middle"),
            f'<text transform="translate(20,{middle:g}) rotate(-90)" font-size="{_FONT}" '
            f'fill="{INK}" text-anchor="middle">{escape(self.y.label)}</text>',
        ]
        return parts


def steps(high: float, count: int = 6) -> list[float]:
    """Round values from 0 to at least ``high``, about ``count`` of them: ticks of a linear axis."""
    rough = high / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [step * i for i in range(math.ceil(high / step) + 1)]


def powers_of_two(low: float, high: float) -> list[float]:
    """Powers of two from the last one up to ``low`` to the first one from ``high`` on."""
    first, last = math.floor(math.log2(low)), math.ceil(math.log2(high))
    return [2.0**i for i in range(first, last + 1)]


def _mark(x: float, y: float, color: str, shape: str, edge: str) -> str:
    style = f'fill="{color}" fill-opacity="0.75" stroke="{edge}" stroke-width="1"'
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" {style}/>'
    if shape == "square":
        return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" {style}/>'
    return f'<path d="M{x:.1f},{y - 5.5:.1f} l5.5,9.5 h-11 z" {style}/>'


def _rule(x0: float, y0: float, x1: float, y1: float) -> str:
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" '
        f'stroke="{_GRID}" stroke-width="1"/>'
    )


def _text(x: float, y: float, text: str, color: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{_FONT}" fill="{color}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
