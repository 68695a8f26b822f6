"""``lilnetx sweep``: many runs, shared by any number of processes, and the front of the best."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lilnetx.cli.common import EXIT_OK, CommandParser, positive_float, positive_int
from lilnetx.cli.run_settings import add_settings, settings_of
from lilnetx.cli.table import format_table

_DESCRIPTION = """\
Train a network many times over a range of rates, slice weights, targets or other settings, and draw
what accuracy is to be had for which size and computation.

Give the same command in any number of processes, on any number of machines: they share the trials
through one storage. A process that dies loses nothing but time: its trial is taken over by another
one, and goes on from its checkpoint where they share FOLDER. Give the command again to resume.

FOLDER receives front.csv, front.png, front.html (one page, no network needed) and trials.csv after
each trial, and a folder for each run under trials/, with its packed model.lnx. All is judged by
validation images; the test accuracy of each run is only recorded.
"""

_EPILOG = """\
examples:
  lilnetx sweep resnet20 --data fashion-mnist --start runs/dense --distill 0.7 --epochs 10 \\
      --vary rate=0.1..3 --vary slices=0.2..6 --trials 24 -o sweeps/fashion
  lilnetx sweep resnet20 --data fashion-mnist --vary target-bytes=8000,12000,16000 -o sweeps/sizes
  lilnetx sweep resnet20 --data fashion-mnist --vary rate=0.1..3 -o sweeps/shared \\
      --storage postgresql://user@host/database
"""


def add_parser(subparsers: argparse._SubParsersAction[CommandParser]) -> None:
    """Declare the command; its options wait until they are needed, since they import torch."""
    parser = subparsers.add_parser(
        "sweep",
        help="train at many rates or targets, by any number of processes; draw the front",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        options=_declare_options,
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Take part in a sweep; print its front."""
    import torch

    from lilnetx.data import load
    from lilnetx.sweep import Space, SweepPlan, pareto_front, run_sweep

    plan = SweepPlan(settings_of(args), Space.parse(args.vary), args.trials or 0)
    plan.check()
    data = load(plan.config.data, args.data_root, plan.config.image_size)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    try:
        outcomes = run_sweep(
            plan,
            data,
            args.output,
            storage=args.storage,
            study=args.study,
            grace=args.grace,
            progress=not args.quiet,
            device=args.device,
            say=lambda line: print(line, flush=True),
        )
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where this one was", file=sys.stderr)
        raise
    front = pareto_front(outcomes)
    if not front:
        print("no trial could be finished", file=sys.stderr)
        return EXIT_OK
    names = list(plan.space.dimensions)
    rows = [
        [
            row.slot,
            *(f"{row.values[name]:.4g}" for name in names),
            f"{100 * row.validation_top1:.2f} %",
            f"{row.bytes:,}",
            f"{100 * row.macs_left / row.macs:.1f} %",
        ]
        for row in front
    ]
    header = ["trial", *names, "validation", "bytes", "MACs left"]
    print(f"\n{format_table(header, rows, title='the front, largest first:')}")
    print(f"\n{args.output / 'front.html'} shows it; models are in {args.output / 'trials'}")
    return EXIT_OK


def _declare_options(parser: argparse.ArgumentParser) -> None:
    from lilnetx.sweep.run import STORAGE, TRIALS

    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FOLDER", help="folder of the sweep"
    )
    parser.add_argument(
        "--vary",
        action="append",
        required=True,
        metavar="NAME=VALUES",
        help="a setting and its values, LOW..HIGH (on a logarithmic scale) or A,B,C; more than "
        "once for several settings. Lists alone are a grid; with a range, the first 10 trials are "
        "spread evenly and Optuna's TPE sampler chooses the others",
    )
    parser.add_argument(
        "--trials",
        type=positive_int,
        metavar="N",
        help=f"trials in all, by all processes (default: the whole grid, or {TRIALS}); a larger "
        "number goes on with a finished sweep",
    )
    parser.add_argument(
        "--storage",
        default="",
        metavar="STORAGE",
        help="what the processes share: a file, SQLite or, named *.journal, Optuna's journal (for "
        f"network folders); or a database's URL (default: FOLDER/{STORAGE})",
    )
    parser.add_argument(
        "--study",
        default="lilnetx",
        metavar="NAME",
        help="name of the sweep in its storage (default: %(default)s)",
    )
    parser.add_argument(
        "--grace",
        type=positive_float,
        default=60.0,
        metavar="S",
        help="seconds without a sign of life after which a process counts as dead and others take "
        "over its trial (default: 60)",
    )
    add_settings(parser, but=("dense",))
