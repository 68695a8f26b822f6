"""torch's side of an import: models copied and traced, exported programs read.

Programs are functionalised, so in-place operators arrive as plain ones and each read sees the value
that eager execution would give it.
"""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lilnetx.arguments import PATH, require_type
from lilnetx.errors import (
    InputError,
    LilnetxError,
    MissingExtraError,
    UnsupportedOperatorError,
)
from lilnetx.graph.ir import Shape

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.fx import Node as FxNode

# The batch that is traced. Not 1: broadcasting and squeeze treat that size apart.
_BATCH = 2


def load_program(program: ExportedProgram | str | os.PathLike[str]) -> ExportedProgram:
    """Reads an exported program, if it is not one already."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "train", "importing a torch program") from None
    if isinstance(program, torch.export.ExportedProgram):
        return program
    require_type(program, PATH, InputError, "a program of torch.export.export or a .pt2 file")
    path = Path(program)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"{path}: {what}; give a .pt2 file")
    logger = logging.getLogger("torch.export")  # it logs the tracebacks of its own errors
    level = logger.level
    try:
        logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded: ExportedProgram = torch.export.load(path)
    except Exception as error:
        raise InputError(
            f"{path}: is no exported program ({_first_line(error)}); write one by "
            "torch.export.save(torch.export.export(model.eval(), (example,)), path)"
        ) from error
    finally:
        logger.setLevel(level)
    return loaded


def program_shapes(program: ExportedProgram) -> tuple[list[Shape], bool]:
    """Shape of each input with the batch, and whether sizes of images are open."""
    import torch

    names = set(program.graph_signature.user_inputs)
    shapes, free = [], False
    for node in program.graph.nodes:
        if node.op != "placeholder" or node.name not in names:
            continue
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor) or value.dim() < 1:
            raise UnsupportedOperatorError(
                f"input {node.name!r} is no tensor with a batch axis; export the network with "
                "tensors as inputs"
            )
        batch = value.shape[0] if isinstance(value.shape[0], int) else _BATCH
        sizes = [n if isinstance(n, int) else int(n.node.hint) for n in value.shape[1:]]
        free = free or any(not isinstance(n, int) for n in value.shape[1:])
        shapes.append((batch, *sizes))
    return shapes, free


def concrete(program: ExportedProgram, shapes: Sequence[Shape]) -> ExportedProgram:
    """The program for inputs of certain shapes; as it is where it has no others."""
    if all(isinstance(n, int) for node in program.graph.nodes for n in _sizes(node)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain: ExportedProgram = program.run_decompositions({})
            return plain
    return _trace(program.module(), shapes)


def _sizes(node: FxNode) -> Sequence[Any]:
    return getattr(node.meta.get("val"), "shape", ()) if node.op == "placeholder" else ()


def require_module(model: object, error: type[LilnetxError] = InputError) -> None:
    """Refuses what is no torch.nn.Module; MissingExtraError where there is no torch."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "train", "importing a torch model") from None
    expected = (
        "a torch.nn.Module; a file or a state dict alone holds no network: load it into its model "
        "and pass that"
    )
    require_type(model, torch.nn.Module, error, expected)


def copy_model(model: torch.nn.Module) -> torch.nn.Module:
    """A deep copy, of models too that hold tensors which torch refuses to copy.

    Those are results of a computation with gradients, such as the weight that
    ``torch.nn.utils.prune`` or the older ``weight_norm`` evaluates before each forward pass. The
    copy holds their values, without the gradients, until it is evaluated itself.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for tensor in _tensors(vars(module)):
            if not tensor.is_leaf:
                memo[id(tensor)] = tensor.detach().clone()
    return copy.deepcopy(model, memo)


def _tensors(value: object) -> Iterator[torch.Tensor]:
    """Tensors in nested dicts, lists and tuples."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


def evaluation_copy(model: torch.nn.Module) -> torch.nn.Module:
    """A copy on the CPU, in eval mode, with each parametrized tensor replaced by its value."""
    import torch
    from torch.nn.utils import parametrize

    duplicate = copy_model(model).cpu().eval()
    for module in list(duplicate.modules()):
        if not parametrize.is_parametrized(module):
            continue
        # Not remove_parametrizations: it strips the class, which the copy shares with the model.
        names = list(module._modules["parametrizations"]._modules)  # type: ignore[union-attr]
        with torch.no_grad():
            values = {name: getattr(module, name).detach().clone() for name in names}
        del module._modules["parametrizations"]
        module.__class__ = type(module).__bases__[0]
        for name, value in values.items():
            module.register_parameter(name, torch.nn.Parameter(value, requires_grad=False))
    return duplicate


def export(model: torch.nn.Module, shapes: Sequence[Shape]) -> ExportedProgram:
    """Traces a model for inputs of these shapes, which leave out the batch."""
    return _trace(model, [(_BATCH, *shape) for shape in shapes])


def _trace(model: torch.nn.Module, shapes: Sequence[Shape]) -> ExportedProgram:
    import torch

    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    examples = tuple(torch.zeros(shape, dtype=dtype) for shape in shapes)
    sizes = " and ".join(str(tuple(example.shape)) for example in examples)
    name = type(model).__name__
    shown = f"{'the network' if name == 'GraphModule' else name} on an input of {sizes}"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's own, about torch's own code
        try:
            # Tracing would bury what is wrong with the shape under pages of its own.
            model(*examples)
        except Exception as error:
            raise InputError(f"cannot evaluate {shown}: {_first_line(error)}") from error
        try:
            exported = torch.export.export(model, examples, strict=False)
            program: ExportedProgram = exported.run_decompositions({})
        except Exception as error:
            raise UnsupportedOperatorError(
                f"torch.export cannot trace {shown}: {_first_line(error)}"
            ) from error
    return program


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


__all__ = [
    "concrete",
    "copy_model",
    "evaluation_copy",
    "export",
    "load_program",
    "program_shapes",
    "require_module",
]
