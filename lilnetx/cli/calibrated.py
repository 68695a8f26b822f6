"""Options and output of ``lilnetx pack`` for models that are compressed without training."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lilnetx.cli import normalisation
from lilnetx.cli.common import (
    CommandParser,
    nonnegative_int,
    positive_float,
    positive_int,
    stage_bar,
    warnings_as_lines,
)
from lilnetx.cli.table import format_bytes, format_table

if TYPE_CHECKING:
    from lilnetx.graph.ir import Graph
    from lilnetx.packing.calibrate import CalibrationReport

# What holds where an option is not given.
_IMAGES, _SLICE_1X1, _SEED = 512, 1, 0


def add_options(parser: CommandParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group(
        "compression of ONNX models and exported programs, without training",
        "Weights become integers, chosen by what they do to each layer's outputs over the "
        "calibration images. One half of the images is used for that; the other measures what the "
        "result is like.",
    )
    target = group.add_mutually_exclusive_group()
    target.add_argument(
        "--target-bytes", type=positive_int, metavar="N", help="size of the file to make"
    )
    target.add_argument(
        "--max-drop",
        type=positive_float,
        metavar="P",
        help="make the smallest file that answers otherwise for at most P %% of the held-out "
        "images (of networks that are no classifiers: whose outputs are off by at most P %%)",
    )
    group.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR",
        help="folder of images: pictures (PNG, JPEG, BMP, WebP), or .npy files with float32 arrays "
        "of the input's shape, or of several such, as the network takes them",
    )
    group.add_argument(
        "--resize",
        type=positive_int,
        metavar="N",
        help="pixels of a picture's shorter side before its centre is cut out (default: as many as "
        "the network's input)",
    )
    group.add_argument(
        "--calibration-images",
        type=positive_int,
        metavar="N",
        help=f"at most so many, drawn at random (default: {_IMAGES})",
    )
    group.add_argument(
        "--slice-1x1",
        type=positive_int,
        metavar="G",
        help=f"input channels of a slice of 1x1 and linear layers (default: {_SLICE_1X1})",
    )
    group.add_argument("--seed", type=nonnegative_int, help=f"of what is drawn (default: {_SEED})")


def compress(graph: Graph, args: argparse.Namespace) -> tuple[Graph, CalibrationReport]:
    """Compress a graph as the options say."""
    from lilnetx.packing.calibrate import Preprocessing, compress_trained, load_folder

    seed = _SEED if args.seed is None else args.seed
    told = normalisation.normalisation(args)
    images = load_folder(
        args.calibration,
        graph.input_shape,
        None if told is None else Preprocessing(told.mean, told.std, told.scale, args.resize),
        args.calibration_images or _IMAGES,
        seed,
    )
    with warnings_as_lines(), stage_bar("compress") as show:
        return compress_trained(
            graph,
            images,
            target_bytes=args.target_bytes,
            max_drop=None if args.max_drop is None else args.max_drop / 100,
            slice_1x1=args.slice_1x1 or _SLICE_1X1,
            seed=seed,
            progress=lambda done: show("", done),
        )


def figures(report: CalibrationReport) -> str:
    """A line for each layer, and what the whole network answers."""
    rows = [
        (
            layer.name,
            layer.op,
            f"{layer.weights:,}",
            f"{layer.bytes:,}",
            f"{layer.bits:.2f}",
            f"{100 * layer.zero_slices / layer.slices:.1f} %",
            f"{100 * layer.output_error:.2f} %",
        )
        for layer in report.layers
    ]
    header = ("<layer", "<operator", "weights", "bytes", "bits each", "zero slices", "output error")
    return f"{format_table(header, rows)}\n{_summary(report)}"


def _summary(report: CalibrationReport) -> str:
    """What the compressed network is like, in a few lines."""
    held_out = report.held_out
    lines = [
        f"integers by {report.calibration_images:,} images; what follows is of {held_out.images:,} "
        "others, beside the original network:",
        f"  output error {100 * held_out.output_error:.2f} %",
    ]
    if held_out.agreement is not None and held_out.interval is not None:
        low, high = held_out.interval
        lines.append(
            f"  the same most likely class for {100 * held_out.agreement:.2f} % (with 95 % "
            f"confidence {100 * low:.1f} to {100 * high:.1f} %)"
        )
    lines.append(
        f"  zero slices {100 * report.zero_slices:.1f} %; {format_bytes(report.file_bytes)}"
    )
    return "\n".join(lines)
