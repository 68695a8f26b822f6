"""Where the bytes of a ``.lnx`` file are, as an SVG picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from lilnetx.format import FileSummary, LayerBytes

# Colours that people with colour-blindness tell apart (Okabe and Ito's).
SECTION_COLOURS = {
    "header": "#999999",
    "GRPH": "#cc79a7",
    "DECO": "#d55e00",
    "SIDE": "#e69f00",
    "LATS": "#0072b2",
    "RAWF": "#56b4e9",
    "META": "#009e73",
}
SECTION_CONTENTS = {
    "header": "table, padding",
    "GRPH": "graph",
    "DECO": "decoders",
    "SIDE": "scales and biases",
    "LATS": "latents",
    "RAWF": "dense weights",
    "META": "metadata",
}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_OTHER_COLOUR = "#666666"

_WIDTH = 960
_MARGIN = 24
_LABEL = 230  # Room for the names of layers, and behind their bars for numbers.
_NUMBERS = 110
_ROW = 18
_BAR = 36


def bytes_svg(name: str, summary: FileSummary, layers: Sequence[LayerBytes]) -> str:
    """A picture of two parts: one bar of all sections, and a bar for each layer.

    Every rectangle that stands for bytes has the attributes ``data-section``, ``data-bytes`` and,
    for layers, ``data-layer``.

    Args:
        name: Name of the file, for the title.
        summary: The file.
        layers: Its layers' bytes.

    Returns:
        An SVG document, 960 units wide.
    """
    picture = _Picture()
    ratio = summary.dense_fp32_bytes / summary.file_bytes
    title = f"{name}: {summary.file_bytes:,} bytes, 1/{ratio:.1f} of dense float32"
    picture.text(_MARGIN, 36, title, size=18, weight="bold")
    y = _sections(picture, summary, 56)
    y = _layers(picture, layers, y + 34)
    height = y + _MARGIN
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" font-family="sans-serif" font-size="12">\n'
        f"<title>{_xml_text(title)}</title>\n"
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>\n'
        + "\n".join(picture.parts)
        + "\n</svg>\n"
    )


class _Picture:
    """Collects elements."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def text(
        self, x: float, y: float, text: str, *, size: int = 12, weight: str = "", end: bool = False
    ) -> None:
        style = f' font-weight="{weight}"' if weight else ""
        anchor = ' text-anchor="end"' if end else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}"{style}{anchor} fill="#222222">'
            f"{_xml_text(text)}</text>"
        )

    def bar(
        self, x: float, y: float, width: float, height: float, section: str, size: int, layer: str
    ) -> None:
        where = f"{layer} {SECTION_CONTENTS.get(section, section)}".strip()
        data = f'data-section={_xml_value(section)} data-bytes="{size}"'
        if layer:
            data += f" data-layer={_xml_value(layer)}"
        self.parts.append(
            f'<rect x="{x:.2f}" y="{y:.1f}" width="{width:.2f}" height="{height}" '
            f'fill="{SECTION_COLOURS.get(section, _OTHER_COLOUR)}" {data}>'
            f"<title>{_xml_text(f'{where}: {size:,} bytes')}</title></rect>"
        )


def _sections(picture: _Picture, summary: FileSummary, y: float) -> float:
    """One bar of all sections and its legend; returns where it ends."""
    x: float = _MARGIN
    scale = (_WIDTH - 2 * _MARGIN) / summary.file_bytes
    for section, size in summary.bytes_by_section.items():
        picture.bar(x, y, size * scale, _BAR, section, size, "")
        x += size * scale
    y += _BAR + 24
    for index, (section, size) in enumerate(summary.bytes_by_section.items()):
        column, row = index % 3, index // 3
        left = _MARGIN + column * (_WIDTH - 2 * _MARGIN) / 3
        colour = SECTION_COLOURS.get(section, _OTHER_COLOUR)
        top = y + row * _ROW
        picture.parts.append(
            f'<rect x="{left:.1f}" y="{top - 10:.1f}" width="11" height="11" fill="{colour}"/>'
        )
        share = 100 * size / summary.file_bytes
        content = SECTION_CONTENTS.get(section, "")
        picture.text(left + 17, top, f"{section} ({content}): {size:,} bytes, {share:.1f} %")
    return y + (len(summary.bytes_by_section) - 1) // 3 * _ROW


def _layers(picture: _Picture, layers: Sequence[LayerBytes], y: float) -> float:
    """A bar for each layer; returns where the last one ends."""
    if not layers:
        return y
    picture.text(_MARGIN, y, "Bytes of each layer", size=14, weight="bold")
    y += 12
    left = _MARGIN + _LABEL
    scale = (_WIDTH - _MARGIN - _NUMBERS - left) / max(1, *(layer.total for layer in layers))
    for layer in layers:
        picture.text(left - 8, y + 12, _shortened(layer.name), end=True)
        x: float = left
        for section, size in (("LATS", layer.latents), ("RAWF", layer.dense), ("SIDE", layer.side)):
            if size:
                picture.bar(x, y + 2, size * scale, _ROW - 4, section, size, layer.name)
                x += size * scale
        picture.text(x + 6, y + 12, f"{layer.total:,}")
        y += _ROW
    return y


def _shortened(name: str) -> str:
    """The end of a long name, which tells layers apart better than its beginning."""
    return name if len(name) <= 32 else "..." + name[-29:]


def _allowed(text: str) -> str:
    """Without the characters that XML has no way to write."""
    return _NOT_XML.sub("?", text)


def _xml_text(text: str) -> str:
    return escape(_allowed(text))


def _xml_value(text: str) -> str:
    return quoteattr(_allowed(text))
