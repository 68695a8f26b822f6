"""The files that gpu-check writes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lilnetx.atomic import atomic_write

COLUMNS = (
    "kind",
    "name",
    "count",
    "shape",
    "batch",
    "precision",
    "contender",
    "kernel",
    "median_ms",
    "p20_ms",
    "p80_ms",
    "calls",
    "predicted_ms",
    "dense_equivalent_tflops",
    "useful_tflops",
    "relative_error",
    "reason",
)


def write(
    folder: Path, name: str, rows: Sequence[Mapping[str, object]], facts: Mapping[str, object]
) -> None:
    """Writes ``name.csv`` with the rows, and ``name.json`` with the facts and the rows.

    Args:
        folder: Where; it is there.
        name: Of the files.
        rows: With keys of :data:`COLUMNS`; what is missing stays empty.
        facts: Command, device, versions, what was not run.

    Raises:
        OutputError: The files cannot be written.
        ValueError: A row has a key that is no column.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([{key: _plain(value) for key, value in row.items()} for row in rows])
    with atomic_write(folder / f"{name}.csv") as file:
        file.write(text.getvalue().encode())
    with atomic_write(folder / f"{name}.json") as file:
        file.write((json.dumps({**facts, "rows": list(rows)}, indent=2) + "\n").encode())


def _plain(value: object) -> object:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value
