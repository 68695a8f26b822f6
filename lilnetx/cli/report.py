"""``lilnetx report``: one page about a ``.lnx`` file, for people."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from lilnetx.cli.common import (
    EXIT_OK,
    CommandParser,
    engine_names,
    positive_float,
    positive_int,
    require_folder_of,
    require_other_file,
    stage_bar,
)
from lilnetx.cli.table import format_bytes
from lilnetx.errors import UsageError

_EPILOG = """\
examples:
  lilnetx report fashion.lnx -o report.html
  lilnetx report fashion.lnx -o report.html --no-time
  lilnetx report resnet50.lnx -o report.html --threads 2 --seconds 10 --against openvino

The page needs no network and no other file. Times are of one image. They are measured beside a
dense twin, the same network with no weight left out, in this runtime, and beside other engines as
whole networks; 'lilnetx bench' checks outputs against the reference and has more choices.
"""


def add_parser(subparsers: argparse._SubParsersAction[CommandParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "report",
        help="make one page about a .lnx file: sizes, slices, computation, times, the network",
        description="Write one self-contained HTML page about a .lnx file: where its bytes are, "
        "which slices are zero, computation left, time by layer against dense, and a drawing of "
        "the network.",
        epilog=_EPILOG,
    )
    parser.add_argument("file", type=Path, help=".lnx file")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FILE", help=".html file to write"
    )
    timing = parser.add_mutually_exclusive_group()
    timing.add_argument(
        "--time", action="store_true", default=True, help="measure times (the default)"
    )
    timing.add_argument(
        "--no-time",
        action="store_false",
        dest="time",
        help="leave times out: the page is made at once",
    )
    parser.add_argument(
        "--threads", type=positive_int, default=1, metavar="N", help="threads to time (default: 1)"
    )
    parser.add_argument(
        "--seconds",
        type=positive_float,
        default=3.0,
        metavar="X",
        help="time for the layers, and as much for the whole networks (default: 3)",
    )
    parser.add_argument(
        "--against",
        type=engine_names,
        metavar="A,B",
        help="dense engines to time beside: onnxruntime, openvino, torch, torch-compile, or none "
        "(default: those of the first two that are installed)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, write the page, and say where it is."""
    require_folder_of(args.output)
    require_other_file(args.file, args.output)
    if args.file.suffix.lower() in (".onnx", ".pt2", ".pt", ".pth"):
        raise UsageError(f"{args.file}: is not packed yet: run  lilnetx pack {args.file} -o m.lnx")
    from lilnetx.atomic import atomic_write
    from lilnetx.report import MeasureOptions, gather, measure, report_page

    measurement = None
    if args.time:
        options = MeasureOptions(threads=args.threads, seconds=args.seconds, against=args.against)
        with stage_bar("measuring") as show:
            measurement = measure(args.file, options, on_progress=show)
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    page = report_page(gather(args.file, measurement, command=command)).encode()
    with atomic_write(args.output) as file:
        file.write(page)
    print(f"{args.output}: {format_bytes(len(page))}; open it in a browser")
    return EXIT_OK
