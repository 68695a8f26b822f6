"""What a sweep leaves behind: tables as CSV, its front as PNG and as a page without links."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from lilnetx.atomic import atomic_write
from lilnetx.sweep.chart import HEIGHT, WIDTH, chart
from lilnetx.sweep.front import Outcome, pareto_front, write_csv
from lilnetx.sweep.shapes import png, svg

_STYLE = """\
body { font-family: sans-serif; color: #222222; max-width: 1040px; margin: 24px auto; }
table { border-collapse: collapse; margin: 12px 0 28px; font-size: 14px; }
th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid #e4e4e4; }
tr.front td { color: #0072b2; }
svg { max-width: 100%; height: auto; }
"""


def write_reports(
    folder: Path, definition: dict[str, Any], outcomes: Sequence[Outcome], trials: int
) -> None:
    """Write ``trials.csv``, ``front.csv``, ``front.png`` and ``front.html``, each atomically.

    Nothing is written while nothing is done.

    Raises:
        OutputError: The folder cannot be written.
        MissingExtraError: Pillow is not installed.
    """
    if not outcomes:
        return
    front = pareto_front(outcomes)
    write_csv(folder / "trials.csv", outcomes)
    write_csv(folder / "front.csv", front)
    shapes = chart(outcomes, front)
    with atomic_write(folder / "front.png") as file:
        file.write(png(shapes, WIDTH, HEIGHT))
    page = html_page(definition, outcomes, front, svg(shapes, WIDTH, HEIGHT), trials)
    with atomic_write(folder / "front.html") as file:
        file.write(page.encode())


def html_page(
    definition: dict[str, Any],
    outcomes: Sequence[Outcome],
    front: Sequence[Outcome],
    picture: str,
    trials: int,
) -> str:
    """The page: picture, the front's table, all trials, the settings that all runs share."""
    config, vary = definition["config"], definition["vary"]
    title = f"{config['network']} on {config['data']}"
    varied = ", ".join(f"{name} = {values}" for name, values in vary.items())
    fixed = [(name, value) for name, value in config.items() if name not in vary]
    rows = "\n".join(
        f"<tr><td>{escape(str(name))}</td><td>{escape(str(value))}</td></tr>"
        for name, value in fixed
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{escape(title)}</title>
<style>
{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p>{len(outcomes)} of {trials} trials, over {escape(varied)}. Accuracy is that on held-out training
images, and nothing else counts here; the last columns' test accuracy is for the record.</p>
{picture}
<h2>Front</h2>
<p>No other trial is as good in accuracy, bytes and computation, and better in one of them.</p>
{_table(front, set())}
<h2>All trials</h2>
{_table(outcomes, {outcome.slot for outcome in front})}
<h2>Settings of all runs</h2>
<table>
{rows}
</table>
</body>
</html>
"""


def _table(outcomes: Sequence[Outcome], marked: set[int]) -> str:
    names = list(outcomes[0].values)
    titles = ["trial", *names, "validation top-1", "bytes", "multiply-accumulates", "left"]
    titles += ["zero KxK slices", "zero 1x1 slices", "test top-1", "seconds", "folder"]
    lines = ["<table>", _row("th", titles, "")]
    for row in outcomes:
        cells = [
            str(row.slot),
            *(f"{row.values[name]:.6g}" for name in names),
            f"{100 * row.validation_top1:.2f} %",
            f"{row.bytes:,}",
            f"{row.macs_left:,}",
            f"{100 * row.macs_left / row.macs:.1f} %",
            f"{100 * row.sparsity_kxk:.1f} %",
            f"{100 * row.sparsity_1x1:.1f} %",
            f"{100 * row.test_top1:.2f} %",
            f"{row.seconds:,.0f}",
            Path(row.folder).name,
        ]
        lines.append(_row("td", cells, ' class="front"' if row.slot in marked else ""))
    return "\n".join([*lines, "</table>"])


def _row(tag: str, cells: Sequence[str], attributes: str) -> str:
    inner = "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)
    return f"<tr{attributes}>{inner}</tr>"


__all__ = ["html_page", "write_reports"]
