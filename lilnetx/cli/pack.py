"""``lilnetx pack``: a trained checkpoint into one ``.lnx`` file."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lilnetx.cli import calibrated, normalisation
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
from lilnetx.cli.pack_options import require_fit
from lilnetx.cli.sources import Kind, add_input_shape, import_file, kind_of
from lilnetx.cli.table import format_bytes
from lilnetx.errors import UsageError
from lilnetx.packing.side import SIDE_BITS

if TYPE_CHECKING:
    from torch import nn

    from lilnetx.packing.trim import TrimReport

_TRIM_IMAGES = 2000

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
        metavar="N",
        help="of checkpoints: significant bits of the scales and biases; 0 keeps them float32 "
        f"(default: {SIDE_BITS})",
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
        metavar="N",
        help=f"training images for --trim, from all over the data set (default: {_TRIM_IMAGES})",
    )
    add_data_root(parser)
    parser.add_argument(
        "--json", action="store_true", help="print the figures as JSON and nothing else"
    )
    normalisation.add_options(
        parser.add_argument_group(
            "pixels of ONNX models and exported programs",
            "What the network takes for a pixel. The file says so to those who feed it.",
        )
    )
    calibrated.add_options(parser)
    parser.set_defaults(run=run)


@dataclasses.dataclass(frozen=True)
class _Told:
    """What there is to say of a packed model beside its size.

    Attributes:
        text: For people; may be empty.
        facts: The same as JSON.
        note: What is to be kept in mind; may be empty.
    """

    text: str = ""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    note: str = ""


def run(args: argparse.Namespace) -> int:
    """Pack a model, and print what came of it."""
    require_folder_of(args.output)
    require_other_file(args.model, args.output)
    kind = kind_of(args.model)
    if kind == "lnx":
        raise UsageError(f"{args.model}: is packed already")
    require_fit(args, kind)
    told = _pack_checkpoint(args) if kind == "checkpoint" else _pack_import(args, kind)
    _print(args, told)
    return EXIT_OK


def _print(args: argparse.Namespace, told: _Told) -> None:
    from lilnetx.format import inspect_lnx

    summary = inspect_lnx(args.output)
    file, dense = summary.file_bytes, summary.dense_fp32_bytes
    if args.json:
        facts = {**told.facts, "file_bytes": file, "dense_fp32_bytes": dense}
        print(json.dumps(facts | ({"note": told.note} if told.note else {})))
        return
    if told.text:
        print(told.text)
    print(
        f"{args.output}: {format_bytes(file)}, 1/{dense / file:.1f} of the dense float32 "
        f"parameters ({format_bytes(dense)})"
    )
    if told.note:
        print(f"note: {told.note}")


def _origin(args: argparse.Namespace) -> dict[str, Any]:
    """What a file says about where it comes from."""
    from lilnetx import __version__

    return {"producer": f"lilnetx {__version__}", "source": args.model.name}


def _pack_import(args: argparse.Namespace, kind: Kind) -> _Told:
    """Pack a model of another framework, as it is or compressed without training."""
    from lilnetx.format import write_lnx

    graph = import_file(args.model, kind, args.input_shape)
    meta = _origin(args) | normalisation.input_meta(args, graph)
    graph = dataclasses.replace(graph, meta=meta)
    if args.calibration is not None:
        graph, report = calibrated.compress(graph, args)
        write_lnx(graph, args.output)
        return _Told(calibrated.figures(report), report.as_json())
    write_lnx(graph, args.output)
    sizes = ", other heights and widths too" if graph.free_size else ""
    shapes = " and ".join("x".join(map(str, shape)) for shape in graph.inputs.values())
    return _Told(note=f"float32 weights as they were; images of {shapes}{sizes}")


def _pack_checkpoint(args: argparse.Namespace) -> _Told:
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
    told = _Told()
    if args.trim is not None:
        report = _trim(model, state, args)
        told = _Told(_trimmed(report), {"trimmed": dataclasses.asdict(report)})
    pack(
        model,
        args.output,
        input_shape=facts.image_shape,
        side_bits=SIDE_BITS if args.side_bits is None else args.side_bits,
        meta=file_meta(config, facts, state["epoch"]),
    )
    if state["epoch"] < config.epochs:
        note = f"the checkpoint is of epoch {state['epoch']} of {config.epochs}"
        return dataclasses.replace(told, note=note)
    return told


def _trim(model: nn.Module, state: dict[str, Any], args: argparse.Namespace) -> TrimReport:
    """Trim on images that the network was trained on."""
    import torch

    from lilnetx.data import load, normalise, spread, validation_split
    from lilnetx.packing.trim import trim

    config, facts = state["config"], state["data"]
    data = load(facts.name, args.data_root, facts.image_shape[-1])
    trained_on, _ = validation_split(len(data.train_images), config.validation, config.seed)
    trained_on = trained_on[: config.train_images or None]
    images = data.train_images[spread(trained_on, args.trim_images or _TRIM_IMAGES)]
    with progress_bar(100, "trim", "%") as bar:
        return trim(
            model.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            torch.from_numpy(normalise(images, facts.mean, facts.std)),
            args.trim,
            seed=config.seed,
            progress=lambda done: bar.update(int(100 * done) - bar.n),
        )


def _trimmed(report: TrimReport) -> str:
    return (
        f"trimmed: {100 * report.changed:.2f} % of the integers changed, zero slices "
        f"{100 * report.zero_slices_before:.1f} -> {100 * report.zero_slices_after:.1f} %; the "
        f"class is the same for {100 * report.agreement:.1f} % of {report.images:,} images, "
        f"divergence {report.divergence:.4f} nats"
    )
