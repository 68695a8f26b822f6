"""A torch model or exported program as a graph, by ``torch.export``.

:mod:`.torch_program` traces or reads the program; :mod:`.torch_importer` makes a graph of its
operators.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lilnetx.arguments import is_whole
from lilnetx.errors import GraphError, InputError, UnsupportedOperatorError
from lilnetx.graph.free_size import merge_sizes
from lilnetx.graph.ir import Graph, Shape
from lilnetx.graph.problems import Report
from lilnetx.graph.torch_importer import Importer
from lilnetx.graph.torch_program import (
    concrete,
    evaluation_copy,
    export,
    load_program,
    program_shapes,
    require_module,
)

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

# By how much images are larger when a network is traced again for another size.
_LARGER = 32

Shapes = Shape | Sequence[Shape]


def from_torch(model: torch.nn.Module, input_shape: Shapes, *, free_size: bool = False) -> Graph:
    """Imports a model as it evaluates (``model.eval()``); the model itself is left untouched.

    Weights become :class:`DenseWeight`; batch norm is folded into the scale and bias of the
    convolution or linear layer before it, where nothing else reads what lies between. Weighted
    nodes are called by their module's path (``"layer1.0.conv1"``); a module that is called again
    gives a further node, ``"..._1"``.

    Args:
        model: Any module of tensors to one or several tensors.
        input_shape: Input without the batch, such as ``(C, H, W)`` or ``(C,)``; a list of shapes
            where the model takes several inputs.
        free_size: Whether the graph shall be the network for images of all heights and widths. It
            is imported at a second size, and both must be the same.

    Returns:
        The graph, checked by shape inference.

    Raises:
        InputError: ``model`` is no module, or cannot be evaluated on an input of this shape.
        UnsupportedOperatorError: The model cannot be traced, or holds an operator that the graph
            cannot express, or depends on the size where it must not; the message names the layer.
        MissingExtraError: torch is not installed.
    """
    graph, _ = import_model(model, input_shape)
    if not free_size:
        return graph
    larger = [_enlarged(shape) for shape in _shapes(input_shape)]
    merged = merge_sizes(graph, import_model(model, larger)[0])
    if merged is None:
        raise UnsupportedOperatorError(
            f"the network is another one for images of {larger[0]} than for {input_shape}; use "
            "sizes that follow from the image, or import it for one size"
        )
    return replace(merged, free_size=True)


def import_model(model: torch.nn.Module, input_shape: Shapes) -> tuple[Graph, dict[str, str]]:
    """As :func:`from_torch`, and for each weighted node the path of the module it came from."""
    require_module(model)
    shapes = _shapes(input_shape)
    return Importer(export(evaluation_copy(model), shapes)).result()


def from_exported(program: ExportedProgram | str | os.PathLike[str]) -> Graph:
    """Imports a program of ``torch.export.export``, or a ``.pt2`` file of one.

    The first axis of each input is the batch. Where a program leaves sizes of images open, the
    graph has ``free_size`` if the network means the same at all sizes.

    Args:
        program: The program, or a file that ``torch.export.save`` wrote.

    Raises:
        InputError: The file is no exported program.
        UnsupportedOperatorError: As :func:`from_torch`.
        MissingExtraError: torch is not installed.
    """
    program = load_program(program)
    shapes, free = program_shapes(program)
    graph = Importer(concrete(program, shapes)).result()[0]
    if not free:
        return graph
    larger = [(shape[0], *_enlarged(shape[1:])) for shape in shapes]
    try:
        merged = merge_sizes(graph, Importer(concrete(program, larger)).result()[0])
    except (InputError, UnsupportedOperatorError, GraphError):
        merged = None
    return graph if merged is None else replace(merged, free_size=True)


def _enlarged(shape: Shape) -> Shape:
    """An image's shape with more rows and columns; other shapes as they are."""
    return tuple(n + _LARGER if i > 0 and len(shape) == 3 else n for i, n in enumerate(shape))


def report_exported(program: ExportedProgram | str | os.PathLike[str]) -> Report:
    """All that keeps an exported program from being imported."""
    program = load_program(program)
    shapes, _ = program_shapes(program)
    return Importer(concrete(program, shapes)).report()


def report_torch(model: torch.nn.Module, input_shape: Shapes) -> Report:
    """All that keeps a model from being imported; see :func:`from_torch`."""
    return Importer(export(evaluation_copy(model), _shapes(input_shape))).report()


def _shapes(input_shape: Shapes) -> list[Shape]:
    """One shape, or several, as a list."""
    shapes: Any = input_shape
    if not isinstance(shapes, Sequence) or not any(isinstance(n, Sequence) for n in shapes):
        shapes = [shapes]
    for shape in shapes:
        if not isinstance(shape, Sequence) or not all(is_whole(n, 0) for n in shape):
            raise InputError(
                f"input_shape={reprlib.repr(input_shape)}: expected sizes without the batch, such "
                "as (3, 224, 224), or a list of such shapes"
            )
    return [tuple(shape) for shape in shapes]


__all__ = [
    "from_exported",
    "from_torch",
    "import_model",
    "report_exported",
    "report_torch",
]
