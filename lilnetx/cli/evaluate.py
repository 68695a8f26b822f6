"""``lilnetx eval``: top-1 accuracy of a ``.lnx`` file by the C++ runtime."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lilnetx.cli.common import EXIT_OK, CommandParser, add_data_root, add_threads, positive_int
from lilnetx.errors import DataError, UsageError
from lilnetx.progress import progress

if TYPE_CHECKING:
    from lilnetx.data import ImageDataset
    from lilnetx.graph.meta import Normalisation
    from lilnetx.runtime import Session

_EPILOG = """\
examples:
  lilnetx eval fashion.lnx --data fashion-mnist
  lilnetx eval fashion.lnx --json
"""


def add_parser(subparsers: argparse._SubParsersAction[CommandParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "eval",
        help="top-1 accuracy of a .lnx file on a data set's test images",
        description="Run all test images of a data set through the C++ runtime and count.",
        epilog=_EPILOG,
    )
    parser.add_argument("file", type=Path, help=".lnx file")
    parser.add_argument(
        "--data", metavar="NAME", help="data set (default: the one that the file was trained on)"
    )
    add_data_root(parser)
    add_threads(parser)
    parser.add_argument(
        "--batch",
        type=positive_int,
        default=100,
        metavar="N",
        help="images run at a time (default: 100)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    from lilnetx.data import load
    from lilnetx.runtime import Session

    session = Session(args.file, threads=args.threads)
    name = args.data or session.meta.get("dataset")
    if not isinstance(name, str):
        raise UsageError(f"{args.file} does not say what it was trained on: give --data")
    pixels = session.normalisation
    if pixels is None:
        raise UsageError(
            f"{args.file} holds no usable input normalisation, so test images cannot be fed to it; "
            "pack it with --mean M[,M,M] --std S[,S,S], those of pixels scaled to 1"
        )
    data = load(name, args.data_root, session.input_shape[-1])
    _require_fit(args.file, session, data)
    correct = _count_correct(session, data, pixels, args.batch)
    images = len(data.test_labels)
    if args.json:
        print(json.dumps({"top1": correct / images, "correct": correct, "images": images}))
    else:
        share = f"{100 * correct / images:.2f} %"
        print(f"top-1 {share}: {correct:,} of {images:,} test images of {name} are right")
    return EXIT_OK


def _require_fit(path: Path, session: Session, data: ImageDataset) -> None:
    input_shape, classes = tuple(session.input_shape), len(data.classes)
    if session.output_shapes[0] != (classes,):
        raise DataError(
            f"{path} yields values of shape {session.output_shapes[0]}, but {data.name} wants one "
            f"for each of its {classes} classes; give the data set that it was trained on"
        )
    if input_shape != data.facts.image_shape:
        raise DataError(
            f"{path} takes images of shape {input_shape}, those of {data.name} are "
            f"{data.facts.image_shape}; give the data set that it was trained on"
        )


def _count_correct(session: Session, data: ImageDataset, pixels: Normalisation, batch: int) -> int:
    """How many test images have their label's value largest in the (first) output."""
    from lilnetx.data import normalise

    images, labels, correct = data.test_images, data.test_labels, 0
    starts = range(0, len(images), batch)
    for first in progress(starts, len(starts), "eval", "batch"):
        outputs = session.run(normalise(images[first : first + batch], *pixels))
        output = outputs[0] if isinstance(outputs, tuple) else outputs
        correct += int((output.argmax(axis=1) == labels[first : first + batch]).sum())
    return correct
