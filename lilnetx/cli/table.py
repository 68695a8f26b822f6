"""Plain text tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence


def format_table(
    header: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None
) -> str:
    """A table with aligned columns.

    Args:
        header: Column titles. A title that begins with ``<`` makes its column left-aligned, others
            are right-aligned.
        rows: Cells, as many in each row as there are titles.
        title: A line above the table.

    Returns:
        The table, without a newline at its end.
    """
    left = [name.startswith("<") for name in header]
    names = [name.removeprefix("<") for name in header]
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [names, *cells]) for i in range(len(names))]

    def line(row: Sequence[str]) -> str:
        aligned = (
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(row, widths, left, strict=True)
        )
        return "  ".join(aligned).rstrip()

    lines = [line(names), "  ".join("-" * width for width in widths), *map(line, cells)]
    return "\n".join([title, *lines] if title else lines)


def format_facts(facts: Sequence[tuple[str, object]]) -> str:
    """Lines of ``name  value``, the values aligned."""
    width = max(len(name) for name, _ in facts)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in facts)


def format_bytes(count: int) -> str:
    """A size in bytes with thousands separated, and in KiB or MiB where that is easier to read."""
    if count >= 10 * 1024**2:
        return f"{count:,} bytes ({count / 1024**2:.1f} MiB)"
    if count >= 10 * 1024:
        return f"{count:,} bytes ({count / 1024:.1f} KiB)"
    return f"{count:,} bytes"


def format_share(part: int, whole: int) -> str:
    """``part`` of ``whole`` with its percentage; a dash when there is nothing to share."""
    return f"{part:,} of {whole:,} ({100 * part / whole:.1f} %)" if whole else "-"
