"""Operators of an exported torch program, one by one, into a graph in the making.

What each operator becomes is in :mod:`.torch_ops`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lilnetx.errors import UnsupportedOperatorError
from lilnetx.graph.builder import Array, GraphBuilder, Operand, RefusalError, Value
from lilnetx.graph.ir import Graph
from lilnetx.graph.problems import Problem, Report, error_of

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.fx import Node as FxNode


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

__all__ = ["Importer"]
