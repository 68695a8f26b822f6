"""What the reader is asked to do with each damaged file, and the good files to start from.

Every way of reading ends with a network or with an exception of lilnetx's own; all else is a
finding.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / "format")]

import numpy as np
from graphs import random_graph, small_graph

from lilnetx.errors import LilnetxError, LnxFormatError
from lilnetx.format import inspect_lnx, read_lnx, verify_lnx, write_lnx
from lilnetx.format.reader import read_packed
from lilnetx.graph.shapes import infer_shapes
from lilnetx.runtime import Session

TESTS = Path(__file__).parents[1]

# Networks above this many values of activations are opened but not run.
RUN_VALUES = 1 << 20


class FindingError(Exception):
    """The reader did what it must not do."""


def good_files() -> list[bytes]:
    """Small files that use all that there is, the golden files of every version among them."""
    found = [path.read_bytes() for path in sorted((TESTS / "format" / "data").glob("*.lnx"))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.lnx"
        for graph in (small_graph(), *map(random_graph, range(3))):
            write_lnx(graph, path)
            found.append(path.read_bytes())
    return found


def try_file(path: Path) -> bool:
    """Reads the file in every way; returns whether it is a good one.

    Raises:
        FindingError: Two ways of reading disagree.
        Exception: Whatever else came out of the reader: a finding as well.
    """
    ends = [_end_of(read, path) for read in (read_lnx, read_packed)]
    if ends[0] != ends[1]:
        raise FindingError(f"read_lnx: {ends[0]}, read_packed: {ends[1]}")
    for read in (inspect_lnx, verify_lnx):
        _end_of(read, path)
    if ends[0] is not None:
        return False
    try:
        shapes = infer_shapes(read_lnx(path))
        session = Session(path, threads=1, tune=False)
    except LilnetxError:
        return True
    if sum(math.prod(shape) for shape in shapes.values()) <= RUN_VALUES:
        session.run(np.zeros((1, *session.input_shape), np.float32))
    return True


def _end_of(read: Callable[[Path], object], path: Path) -> tuple[type, str] | None:
    try:
        read(path)
    except LnxFormatError as error:
        if not str(error).strip():
            raise FindingError(f"{type(error).__name__} without a message") from error
        return type(error), str(error)
    return None
