"""``lilnetx unpack``: a ``.lnx`` file's weights as safetensors, or the network as dense ONNX."""

from __future__ import annotations

import argparse
from pathlib import Path

from lilnetx.atomic import atomic_write
from lilnetx.cli.common import EXIT_OK, CommandParser, require_folder_of, require_other_file
from lilnetx.errors import UsageError

_EPILOG = """\
examples:
  lilnetx unpack fashion.lnx -o weights.safetensors
  lilnetx unpack fashion.lnx --integers -o latents.safetensors
  lilnetx unpack fashion.lnx -o dense.onnx
"""


def add_parser(subparsers: argparse._SubParsersAction[CommandParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "unpack",
        help="write a .lnx file's weights as safetensors, or the network as ONNX",
        description="Write LAYER.weight (float32, batch norm folded, as the runtime uses them) and "
        "LAYER.bias of every layer. To a name that ends in .onnx, write the whole network as a "
        "dense ONNX model of the same outputs.",
        epilog=_EPILOG,
    )
    parser.add_argument("file", type=Path, help=".lnx file")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        type=Path,
        metavar="OUT",
        help="safetensors or .onnx file to write",
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
    if args.output.suffix == ".onnx":
        if args.integers:
            raise UsageError("--integers: ONNX has no place for them; write a .safetensors file")
        _write_onnx(args.file, args.output)
    else:
        from lilnetx.packing import unpack

        unpack(args.file, args.output, integers=args.integers)
    print(f"{args.output}: {args.output.stat().st_size:,} bytes")
    return EXIT_OK


def _write_onnx(source: Path, output: Path) -> None:
    from lilnetx.format import read_lnx
    from lilnetx.graph.to_onnx import to_onnx

    data = to_onnx(read_lnx(source)).SerializeToString()
    with atomic_write(output) as file:
        file.write(data)
