"""``lilnetx pack``: a trained checkpoint into one ``.lnx`` file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lilnetx.cli.common import EXIT_OK, CommandParser, require_folder_of, require_other_file
from lilnetx.cli.table import format_bytes
from lilnetx.packing.side import SIDE_BITS

_EPILOG = """\
example:
  lilnetx pack runs/fashion -o fashion.lnx

The file holds everything that a device needs: the graph, the integers, the decoders, folded batch
norm, class names and the input normalisation. The data set itself is not needed here.
"""


def add_parser(subparsers: argparse._SubParsersAction[CommandParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "pack",
        help="pack a trained checkpoint into one .lnx file",
        description="Freeze a trained network, entropy-code its integers, and write one .lnx file.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "checkpoint", type=Path, help="checkpoint of lilnetx train, or the folder of the run"
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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Rebuild the network of a checkpoint, pack it, and print what came of it."""
    require_folder_of(args.output)
    from lilnetx.format import inspect_lnx
    from lilnetx.packing import pack
    from lilnetx.train.checkpoint import load_checkpoint, restore
    from lilnetx.train.loop import CHECKPOINT
    from lilnetx.train.start import build_model

    path = args.checkpoint / CHECKPOINT if args.checkpoint.is_dir() else args.checkpoint
    require_other_file(path, args.output)
    state = load_checkpoint(path)
    config, facts = state["config"], state["data"]
    model, _ = build_model(config, facts)
    restore(path, state, model, None)
    model.eval()
    pack(
        model,
        args.output,
        input_shape=facts.image_shape,
        side_bits=args.side_bits,
        meta=_meta(state),
    )
    summary = inspect_lnx(args.output)
    ratio = summary.dense_fp32_bytes / summary.file_bytes
    print(
        f"{args.output}: {format_bytes(summary.file_bytes)}, 1/{ratio:.1f} of the dense float32 "
        f"parameters ({format_bytes(summary.dense_fp32_bytes)})"
    )
    if state["epoch"] < config.epochs:
        print(f"note: the checkpoint is of epoch {state['epoch']} of {config.epochs}")
    return EXIT_OK


def _meta(state: dict[str, Any]) -> dict[str, Any]:
    """What the file says about its origin, and what :mod:`lilnetx.cli.evaluate` reads.

    Settings that have the defaults of the version that packed the file, which it names, are left
    out: in a file of some kilobytes they would be a visible share.
    """
    from lilnetx.train.config import TrainConfig

    facts, defaults = state["data"], TrainConfig().as_json()
    settings = state["config"].as_json()
    told = {name: value for name, value in settings.items() if value != defaults[name]}
    told |= {"network": state["config"].network, "epochs": state["epoch"]}
    told.pop("data", None)  # "dataset" says it
    return {
        "dataset": facts.name,
        "classes": list(facts.classes),
        "input": {"mean": list(facts.mean), "std": list(facts.std)},
        "training": told,
    }
