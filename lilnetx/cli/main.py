"""The program ``lilnetx``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lilnetx import __version__
from lilnetx.cli import (
    bench,
    check,
    diff,
    evaluate,
    inspect,
    pack,
    report,
    sweep,
    synth,
    train,
    unpack,
    verify,
)
from lilnetx.cli.common import CommandParser, run_guarded

_COMMANDS = (
    train,
    sweep,
    check,
    pack,
    evaluate,
    bench,
    inspect,
    report,
    diff,
    verify,
    unpack,
    synth,
)

_EPILOG = """\
from data to a running network:
  lilnetx train resnet20 --data fashion-mnist -o runs/fashion
  lilnetx pack runs/fashion -o fashion.lnx
  lilnetx eval fashion.lnx --data fashion-mnist
  lilnetx bench fashion.lnx

'lilnetx COMMAND --help' explains a command. Exit codes: 0 done, 1 files differ (diff) or
something is not supported (check), 2 error (one line on standard error), 130 interrupted.
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole program."""
    parser = CommandParser(
        prog="lilnetx",
        description="Train a CNN once, get one small .lnx file, run it fast.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"lilnetx {__version__}")
    subparsers = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=CommandParser
    )
    for command in _COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``lilnetx`` and return its exit code."""

    def run() -> int:
        args = build_parser().parse_args(argv)
        code: int = args.run(args)
        return code

    return run_guarded(run, "lilnetx")


if __name__ == "__main__":
    sys.exit(main())
