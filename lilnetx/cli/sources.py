"""Models of other frameworks on the command line: what a file is, and the shapes of its inputs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Literal

from lilnetx.errors import InputError, UsageError
from lilnetx.graph.ir import Graph, Shape

Kind = Literal["onnx", "pt2", "lnx", "checkpoint"]

_LNX_MAGIC = b"\x89LNX"
_ZIP_MAGIC = b"PK"


def kind_of(path: Path) -> Kind:
    """What a file is, by its name, or by its first bytes where the name says nothing.

    Raises:
        InputError: There is no such file.
    """
    suffix = path.suffix.lower()
    if path.is_dir() or suffix in (".pt", ".pth", ".ckpt"):
        return "checkpoint"
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if suffix in (".onnx", ".pt2", ".lnx"):
        return suffix[1:]  # type: ignore[return-value]
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(_LNX_MAGIC):
        return "lnx"
    if head.startswith(_ZIP_MAGIC):
        return "checkpoint"
    raise InputError(
        f"{path}: is no .onnx, .pt2 or .lnx file and no checkpoint; export the model to ONNX"
    )


def add_input_shape(parser: argparse.ArgumentParser) -> None:
    """The option ``--input-shape``."""
    parser.add_argument(
        "--input-shape",
        action="append",
        metavar="[NAME:]CxHxW",
        help="shape of an input without the batch, where an ONNX file leaves sizes open "
        "(default: 224 for each); once for each input",
    )


def input_shapes(proto: Any, given: list[str] | None) -> dict[str, Shape]:
    """The shapes that the option names, by input.

    Raises:
        UsageError: A shape is none, or does not say for which of several inputs it is.
    """
    from lilnetx.graph.from_onnx import data_inputs

    names = [value.name for value in data_inputs(proto)]
    shapes: dict[str, Shape] = {}
    for text in given or []:
        name, _, sizes = text.rpartition(":")
        if not name:
            if len(names) != 1:
                example = f"{names[0] if names else 'x'}:{text}"
                raise UsageError(f"--input-shape {text}: say for which input, as {example}")
            name = names[0]
        try:
            shapes[name] = tuple(int(n) for n in sizes.lower().split("x"))
        except ValueError:
            raise UsageError(
                f"--input-shape {text}: expected sizes such as 3x224x224, without the batch"
            ) from None
    return shapes


def import_file(path: Path, kind: Kind, shapes: list[str] | None) -> Graph:
    """The graph of an ``.onnx`` or ``.pt2`` file."""
    if kind == "onnx":
        from lilnetx.graph.from_onnx import from_onnx, load_model

        proto = load_model(path)
        return from_onnx(proto, input_shapes=input_shapes(proto, shapes))
    if shapes:
        raise UsageError("--input-shape is for ONNX models whose files leave sizes open")
    from lilnetx.graph.from_torch import from_exported

    return from_exported(path)


__all__ = ["Kind", "add_input_shape", "import_file", "input_shapes", "kind_of"]
