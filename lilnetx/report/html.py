"""Pieces of HTML: escaping, numbers, tables with bars."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

# What HTML has no way to write, and lone halves of surrogate pairs, which UTF-8 has not.
_NOT_HTML = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(value: object) -> str:
    """Anything as HTML text, also inside of quoted attributes."""
    return html.escape(_NOT_HTML.sub("?", str(value)))


def shortened(name: str, most: int = 40) -> str:
    """The end of a long name, which tells layers apart better than its beginning."""
    return name if len(name) <= most else "…" + name[1 - most :]


def percent(part: float, whole: float = 1.0) -> str:
    """A share in per cent with one decimal; a dash where there is nothing to share."""
    return f"{100 * part / whole:.1f}\N{NO-BREAK SPACE}%" if whole else "–"


def short_bytes(count: int) -> str:
    """A size with three significant digits, in the largest unit that suits it."""
    for unit, size in (("MiB", 1024**2), ("KiB", 1024)):
        if count >= size:
            return (
                f"{count / size:.3g} {unit}"
                if count < 1000 * size
                else f"{count / size:,.0f} {unit}"
            )
    return f"{count:,} bytes"


def short_count(count: int) -> str:
    """A number with three significant digits and k, M or G."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            value = count / size
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return str(count)


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        html: What is shown.
        sort: What the table is sorted by, or None where sorting makes no sense.
        number: Whether it stands at the right.
    """

    html: str
    sort: float | str | None = None
    number: bool = True


@dataclass(frozen=True)
class Bar:
    """A part of a bar.

    Attributes:
        width: 0 to 1, of the bar's whole room.
        kind: Class of the style sheet that gives it its colour.
        title: Shown when it is pointed at.
    """

    width: float
    kind: str
    title: str = ""


def bars(*rows: Sequence[Bar]) -> Cell:
    """A cell with bars below each other, each of parts side by side.

    The numbers stand in other cells, so screen readers skip it.
    """
    parts = "".join(
        '<span class="bar">'
        + "".join(
            f'<i class="{bar.kind}" style="width:{100 * bar.width:.2f}%"'
            + (f' title="{text(bar.title)}"' if bar.title else "")
            + "></i>"
            for bar in row
        )
        + "</span>"
        for row in rows
    )
    return Cell(f'<span class="bars" aria-hidden="true">{parts}</span>', number=False)


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    kind: str = "",
    key: str = "",
) -> str:
    """A table whose first column names its rows.

    Args:
        caption: For screen readers.
        header: Titles; an empty one is a column without a title, such as that of bars.
        rows: Cells, as many in each row as there are titles.
        kind: Class of the style sheet.
        key: Identifier of the table.

    Returns:
        The element ``table``; columns whose cells can be sorted have buttons as titles.
    """
    sortable = [
        len(rows) > 1 and all(row[i].sort is not None for row in rows) for i in range(len(header))
    ]
    titles = "".join(
        f'<th scope="col"{_number(bool(rows) and rows[0][i].number)}>'
        + (f'<button type="button">{text(name)}</button>' if sortable[i] else text(name))
        + "</th>"
        for i, name in enumerate(header)
    )
    lines = "".join("<tr>" + "".join(map(_cell, row, range(len(row)))) + "</tr>\n" for row in rows)
    identifier = f' id="{key}"' if key else ""
    return (
        f'<table class="{kind}"{identifier}><caption>{text(caption)}</caption>\n'
        f"<thead><tr>{titles}</tr></thead>\n<tbody>\n{lines}</tbody></table>"
    )


def _cell(cell: Cell, column: int) -> str:
    sort = "" if cell.sort is None else f' data-sort="{text(cell.sort)}"'
    if column == 0:
        return f'<th scope="row"{sort}>{cell.html}</th>'
    return f"<td{_number(cell.number)}{sort}>{cell.html}</td>"


def _number(number: bool) -> str:
    return ' class="num"' if number else ""


def name_cell(name: str, order: int) -> Cell:
    """The name of a layer, sorted by its place in the network."""
    return Cell(f'<span class="name" title="{text(name)}">{text(name)}</span>', order, number=False)


def duration(ms: float) -> str:
    """A time given in milliseconds, with three significant digits, in ms or µs."""
    value, unit = (ms, "ms") if ms >= 0.1 else (1e3 * ms, "µs")
    if value >= 100:
        return f"{value:,.0f} {unit}"
    digits = 1 if value >= 10 else 2
    return f"{value:.{digits}f} {unit}"
