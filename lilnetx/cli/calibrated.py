"""Options and output of ``lilnetx pack`` for models that are compressed without training."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lilnetx.cli.common import (
    CommandParser,
    nonnegative_int,
    positive_float,
    positive_int,
    stage_bar,
    warnings_as_lines,
)
from lilnetx.cli.table import format_bytes, format_table
from lilnetx.errors import UsageError

if TYPE_CHECKING:
    from lilnetx.graph.ir import Graph
    from lilnetx.packing.calibrate import CalibrationReport

_NEEDS = (
    "--calibration DIR, a folder of some hundred images like those that the network will see, "
    "without labels"
)


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
        "--mean", metavar="M[,M,M]", help="of pictures, by channel: (pixel * scale - mean) / std"
    )
    group.add_argument("--std", metavar="S[,S,S]", help="of pictures, likewise")
    group.add_argument(
        "--scale",
        type=positive_float,
        default=1 / 255,
        metavar="X",
        help="of pictures' pixels, 0 to 255, before mean and std (default: 1/255)",
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
        default=512,
        metavar="N",
        help="at most so many, drawn at random (default: %(default)s)",
    )
    group.add_argument(
        "--slice-1x1",
        type=positive_int,
        default=1,
        metavar="G",
        help="input channels of a slice of 1x1 and linear layers (default: %(default)s)",
    )
    group.add_argument(
        "--seed", type=nonnegative_int, default=0, help="of what is drawn (default: %(default)s)"
    )
    group.add_argument(
        "--json", action="store_true", help="print the figures as JSON and nothing else"
    )


def is_wanted(args: argparse.Namespace) -> bool:
    """Whether the options ask for compression.

    Raises:
        UsageError: They ask for half of it.
    """
    target = args.target_bytes is not None or args.max_drop is not None
    if target and args.calibration is None:
        name = "--target-bytes" if args.target_bytes is not None else "--max-drop"
        raise UsageError(f"{name} needs {_NEEDS}")
    if args.calibration is not None and not target:
        raise UsageError(
            "--calibration needs --target-bytes N or --max-drop P: how small it may be"
        )
    if not target and args.json:
        raise UsageError("--json is for compression by --target-bytes or --max-drop")
    return target


def refuse(args: argparse.Namespace) -> None:
    """Refuse the options for checkpoints; UsageError."""
    if args.target_bytes is not None or args.max_drop is not None or args.calibration is not None:
        raise UsageError(
            "--target-bytes, --max-drop and --calibration are for ONNX models and exported "
            "programs; a checkpoint has integers already: --trim makes it smaller, 'lilnetx train "
            "--start RUN --target-bytes N' much smaller"
        )


def compress(graph: Graph, args: argparse.Namespace) -> tuple[Graph, CalibrationReport]:
    """Compress a graph as the options say."""
    from lilnetx.packing.calibrate import compress_trained, load_folder

    images = load_folder(
        args.calibration,
        graph.input_shape,
        _preprocessing(args),
        args.calibration_images,
        args.seed,
    )
    with warnings_as_lines(), stage_bar("compress") as show:
        return compress_trained(
            graph,
            images,
            target_bytes=args.target_bytes,
            max_drop=None if args.max_drop is None else args.max_drop / 100,
            slice_1x1=args.slice_1x1,
            seed=args.seed,
            progress=lambda done: show("", done),
        )


def _preprocessing(args: argparse.Namespace) -> Any:
    from lilnetx.packing.calibrate import Preprocessing

    if (args.mean is None) != (args.std is None):
        raise UsageError("--mean and --std belong together: give both")
    if args.mean is None:
        return None
    mean, std = _numbers("--mean", args.mean), _numbers("--std", args.std)
    if min(std) <= 0:
        raise UsageError(f"--std {args.std}: must be above 0")
    # No mean or deviation of pixels is larger than the largest pixel.
    if max(*map(abs, mean), *std) > max(1.0, 255 * args.scale):
        raise UsageError(
            f"--mean {args.mean} --std {args.std}: pixels are multiplied by {args.scale:.3g} "
            "before; means and deviations of pixels from 0 to 255 need --scale 1"
        )
    return Preprocessing(mean, std, args.scale, args.resize)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(map(math.isfinite, numbers)):
        raise UsageError(f"{option} {text}: expected numbers such as 0.485,0.456,0.406")
    return numbers


def meta_of(args: argparse.Namespace, graph: Graph) -> dict[str, Any]:
    """What a device must know of the input, where the options tell it."""
    prepared = _preprocessing(args)
    if prepared is None or prepared.scale != 1 / 255:
        return {}
    channels = graph.input_shape[0] if graph.input_shape else 1
    mean, std = ([*v] * (channels if len(v) == 1 else 1) for v in (prepared.mean, prepared.std))
    return {"input": {"mean": mean, "std": std}}


def print_layers(report: CalibrationReport) -> None:
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
    print(format_table(header, rows))
    print(summary(report))


def summary(report: CalibrationReport) -> str:
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


def print_json(report: CalibrationReport, file_bytes: int, dense_bytes: int) -> None:
    """The figures as one JSON object."""
    facts = {**report.as_json(), "file_bytes": file_bytes, "dense_fp32_bytes": dense_bytes}
    print(json.dumps(facts))
