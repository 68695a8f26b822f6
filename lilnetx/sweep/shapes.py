"""Pictures as lists of shapes, which are written as SVG or drawn into a PNG alike."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from lilnetx.errors import MissingExtraError

PAPER = "#ffffff"
# Pixels of a PNG for each unit.
_SCALE = 2


@dataclass(frozen=True)
class Line:
    """A line through points."""

    points: tuple[tuple[float, float], ...]
    colour: str
    width: float = 1.0


@dataclass(frozen=True)
class Dot:
    """A filled circle; ``title`` shows where a mouse rests on it."""

    x: float
    y: float
    radius: float
    colour: str
    title: str = ""


@dataclass(frozen=True)
class Label:
    """A text on a base line."""

    x: float
    y: float
    text: str
    size: int = 12
    anchor: Literal["start", "middle", "end"] = "start"
    colour: str = "#222222"


Shape = Line | Dot | Label


def svg(shapes: Sequence[Shape], width: int, height: int) -> str:
    """An ``<svg>`` element that needs nothing from outside."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        *map(_element, shapes),
        "</svg>",
    ]
    return "\n".join(parts)


def _element(shape: Shape) -> str:
    if isinstance(shape, Line):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
        return (
            f'<polyline points="{points}" fill="none" stroke="{shape.colour}" '
            f'stroke-width="{shape.width:g}"/>'
        )
    if isinstance(shape, Dot):
        return (
            f'<circle cx="{shape.x:.1f}" cy="{shape.y:.1f}" r="{shape.radius:g}" '
            f'fill="{shape.colour}"><title>{escape(shape.title)}</title></circle>'
        )
    return (
        f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size}" '
        f'text-anchor="{shape.anchor}" fill="{shape.colour}">{escape(shape.text)}</text>'
    )


def png(shapes: Sequence[Shape], width: int, height: int) -> bytes:
    """A PNG file of twice as many pixels; MissingExtraError without Pillow."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise MissingExtraError("Pillow", "sweep", "a picture as PNG") from error
    image = Image.new("RGB", (width * _SCALE, height * _SCALE), PAPER)
    draw = ImageDraw.Draw(image)
    anchors = {"start": "ls", "middle": "ms", "end": "rs"}
    for shape in shapes:
        if isinstance(shape, Line):
            points = [(x * _SCALE, y * _SCALE) for x, y in shape.points]
            draw.line(points, fill=shape.colour, width=round(shape.width * _SCALE))
        elif isinstance(shape, Dot):
            x, y, r = shape.x * _SCALE, shape.y * _SCALE, shape.radius * _SCALE
            draw.ellipse((x - r, y - r, x + r, y + r), fill=shape.colour)
        else:
            draw.text(
                (shape.x * _SCALE, shape.y * _SCALE),
                shape.text,
                fill=shape.colour,
                font=ImageFont.load_default(shape.size * _SCALE),
                anchor=anchors[shape.anchor],
            )
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


__all__ = ["Dot", "Label", "Line", "Shape", "png", "svg"]
