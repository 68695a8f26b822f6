"""``lilnetx diff``: what differs between two ``.lnx`` files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lilnetx.cli.common import EXIT_DIFFERENT, EXIT_OK, CommandParser
from lilnetx.cli.table import format_facts, format_table

if TYPE_CHECKING:
    from lilnetx.format.diff import FileDiff, WeightDiff

_EPILOG = """\
examples:
  lilnetx diff before.lnx after.lnx
  lilnetx diff before.lnx after.lnx --json | python -m json.tool

Exit codes: 0 the same network, 1 they differ, 2 error. Files that hold the same network but code it
in different ways are the same; their sizes are shown.
"""


def add_parser(subparsers: argparse._SubParsersAction[CommandParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "diff",
        help="show what differs between two .lnx files",
        description="Compare two .lnx files: operators, weights (integers one by one, floats bit "
        "for bit), slices that are zero, bytes by section and layer, decoders and metadata.",
        epilog=_EPILOG,
    )
    parser.add_argument("before", type=Path, metavar="A", help=".lnx file")
    parser.add_argument("after", type=Path, metavar="B", help="the .lnx file to compare with it")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the comparison."""
    from lilnetx.format.diff import as_json, diff_lnx

    diff = diff_lnx(args.before, args.after)
    print(json.dumps(as_json(diff), indent=2) if args.json else _as_text(args, diff))
    return EXIT_OK if diff.equal else EXIT_DIFFERENT


def _as_text(args: argparse.Namespace, diff: FileDiff) -> str:
    facts: list[tuple[str, object]] = [
        ("A", f"{args.before}: format version {diff.version[0]}, {diff.file_bytes[0]:,} bytes"),
        ("B", f"{args.after}: format version {diff.version[1]}, {diff.file_bytes[1]:,} bytes"),
        ("network", "the same" if diff.equal else "different"),
    ]
    facts += [(name, f"{first} -> {second}") for name, (first, second) in diff.network.items()]
    facts += [(f"decoder {name}", change) for name, change in diff.decoders.items()]
    facts += [(f"meta {name}", change) for name, change in diff.meta.items()]
    parts = [format_facts(facts)]
    if diff.nodes:
        parts.append(format_table(("<node", "<change"), list(diff.nodes.items())))
    if diff.weights:
        header = ("<layer", "<change", "values changed", "scales", "biases", "zero slices", "bytes")
        parts.append(format_table(header, [_row(weight) for weight in diff.weights]))
    sizes = [*diff.bytes_by_section.items(), ("total", diff.file_bytes)]
    if any(before != after for _, (before, after) in sizes):
        rows = [(name, f"{a:,}", f"{b:,}", f"{b - a:+,}") for name, (a, b) in sizes]
        parts.append(format_table(("<section", "A", "B", "change"), rows))
    return "\n\n".join(parts)


def _row(weight: WeightDiff) -> tuple[str, ...]:
    change = weight.change
    if weight.decoder[0] != weight.decoder[1] and change == "changed":
        change = f"stored: {weight.decoder[0] or 'float32'} -> {weight.decoder[1] or 'float32'}"
    return (
        weight.name,
        change,
        f"{weight.values_changed:,} of {max(weight.values):,}",
        f"{weight.scale_changed:,}",
        f"{weight.bias_changed:,}",
        "{:,} -> {:,}".format(*weight.zero_slices),
        "{:,} -> {:,}".format(*weight.coded_bytes),
    )
