"""``lilnetx inspect``: what a ``.lnx`` file holds; weights are decoded only to share out bytes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lilnetx.atomic import atomic_write
from lilnetx.cli.common import EXIT_OK, CommandParser, require_folder_of, require_other_file
from lilnetx.cli.table import format_bytes, format_facts, format_share, format_table

if TYPE_CHECKING:
    from lilnetx.format import FileSummary, LayerBytes

_EPILOG = """\
examples:
  lilnetx inspect fashion.lnx
  lilnetx inspect fashion.lnx --json | python -m json.tool
  lilnetx inspect fashion.lnx --svg bytes.svg
"""

# The JSON's keys, which other programs read: attributes of FileSummary.
_JSON_FIELDS = (
    "file_bytes",
    "bytes_by_section",
    "parameters",
    "dense_fp32_bytes",
    "slices_kxk",
    "zero_slices_kxk",
    "slices_1x1",
    "zero_slices_1x1",
    "macs",
    "macs_left",
    "classes",
)
# How many classes the text names.
_NAMED = 10


def add_parser(subparsers: argparse._SubParsersAction[CommandParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "inspect",
        help="show what a .lnx file holds",
        description="Show sizes, sparsity, normalisation, classes and layers of a .lnx file. "
        "Weights are not decoded, so damage in them goes unnoticed: 'lilnetx verify' finds it. "
        "Only --bytes and --svg decode them, to tell how many bytes each layer has.",
        epilog=_EPILOG,
    )
    parser.add_argument("file", type=Path, help=".lnx file")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument(
        "--bytes", action="store_true", help="show the bytes of each layer: JSON bytes_by_layer"
    )
    parser.add_argument(
        "--svg", type=Path, metavar="OUT", help="draw where the bytes are, by section and layer"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the summary."""
    from lilnetx.cli.picture import bytes_svg
    from lilnetx.format import inspect_lnx, layer_bytes, read_lnx

    if args.svg is not None:
        require_folder_of(args.svg)
        require_other_file(args.file, args.svg)
    summary = inspect_lnx(args.file)
    layers: tuple[LayerBytes, ...] = ()
    if args.bytes or args.svg is not None:
        layers = layer_bytes(read_lnx(args.file), summary.bytes_by_section)
    if args.svg is not None:
        with atomic_write(args.svg) as file:
            file.write(bytes_svg(args.file.name, summary, layers).encode())
    if args.json:
        print(json.dumps(summary_json(summary, layers if args.bytes else ()), indent=2))
    else:
        print(_as_text(args.file, summary, layers if args.bytes else ()))
    return EXIT_OK


def summary_json(summary: FileSummary, layers: Sequence[LayerBytes]) -> dict[str, object]:
    """What ``--json`` prints; with ``layers``, their bytes too."""
    row = {name: getattr(summary, name) for name in _JSON_FIELDS}
    row["bytes_by_section"] = dict(summary.bytes_by_section)
    pixels = summary.normalisation
    row["normalisation"] = None if pixels is None else pixels._asdict()
    if layers:
        row["bytes_by_layer"] = {
            layer.name: {"LATS": layer.latents, "RAWF": layer.dense, "SIDE": layer.side}
            for layer in layers
        }
    return row


def _as_text(path: Path, summary: FileSummary, layers: Sequence[LayerBytes]) -> str:
    sections = ", ".join(f"{name} {size:,}" for name, size in summary.bytes_by_section.items())
    ratio = summary.dense_fp32_bytes / summary.file_bytes
    facts: list[tuple[str, object]] = [
        ("file", f"{path}: format version {summary.version}"),
        ("size", f"{format_bytes(summary.file_bytes)}, 1/{ratio:.1f} of dense float32"),
        ("sections", sections),
        ("input", " x ".join(map(str, summary.input_shape))),
    ]
    if summary.normalisation is not None:
        mean, std = (", ".join(f"{v:g}" for v in values) for values in summary.normalisation)
        facts.append(("normalisation", f"(pixel / 255 - mean) / std, mean {mean}, std {std}"))
    if summary.classes:
        named = ", ".join(summary.classes[:_NAMED])
        more = ", ..." if len(summary.classes) > _NAMED else ""
        facts.append(("classes", f"{len(summary.classes):,}: {named}{more}"))
    facts += [
        ("parameters", f"{summary.parameters:,}: {format_bytes(summary.dense_fp32_bytes)} dense"),
        ("zero slices, KxK", format_share(summary.zero_slices_kxk, summary.slices_kxk)),
        ("zero slices, 1x1", format_share(summary.zero_slices_1x1, summary.slices_1x1)),
        ("multiply-adds left", format_share(summary.macs_left, summary.macs)),
    ]
    if "dataset" in summary.meta:
        facts.insert(1, ("trained on", summary.meta["dataset"]))
    if summary.synthetic:
        facts.insert(1, ("weights", "SYNTHETIC: for timing only"))
    header: tuple[str, ...]
    rows: list[tuple[str, ...]] = [
        (
            layer.name,
            layer.op,
            "x".join(map(str, layer.shape)),
            "float32" if layer.dense else "latents",
            f"{layer.slices:,}",
            f"{100 * layer.zero_slices / layer.slices:.1f}",
            f"{layer.macs:,}",
            f"{layer.macs_left:,}",
        )
        for layer in summary.layers
    ]
    header = ("<layer", "<op", "<weight", "<stored", "slices", "zero %", "macs", "macs left")
    if layers:
        header = (*header, "bytes")
        # Operators without layers of their own, such as scales of channels, come last.
        sizes = {layer.name: f"{layer.total:,}" for layer in layers}
        rows = [(*row, sizes.pop(row[0], "0")) for row in rows]
        rows += [(name, *[""] * 7, size) for name, size in sizes.items()]
    return f"{format_facts(facts)}\n\n{format_table(header, rows)}"
