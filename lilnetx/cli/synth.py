"""``lilnetx synth``: networks with random sparse latents, for timing."""

from __future__ import annotations

import argparse
from pathlib import Path

from lilnetx.cli.common import (
    EXIT_OK,
    CommandParser,
    nonnegative_int,
    positive_int,
    require_folder_of,
)
from lilnetx.cli.table import format_bytes

_EPILOG = """\
examples:
  lilnetx synth resnet50 --density 0.19 -o resnet50.lnx
  lilnetx synth resnet50 --density 0.19 --slice-1x1 4 -o resnet50-g4.lnx
  lilnetx bench resnet50.lnx
"""


def add_parser(subparsers: argparse._SubParsersAction[CommandParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "synth",
        help="make a network with random sparse weights, for timing",
        description="Make a network whose weights are random and sparse. It computes nothing "
        "useful; the file and every table that shows it say that it is synthetic.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "architecture", help="resnet50, resnet18, resnet20, vgg16_bn or mobilenet_v2"
    )
    parser.add_argument(
        "--density",
        type=float,
        required=True,
        metavar="X",
        help="share of slices that are not zero, 0 to 1; the first layer, the last one and "
        "depthwise convolutions stay dense",
    )
    parser.add_argument(
        "--slice-1x1",
        type=positive_int,
        default=1,
        metavar="G",
        help="input channels in a slice of 1x1 convolutions and linear layers (default: 1)",
    )
    parser.add_argument(
        "--seed", type=nonnegative_int, default=0, metavar="N", help="seed (default: 0)"
    )
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FILE", help=".lnx file to write"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make and write the network."""
    require_folder_of(args.output)
    from lilnetx.format import write_lnx
    from lilnetx.packing.synth import synth

    graph = synth(args.architecture, density=args.density, slice_1x1=args.slice_1x1, seed=args.seed)
    size = write_lnx(graph, args.output)
    print(f"{args.output}: {format_bytes(size)}, SYNTHETIC weights: for timing only")
    return EXIT_OK
