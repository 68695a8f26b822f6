"""A benchmark's result as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lilnetx.atomic import atomic_write
from lilnetx.bench.run import ContenderRow, Report
from lilnetx.cli.table import format_bytes, format_table

SYNTHETIC_NOTE = "SYNTHETIC weights: for timing only"

_CSV_FIELDS = (
    "kind",
    "name",
    "precision",
    "version",
    "settings",
    "shape",
    "density",
    "kernel",
    "median_ms",
    "p20_ms",
    "p80_ms",
    "dense_equivalent_gflops",
    "useful_gflops",
    "reason",
    "file",
    "file_bytes",
    "synthetic",
    "batch",
    "threads",
    "isa",
    "cpu",
    "command",
)


def format_report(report: Report) -> str:
    """The tables by layer and for the whole network, with everything needed to repeat them."""
    threads = f"{report.threads} thread{'s' if report.threads > 1 else ''}"
    shape = "x".join(map(str, report.input_shape))
    where = f"{report.file}, batch {report.batch}, {threads}, {report.isa}"
    if report.synthetic:
        where += f" - {SYNTHETIC_NOTE}"
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    parts = [
        f"{report.file}: {format_bytes(report.file_bytes)}, input {shape}\n"
        f"output checked: relative error {report.max_rel_error:.1e} against float64\n"
        f"load (read, decode, plan): {report.load_ms:.1f} ms",
        _layer_table(report, f"By layer: {where}"),
        _network_table(report, f"Whole network: {where}"),
        _verdict(report),
        "\n".join(
            [
                *(f"{row.name}: {row.settings}" for row in report.contenders),
                f"machine: {report.machine['cpu']}, cores in use: {report.machine['cores']}, "
                f"{report.machine['system']}",
                f"versions: {versions}",
                f"command: {report.command}",
            ]
        ),
    ]
    return "\n\n".join(parts)


def as_json(report: Report) -> dict[str, Any]:
    """The JSON object that ``--json`` writes."""
    return {
        "file": report.file,
        "file_bytes": report.file_bytes,
        "synthetic": report.synthetic,
        "batch": report.batch,
        "threads": report.threads,
        "isa": report.isa,
        "max_rel_error": report.max_rel_error,
        "load_ms": report.load_ms,
        "contenders": [_contender_json(row) for row in report.contenders],
        "speedup_vs_best_dense_fp32": report.speedup_vs_best_dense_fp32,
        "layers": [asdict(layer) for layer in report.layers],
        "machine": report.machine,
        "versions": report.versions,
        "command": report.command,
    }


def write_json(report: Report, path: Path) -> None:
    """Write :func:`as_json`; OutputError when that is not possible."""
    text = json.dumps(as_json(report), indent=2) + "\n"
    with atomic_write(path) as file:
        file.write(text.encode())


def write_csv(report: Report, path: Path) -> None:
    """Write a row for each contender and each layer; OutputError when that is not possible."""
    shared = {
        "file": report.file,
        "file_bytes": report.file_bytes,
        "synthetic": report.synthetic,
        "batch": report.batch,
        "threads": report.threads,
        "isa": report.isa,
        "cpu": report.machine["cpu"],
        "command": report.command,
    }
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _CSV_FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in report.contenders:
        writer.writerow({"kind": "network", **_contender_json(row), **shared})
    for layer in report.layers:
        writer.writerow(
            {
                "kind": "layer",
                "name": layer.name,
                "shape": layer.shape,
                "density": "" if layer.density is None else layer.density,
                "kernel": layer.kernel,
                "reason": layer.reason,
                "median_ms": layer.ms,
                "dense_equivalent_gflops": "" if layer.gflops is None else layer.gflops,
                "useful_gflops": "" if layer.useful_gflops is None else layer.useful_gflops,
                **shared,
            }
        )
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def _contender_json(row: ContenderRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "precision": row.precision,
        "version": row.version,
        "settings": row.settings,
        "median_ms": row.timing.median_ms,
        "p20_ms": row.timing.p20_ms,
        "p80_ms": row.timing.p80_ms,
    }


def _layer_table(report: Report, title: str) -> str:
    rows = [
        (
            layer.name,
            layer.shape,
            "-" if layer.density is None else f"{100 * layer.density:.1f}",
            layer.kernel,
            f"{layer.ms:.4f}",
            "-" if layer.gflops is None else f"{layer.gflops:.0f}",
            f"{100 * layer.share:.1f}",
            layer.reason,
        )
        for layer in report.layers
    ]
    total = sum(layer.ms for layer in report.layers)
    rows.append(("all steps", "", "", "", f"{total:.4f}", "", "100.0", ""))
    header = ("<layer", "<shape", "density %", "<kernel", "ms", "GFLOP/s *", "share %", "<reason")
    note = "* dense-equivalent: operations of the dense layer divided by our time"
    return f"{format_table(header, rows, title=title)}\n{note}"


def _network_table(report: Report, title: str) -> str:
    ours = report.contenders[0].timing.median_ms
    rows = [
        (
            row.name,
            row.precision,
            row.version,
            f"{row.timing.median_ms:.3f}",
            f"{row.timing.p20_ms:.3f}",
            f"{row.timing.p80_ms:.3f}",
            f"{row.timing.median_ms / ours:.2f}",
            row.timing.rounds,
        )
        for row in report.contenders
    ]
    header = (
        "<contender",
        "<precision",
        "<version",
        "median ms",
        "p20 ms",
        "p80 ms",
        "times ours",
        "rounds",
    )
    return format_table(header, rows, title=title)


def _verdict(report: Report) -> str:
    best, speedup = report.best_dense_fp32, report.speedup_vs_best_dense_fp32
    if best is None or speedup is None:
        return "no dense engine took part (--against chooses them; lilnetx[bench] brings them)"
    return f"{speedup:.2f} times as fast as the fastest dense float32 ({best.name})"
