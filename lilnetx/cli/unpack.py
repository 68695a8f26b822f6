"""``lilnetx unpack``: a ``.lnx`` file's weights as safetensors."""

from __future__ import annotations

import argparse
from pathlib import Path

from lilnetx.cli.common import EXIT_OK, CommandParser, require_folder_of, require_other_file

_EPILOG = """\
examples:
  lilnetx unpack fashion.lnx -o weights.safetensors
  lilnetx unpack fashion.lnx --integers -o latents.safetensors
"""


def add_parser(subparsers: argparse._SubParsersAction[CommandParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "unpack",
        help="write a .lnx file's weights as safetensors",
        description="Write LAYER.weight (float32, batch norm folded, as the runtime uses them) and "
        "LAYER.bias of every layer.",
        epilog=_EPILOG,
    )
    parser.add_argument("file", type=Path, help=".lnx file")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="OUT", help="safetensors file to write"
    )
    parser.add_argument(
        "--integers",
        action="store_true",
        help="write the integer latents (filters, slices, slice length) and the decoders instead",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Unpack."""
    require_folder_of(args.output)
    require_other_file(args.file, args.output)
    from lilnetx.packing import unpack

    unpack(args.file, args.output, integers=args.integers)
    print(f"{args.output}: {args.output.stat().st_size:,} bytes")
    return EXIT_OK
