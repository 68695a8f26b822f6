"""``lilnetx bench`` and the program ``lilnetx-bench``, which are the same."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from lilnetx import __version__
from lilnetx.cli.common import (
    EXIT_OK,
    CommandParser,
    engine_names,
    nonnegative_int,
    positive_float,
    positive_int,
    require_folder_of,
    require_other_file,
    run_guarded,
)
from lilnetx.errors import UsageError

_DESCRIPTION = """\
Time a .lnx file by layer and as a whole network, against dense engines that run the same network.

Before anything is timed, the output is checked against a float64 reference. Contenders take turns
within the run, in random order; medians and the 20th and 80th percentiles are shown. Every timed
measurement follows an untimed call of the same contender, so caches are warm for all alike.
"""

_EPILOG = """\
examples:
  lilnetx-bench                                        the model that comes with the package
  lilnetx-bench fashion.lnx --against onnxruntime --json out.json
  lilnetx-bench resnet50.lnx --batch 16 --threads 2 --seconds 20 --tune
  lilnetx-bench resnet50.lnx --batch 64 --device triton --dtype float16
"""


def add_parser(subparsers: argparse._SubParsersAction[CommandParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "bench",
        help="time a .lnx file against dense engines (the same as lilnetx-bench)",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    _declare_options(parser)


def run(args: argparse.Namespace) -> int:
    """Benchmark, write the files asked for, and print the tables."""
    for path in (args.json, args.csv):
        if path is not None:
            require_folder_of(path)
            if args.file is not None:
                require_other_file(args.file, path)
    if args.json is not None and args.csv is not None and args.json.resolve() == args.csv.resolve():
        raise UsageError(f"{args.csv}: --json and --csv name the same file; give two names")
    from lilnetx.bench import BenchmarkOptions, run_benchmark
    from lilnetx.bench.report import format_report, write_csv, write_json

    options = BenchmarkOptions(
        batch=args.batch,
        threads=args.threads,
        against=args.against,
        seconds=args.seconds,
        isa=args.isa,
        cores=args.pin,
        seed=args.seed,
        tune=True if args.tune else "cache",
        device=args.device,
        dtype=args.dtype,
    )
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    try:
        report = run_benchmark(args.file, options, command=command, on_stage=_show_stage)
    finally:
        _show_stage("")
    if args.json is not None:
        write_json(report, args.json)
    if args.csv is not None:
        write_csv(report, args.csv)
    print(format_report(report))
    return EXIT_OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``lilnetx-bench`` and return its exit code."""

    def command() -> int:
        parser = CommandParser(prog="lilnetx-bench", description=_DESCRIPTION, epilog=_EPILOG)
        parser.add_argument("--version", action="version", version=f"lilnetx {__version__}")
        _declare_options(parser)
        return run(parser.parse_args(argv))

    return run_guarded(command, "lilnetx-bench")


def _declare_options(parser: CommandParser) -> None:
    parser.add_argument(
        "file", type=Path, nargs="?", help=".lnx file (default: the model in the package)"
    )
    parser.add_argument(
        "--batch", type=positive_int, default=1, metavar="N", help="images in a call (default: 1)"
    )
    parser.add_argument(
        "--threads",
        type=positive_int,
        default=1,
        metavar="N",
        help="threads of every contender (default: 1)",
    )
    parser.add_argument(
        "--against",
        type=engine_names,
        metavar="A,B",
        help="contenders: torch, onnxruntime, openvino, torch-compile, or none (default: those of "
        "the first three that are installed; on a GPU none)",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the result as JSON")
    parser.add_argument("--csv", type=Path, metavar="OUT", help="write the tables as CSV")
    parser.add_argument(
        "--seconds",
        type=positive_float,
        default=5.0,
        metavar="X",
        help="time for the whole-network comparison, of which at least 20 rounds are made "
        "(default: 5)",
    )
    parser.add_argument(
        "--isa", metavar="NAME", help="avx512, avx2, neon or portable (default: the best)"
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "triton", "cuda"),
        default="cpu",
        help="cpu, or the kernels of a GPU: triton or cuda (default: cpu)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16", "bfloat16"),
        default="float32",
        help="of activations on a GPU (default: float32)",
    )
    parser.add_argument(
        "--tune",
        action="store_true",
        help="measure kernels and tiles for each layer first, and remember the best for later",
    )
    parser.add_argument(
        "--pin", type=_cores, metavar="CORES", help="cores to stay on, such as 1 or 0,1"
    )
    parser.add_argument(
        "--seed",
        type=nonnegative_int,
        default=0,
        metavar="N",
        help="seed of the random input (default: 0)",
    )
    parser.set_defaults(run=run)


def _show_stage(stage: str) -> None:
    """What is going on, on one line of a terminal that the next stage writes over."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{stage}", end="", file=sys.stderr, flush=True)


def _cores(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(core) for core in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected core numbers, found {text!r}") from error
