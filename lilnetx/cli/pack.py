"""``lilnetx pack``: a trained checkpoint into one ``.lnx`` file."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lilnetx.cli import calibrated
from lilnetx.cli.common import (
    EXIT_OK,
    CommandParser,
    add_data_root,
    positive_float,
    positive_int,
    progress_bar,
    require_folder_of,
    require_other_file,
)
from lilnetx.cli.sources import Kind, add_input_shape, import_file, kind_of
from lilnetx.cli.table import format_bytes
from lilnetx.errors import UsageError
from lilnetx.packing.side import SIDE_BITS

if TYPE_CHECKING:
    from torch import nn

_EPILOG = """\
examples:
  lilnetx pack runs/fashion -o fashion.lnx
  lilnetx pack runs/fashion -o fashion.lnx --trim 0.005    (smaller, nearly the same answers)
  lilnetx pack model.onnx -o model.lnx                     (as it is)
  lilnetx pack model.onnx -o small.lnx --target-bytes 3000000 --calibration images/ \\
      --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225     (compressed without training)
  lilnetx pack model.onnx -o small.lnx --max-drop 1 --calibration arrays/

The file holds everything that a device needs: the graph, the integers, the decoders, folded batch
norm, class names and the input normalisation. The data set itself is needed for --trim alone.
"""


def add_parser(subparsers: argparse._SubParsersAction[CommandParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "pack",
        help="pack a trained checkpoint or another model into one .lnx file",
        description="Freeze a trained network, entropy-code its integers, and write one .lnx file. "
        "ONNX models (.onnx) and programs of torch.export (.pt2) are packed as they are, with "
        "float32 weights, or compressed with the help of calibration images; 'lilnetx check' says "
        "beforehand what is in the way.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "model",
        type=Path,
        help="checkpoint of lilnetx train, the folder of the run, or an .onnx or .pt2 file",
    )
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FILE", help=".lnx file to write"
    )
    parser.add_argument(
        "--side-bits",
        type=int,
        default=SIDE_BITS,
        metavar="N",
        help="significant bits of the scales and biases; 0 keeps them float32 (default: "
        "%(default)s)",
    )
    add_input_shape(parser)
    parser.add_argument(
        "--trim",
        type=positive_float,
        metavar="D",
        help="let integers change to ones that take fewer bytes, as long as the mean "
        "Kullback-Leibler divergence of the answers from those of the trained network, on training "
        "images, stays below D nats; 0.002 to 0.01 is of use",
    )
    parser.add_argument(
        "--trim-images",
        type=positive_int,
        default=2000,
        metavar="N",
        help="training images for --trim (default: %(default)s)",
    )
    add_data_root(parser)
    calibrated.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Pack a model, and print what came of it."""
    require_folder_of(args.output)
    require_other_file(args.model, args.output)
    kind = kind_of(args.model)
    if kind == "lnx":
        raise UsageError(f"{args.model}: is packed already")
    if kind == "checkpoint":
        if args.input_shape:
            raise UsageError("--input-shape is for ONNX models; a checkpoint knows its images")
        calibrated.refuse(args)
        note = _pack_checkpoint(args)
    else:
        if args.trim is not None:
            raise UsageError(
                "--trim is for checkpoints of lilnetx train, whose weights are integers"
            )
        if calibrated.is_wanted(args):
            return _compress_import(args, kind)
        note = _pack_import(args, kind)
    _print_sizes(args.output)
    if note:
        print(f"note: {note}")
    return EXIT_OK


def _print_sizes(output: Path) -> None:
    from lilnetx.format import inspect_lnx

    summary = inspect_lnx(output)
    ratio = summary.dense_fp32_bytes / summary.file_bytes
    print(
        f"{output}: {format_bytes(summary.file_bytes)}, 1/{ratio:.1f} of the dense float32 "
        f"parameters ({format_bytes(summary.dense_fp32_bytes)})"
    )


def _compress_import(args: argparse.Namespace, kind: Kind) -> int:
    """Compress a model of another framework without training, and print what it is like."""
    from lilnetx.format import inspect_lnx, write_lnx

    graph = import_file(args.model, kind, args.input_shape)
    graph = dataclasses.replace(graph, meta=_origin(args) | calibrated.meta_of(args, graph))
    graph, report = calibrated.compress(graph, args)
    write_lnx(graph, args.output)
    if args.json:
        summary = inspect_lnx(args.output)
        calibrated.print_json(report, summary.file_bytes, summary.dense_fp32_bytes)
    else:
        calibrated.print_layers(report)
        _print_sizes(args.output)
    return EXIT_OK


def _origin(args: argparse.Namespace) -> dict[str, Any]:
    """What a file says about where it comes from."""
    from lilnetx import __version__

    return {"producer": f"lilnetx {__version__}", "source": args.model.name}


def _pack_import(args: argparse.Namespace, kind: Kind) -> str:
    """Pack a model of another framework as it is."""
    from lilnetx.format import write_lnx

    graph = import_file(args.model, kind, args.input_shape)
    write_lnx(dataclasses.replace(graph, meta=_origin(args)), args.output)
    sizes = ", other heights and widths too" if graph.free_size else ""
    shapes = " and ".join("x".join(map(str, shape)) for shape in graph.inputs.values())
    return f"float32 weights as they were; images of {shapes}{sizes}"


def _pack_checkpoint(args: argparse.Namespace) -> str:
    """Rebuild the network of a checkpoint and pack it."""
    from lilnetx.packing import pack
    from lilnetx.train.checkpoint import load_checkpoint, restore
    from lilnetx.train.loop import CHECKPOINT
    from lilnetx.train.origin import file_meta
    from lilnetx.train.start import build_model

    path = args.model / CHECKPOINT if args.model.is_dir() else args.model
    require_other_file(path, args.output)
    state = load_checkpoint(path)
    config, facts = state["config"], state["data"]
    model, _ = build_model(config, facts)
    restore(path, state, model, None)
    model.eval()
    if args.trim is not None:
        _trim(model, state, args)
    pack(
        model,
        args.output,
        input_shape=facts.image_shape,
        side_bits=args.side_bits,
        meta=file_meta(config, facts, state["epoch"]),
    )
    if state["epoch"] < config.epochs:
        return f"the checkpoint is of epoch {state['epoch']} of {config.epochs}"
    return ""


def _trim(model: nn.Module, state: dict[str, Any], args: argparse.Namespace) -> None:
    """Trim on images that the network was trained on, and print what it did."""
    import torch

    from lilnetx.data import load, normalise, validation_split
    from lilnetx.packing.trim import trim

    config, facts = state["config"], state["data"]
    data = load(facts.name, args.data_root, facts.image_shape[-1])
    trained_on, _ = validation_split(len(data.train_images), config.validation, config.seed)
    images = data.train_images[trained_on[: args.trim_images]]
    with progress_bar(100, "trim", "%") as bar:
        report = trim(
            model.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            torch.from_numpy(normalise(images, facts.mean, facts.std)),
            args.trim,
            seed=config.seed,
            progress=lambda done: bar.update(int(100 * done) - bar.n),
        )
    print(
        f"trimmed: {100 * report.changed:.2f} % of the integers changed, zero slices "
        f"{100 * report.zero_slices_before:.1f} -> {100 * report.zero_slices_after:.1f} %; the "
        f"class is the same for {100 * report.agreement:.1f} % of {report.images:,} images, "
        f"divergence {report.divergence:.4f} nats"
    )
