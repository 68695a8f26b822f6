"""``lilnetx verify``: check every byte of a ``.lnx`` file."""

from __future__ import annotations

import argparse
from pathlib import Path

from lilnetx.cli.common import EXIT_OK, CommandParser

_EPILOG = """\
example:
  lilnetx verify fashion.lnx && echo fine
"""


def add_parser(subparsers: argparse._SubParsersAction[CommandParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "verify",
        help="check a .lnx file in full",
        description="Check all checksums, decode everything, and compare the sections with each "
        "other. Exit code 0 means that the file is whole.",
        epilog=_EPILOG,
    )
    parser.add_argument("file", type=Path, help=".lnx file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Verify; a defect is raised as its own error."""
    from lilnetx.format import verify_lnx

    verify_lnx(args.file)
    print(f"{args.file}: whole ({args.file.stat().st_size:,} bytes)")
    return EXIT_OK
