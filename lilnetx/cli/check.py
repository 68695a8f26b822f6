"""``lilnetx check``: whether a network can be packed and run, and all that is in the way."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lilnetx.cli.common import EXIT_DIFFERENT, EXIT_OK, CommandParser
from lilnetx.cli.sources import add_input_shape, input_shapes, kind_of
from lilnetx.errors import UsageError
from lilnetx.graph.problems import Report

_EPILOG = """\
examples:
  lilnetx check model.onnx
  lilnetx check model.onnx --input-shape 3x320x320
  lilnetx check model.pt2 --json

Exit codes: 0 everything is supported, 1 something is not, 2 the file cannot be read.
"""


def add_parser(subparsers: argparse._SubParsersAction[CommandParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "check",
        help="list everything in a model that is not supported",
        description="Say whether an ONNX model (.onnx), a program of torch.export (.pt2) or a .lnx "
        "file can be packed and run; list all that is in the way, with what would help.",
        epilog=_EPILOG,
    )
    parser.add_argument("model", type=Path, help=".onnx, .pt2 or .lnx file")
    add_input_shape(parser)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what is supported and what is not."""
    report = check(args.model, args.input_shape)
    if args.json:
        facts = {
            "supported": report.supported,
            "problems": [
                {"where": p.where, "operator": p.operator, "reason": p.reason, "help": p.remedy}
                for p in report.problems
            ],
        }
        print(json.dumps(facts, indent=2))
    else:
        total = sum(report.supported.values())
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(report.supported.items()))
        print(f"{args.model}: {total} operators are supported" + (f" ({kinds})" if kinds else ""))
        for problem in report.problems:
            print(f"not supported: {problem}")
        if report.problems:
            print(f"{len(report.problems)} problem(s): the model cannot be packed as it is")
    return EXIT_DIFFERENT if report.problems else EXIT_OK


def check(path: Path, shapes: list[str] | None) -> Report:
    """What an import says about a file; see :func:`lilnetx.cli.sources.kind_of`."""
    kind = kind_of(path)
    if kind == "onnx":
        from lilnetx.graph.from_onnx import load_model, report_onnx

        proto = load_model(path)
        return report_onnx(proto, input_shapes=input_shapes(proto, shapes))
    if shapes:
        raise UsageError("--input-shape is for ONNX models whose files leave sizes open")
    if kind == "pt2":
        from lilnetx.graph.from_torch import report_exported

        return report_exported(path)
    if kind == "checkpoint":
        raise UsageError(
            f"{path}: is no .onnx, .pt2 or .lnx file; pack a checkpoint by 'lilnetx pack'"
        )
    return _check_lnx(path)


def _check_lnx(path: Path) -> Report:
    """A file that can be read and planned holds only what is supported."""
    from collections import Counter

    from lilnetx.runtime import Session

    session = Session(path, threads=1, tune=False)
    return Report(dict(Counter(type(node.op).__name__ for node in session.graph.nodes)), ())
