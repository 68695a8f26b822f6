"""A torch model or exported program as a graph, by ``torch.export``.

The export is functionalised first, so in-place operators arrive as plain ones and each read sees
the value that eager execution would give it. What each operator becomes is in :mod:`.torch_ops`.
"""

from __future__ import annotations

import copy
import logging
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lilnetx.errors import GraphError, InputError, MissingExtraError, UnsupportedOperatorError
from lilnetx.graph.builder import Array, GraphBuilder, Operand, RefusalError, Value
from lilnetx.graph.free_size import merge_sizes
from lilnetx.graph.ir import Graph, Shape
from lilnetx.graph.problems import Problem, Report, error_of

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.fx import Node as FxNode

# The batch that is traced. Not 1: broadcasting and squeeze treat that size apart.
_BATCH = 2
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
        InputError: The model cannot be evaluated on an input of this shape.
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
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError("torch", "train", "importing a torch model") from None
    duplicate = _evaluation_copy(model)
    return Importer(_export(duplicate, _shapes(input_shape))).result()


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
    shapes, free = _program_shapes(program)
    graph = Importer(_concrete(program, shapes)).result()[0]
    if not free:
        return graph
    larger = [(shape[0], *_enlarged(shape[1:])) for shape in shapes]
    try:
        merged = merge_sizes(graph, Importer(_concrete(program, larger)).result()[0])
    except (InputError, UnsupportedOperatorError, GraphError):
        merged = None
    return graph if merged is None else replace(merged, free_size=True)


def _enlarged(shape: Shape) -> Shape:
    """An image's shape with more rows and columns; other shapes as they are."""
    return tuple(n + _LARGER if i > 0 and len(shape) == 3 else n for i, n in enumerate(shape))


def report_exported(program: ExportedProgram | str | os.PathLike[str]) -> Report:
    """All that keeps an exported program from being imported."""
    program = load_program(program)
    shapes, _ = _program_shapes(program)
    return Importer(_concrete(program, shapes)).report()


def report_torch(model: torch.nn.Module, input_shape: Shapes) -> Report:
    """All that keeps a model from being imported; see :func:`from_torch`."""
    return Importer(_export(_evaluation_copy(model), _shapes(input_shape))).report()


def load_program(program: ExportedProgram | str | os.PathLike[str]) -> ExportedProgram:
    """Reads an exported program, if it is not one already."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "train", "importing a torch program") from None
    if isinstance(program, torch.export.ExportedProgram):
        return program
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


def _shapes(input_shape: Shapes) -> list[Shape]:
    """One shape, or several, as a list."""
    if input_shape and isinstance(input_shape[0], Sequence):
        return [tuple(shape) for shape in input_shape]  # type: ignore[arg-type]
    return [tuple(input_shape)]  # type: ignore[arg-type]


def _program_shapes(program: ExportedProgram) -> tuple[list[Shape], bool]:
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


def _concrete(program: ExportedProgram, shapes: Sequence[Shape]) -> ExportedProgram:
    """The program for inputs of certain shapes; as it is where it has no others."""
    if all(isinstance(n, int) for node in program.graph.nodes for n in _sizes(node)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain: ExportedProgram = program.run_decompositions({})
            return plain
    return _trace(program.module(), shapes)


def _sizes(node: FxNode) -> Sequence[Any]:
    return getattr(node.meta.get("val"), "shape", ()) if node.op == "placeholder" else ()


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


def _evaluation_copy(model: torch.nn.Module) -> torch.nn.Module:
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


def _export(model: torch.nn.Module, shapes: Sequence[Shape]) -> ExportedProgram:
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


class Importer:
    """The state of one import: constants and values by fx node, and the graph in the making."""

    def __init__(self, program: ExportedProgram) -> None:
        self.program = program
        self.build = GraphBuilder()
        self.constants: dict[FxNode, Any] = {}
        self.values: dict[FxNode, Value | Sequence[Operand]] = {}
        signature = program.graph_signature
        self.stored = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        self.stored |= signature.inputs_to_lifted_tensor_constants
        for node in program.graph.nodes:
            if node.op != "placeholder":
                continue
            if node.name in self.stored:
                name = self.stored[node.name]
                where = program.state_dict if name in program.state_dict else program.constants
                self.constants[node] = where[name]
            else:
                shape = tuple(int(n) for n in node.meta["val"].shape)
                self.values[node] = self.build.input(node.name, shape)

    def result(self) -> tuple[Graph, dict[str, str]]:
        """The graph of what the outputs need, and the paths of its weighted nodes."""
        problems = self.report().problems
        if problems:
            raise error_of(problems)
        outputs: list[Operand] = []
        by_name = {node.name: node for node in self.program.graph.nodes}
        for name in self.program.graph_signature.user_outputs:
            value = self.values.get(by_name.get(str(name)))  # type: ignore[arg-type]
            if not isinstance(value, Value):
                raise UnsupportedOperatorError(f"output {name!r} does not depend on the input")
            outputs.append(value)
        return self.build.finish(outputs)

    def report(self) -> Report:
        """Imports all nodes that can be, and goes on behind those that cannot."""
        import torch

        supported: Counter[str] = Counter()
        problems = []
        with torch.no_grad():
            for node in self.program.graph.nodes:
                if node.op != "call_function" or self.evaluate_constant(node):
                    continue
                try:
                    self.node(node)
                    supported[self.operator(node)] += 1
                except RefusalError as refusal:
                    path, _ = self.path(node)
                    where = f"layer {path!r}" if path else "the network's own forward"
                    problems.append(Problem(where, str(node.target), str(refusal), refusal))
                    self.values[node] = self._unknown(node)
        return Report(dict(supported), tuple(problems))

    def node(self, node: FxNode) -> None:
        """Imports one node; RefusalError where that cannot be."""
        from lilnetx.graph.torch_ops import HANDLERS

        name = self.operator(node)
        if name not in HANDLERS:
            raise RefusalError("is not supported")
        self.name(node, name)
        result = HANDLERS[name](self, node)
        if isinstance(result, Value | list | tuple):
            self.values[node] = result
        elif result is not None:
            raise RefusalError("on a constant")

    def _unknown(self, node: FxNode) -> Value | Sequence[Operand]:
        """Values as torch says they are, for the nodes behind one that is not supported."""
        value = node.meta.get("val")
        several = isinstance(value, list | tuple)
        values: list[Operand] = [
            self.build.input(f"{node.name} (unknown {i})", tuple(int(n) for n in tensor.shape))
            for i, tensor in enumerate(value if isinstance(value, list | tuple) else [value])
            if hasattr(tensor, "shape")
        ]
        first = values[0] if values else Value(node.name, ())
        assert isinstance(first, Value)
        return values if several else first

    def evaluate_constant(self, node: FxNode) -> bool:
        """Evaluates a node that does not depend on the input; returns whether it is such a node."""
        import torch

        if any(argument not in self.constants for argument in node.all_input_nodes):
            return False
        args, kwargs = torch.fx.map_arg((node.args, node.kwargs), lambda n: self.constants[n])
        assert callable(node.target)
        self.constants[node] = node.target(*args, **kwargs)
        return True

    @staticmethod
    def operator(node: FxNode) -> str:
        """``"conv2d"`` for ``aten.conv2d.default``; ``"getitem"`` for indexing."""
        schema = getattr(node.target, "_schema", None)
        if schema is None:
            return str(getattr(node.target, "__name__", node.target))
        return str(schema.name).removeprefix("aten::")

    @staticmethod
    def arguments(node: FxNode) -> dict[str, Any]:
        """All arguments by the names of the operator's schema, defaults included."""
        schema = node.target._schema  # type: ignore[union-attr]
        values = {a.name: a.default_value for a in schema.arguments}
        values.update(zip(values, node.args, strict=False))
        return {**values, **node.kwargs}

    @staticmethod
    def path(node: FxNode) -> tuple[str, bool]:
        """Path of the innermost module that called the operator, and whether it is a torch layer.

        A torch layer is one that stands for a single operator, such as ``torch.nn.ReLU``.
        """
        stack = node.meta.get("nn_module_stack")
        if not stack:
            return "", False
        path, kind = list(stack.values())[-1]
        kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
        layer = re.match(r"torch\.(nn\.modules\.(?!container)|nn\.utils\.parametrize\.)", kind)
        return re.sub(r"@\d+", "", path), layer is not None

    def name(self, node: FxNode, operator: str) -> None:
        """Sets the name for the next node of the graph, after its module or its weight."""
        path, layer = self.path(node)
        if operator in _WEIGHTED:
            stored = next(
                (self.stored[n.name] for n in node.all_input_nodes if n.name in self.stored), ""
            )
            path = path or str(stored).rpartition(".")[0]
            layer = True
        self.build.path = path
        what = _NAMES.get(operator, operator)
        self.build.name = (path or what) if layer else f"{path}.{what}" if path else what

    def shape(self, node: FxNode) -> tuple[int, ...]:
        """Shape of an fx node's value, the batch included."""
        return tuple(int(n) for n in node.meta["val"].shape)

    def value(self, argument: Any) -> Value:
        """The value that an argument stands for; constants have none."""
        found = self.values.get(argument) if hasattr(argument, "meta") else None
        if not isinstance(found, Value):
            raise RefusalError("on a constant")
        return found

    def operand(self, argument: Any) -> Operand:
        """A value, or a constant tensor or number as an array."""
        if hasattr(argument, "meta"):
            if argument in self.constants:
                return _array(self.constants[argument])
            return self.value(argument)
        if argument is None or isinstance(argument, str):
            raise RefusalError(f"of {argument!r}")
        return np.asarray(argument)

    def constant(self, argument: Any, what: str) -> Array | None:
        """A constant argument, or None where the operator was called without it."""
        if argument is None:
            return None
        if argument not in self.constants:
            raise RefusalError(f"has {what} that depends on the input")
        return _array(self.constants[argument])


def _array(tensor: torch.Tensor) -> Array:
    """A constant tensor as an array, of floats that numpy knows."""
    import torch

    plain = tensor.detach()
    if plain.is_floating_point() and plain.dtype not in (torch.float32, torch.float64):
        plain = plain.float()
    return np.asarray(plain.numpy())


_WEIGHTED = frozenset(
    ["conv1d", "conv2d", "convolution", "conv_transpose1d", "conv_transpose2d", "linear", "addmm"]
)
# Operators that graphs name otherwise.
_NAMES = {
    "max_pool2d_with_indices": "max_pool2d",
    "_softmax": "softmax",
    "hardtanh": "clip",
    "clamp": "clip",
    "view": "reshape",
    "_unsafe_view": "reshape",
    "cat": "concat",
}

__all__ = [
    "Importer",
    "copy_model",
    "from_exported",
    "from_torch",
    "import_model",
    "load_program",
    "report_exported",
    "report_torch",
]
