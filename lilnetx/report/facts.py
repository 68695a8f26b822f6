"""What a report is about: everything that is in the file, and what was measured."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lilnetx.format import FileSummary, LayerBytes, inspect_lnx, layer_bytes, read_lnx
from lilnetx.graph.cost import LayerStats, layer_stats
from lilnetx.graph.ir import Graph
from lilnetx.report.measuring import Measurement


@dataclass(frozen=True)
class ReportFacts:
    """Everything that a page shows.

    Attributes:
        name: Name of the file, without its folder.
        summary: As ``lilnetx inspect`` has it.
        layer_bytes: Bytes of each layer with weights or side data, by name.
        layer_stats: Slices and computation of each weighted layer, in order.
        graph: The decoded network.
        measurement: Times, or None where they were not measured.
        command: Command line that made the report, or "".
    """

    name: str
    summary: FileSummary
    layer_bytes: dict[str, LayerBytes]
    layer_stats: tuple[LayerStats, ...]
    graph: Graph
    measurement: Measurement | None
    command: str


def gather(
    path: str | os.PathLike[str], measurement: Measurement | None = None, *, command: str = ""
) -> ReportFacts:
    """Read a file and collect what a report shows.

    Args:
        path: The ``.lnx`` file; all of it is decoded.
        measurement: Times of the same file, or None.
        command: Command line to record.

    Raises:
        LnxFormatError: The file cannot be read (see its subclasses).
    """
    summary = inspect_lnx(path)
    graph = read_lnx(path)
    return ReportFacts(
        name=Path(path).name,
        summary=summary,
        layer_bytes={row.name: row for row in layer_bytes(graph, summary.bytes_by_section)},
        layer_stats=tuple(layer_stats(graph)),
        graph=graph,
        measurement=measurement,
        command=command,
    )
