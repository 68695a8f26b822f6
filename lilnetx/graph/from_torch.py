"""A torch model as a graph, by ``torch.export``.

The export is functionalised first, so in-place operators arrive as plain ones and each read sees
the value that eager execution would give it. What each operator becomes is in :mod:`.torch_ops`.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lilnetx.errors import InputError, MissingExtraError, UnsupportedOperatorError
from lilnetx.graph.ir import Conv2d, DenseWeight, Graph, Linear, Node, Op
from lilnetx.graph.shapes import infer_shapes

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.fx import Node as FxNode

# The batch that is traced. Not 1: broadcasting and squeeze treat that size apart.
_BATCH = 2


def from_torch(model: torch.nn.Module, input_shape: tuple[int, ...]) -> Graph:
    """Imports a model as it evaluates (``model.eval()``); the model itself is left untouched.

    Weights become :class:`DenseWeight`; batch norm is folded into the scale and bias of the
    convolution or linear layer before it. Weighted nodes are called by their module's path
    (``"layer1.0.conv1"``); a module that is called again gives a further node, ``"..._1"``.

    Args:
        model: Any module of one input tensor and one or several output tensors.
        input_shape: Input without the batch, ``(C, H, W)`` or ``(C,)``.

    Returns:
        The graph, checked by shape inference.

    Raises:
        InputError: The model cannot be evaluated on an input of this shape.
        UnsupportedOperatorError: The model cannot be traced, or holds an operator or a batch norm
            that the graph cannot express; the message names the layer.
        MissingExtraError: torch is not installed.
    """
    return import_model(model, input_shape)[0]


def import_model(
    model: torch.nn.Module, input_shape: tuple[int, ...]
) -> tuple[Graph, dict[str, str]]:
    """As :func:`from_torch`, and for each weighted node the path of the module it came from."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "train", "importing a torch model") from None
    from lilnetx.graph.torch_ops import HANDLERS

    duplicate = _evaluation_copy(model)
    importer = Importer(_export(duplicate, input_shape))
    with torch.no_grad():
        for node in importer.program.graph.nodes:
            if node.op == "call_function" and not importer.evaluate_constant(node):
                name = importer.operator(node)
                if name not in HANDLERS:
                    raise importer.unsupported(node)
                HANDLERS[name](importer, node)
    return importer.finish(input_shape)


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


def _export(model: torch.nn.Module, input_shape: tuple[int, ...]) -> ExportedProgram:
    import torch

    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    example = torch.zeros((_BATCH, *input_shape), dtype=dtype)
    shown = f"{type(model).__name__} on an input of {tuple(example.shape)}"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's own, about torch's own code
        try:
            # Tracing would bury what is wrong with the shape under pages of its own.
            model(example)
        except Exception as error:
            raise InputError(f"cannot evaluate {shown}: {_first_line(error)}") from error
        try:
            exported = torch.export.export(model, (example,), strict=False)
            program: ExportedProgram = exported.run_decompositions({})
        except Exception as error:
            raise UnsupportedOperatorError(
                f"torch.export cannot trace {shown}: {_first_line(error)}"
            ) from error
    return program


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


class Draft:
    """A node in the making; scale and bias stay float64 until batch norm is folded."""

    def __init__(self, name: str, op: Op, inputs: tuple[str, ...], source: FxNode) -> None:
        self.name = name
        self.op = op
        self.inputs = inputs
        self.source = source
        self.path = ""
        self.weight: NDArray[np.float32] | None = None
        self.scale: NDArray[np.float64] | None = None
        self.bias: NDArray[np.float64] | None = None

    def node(self) -> Node:
        """The finished node."""
        return Node(
            self.name,
            self.op,
            self.inputs,
            None if self.weight is None else DenseWeight(self.weight),
            None if self.scale is None else self.scale.astype(np.float32),
            None if self.bias is None else self.bias.astype(np.float32),
        )


class Importer:
    """The state of one import: constants and values by fx node, and the nodes so far."""

    def __init__(self, program: ExportedProgram) -> None:
        self.program = program
        self.constants: dict[FxNode, Any] = {}
        self.values: dict[FxNode, str] = {}
        self.drafts: dict[str, Draft] = {}
        self.input_name = ""
        signature = program.graph_signature
        stored = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        stored |= signature.inputs_to_lifted_tensor_constants
        for node in program.graph.nodes:
            if node.op != "placeholder":
                continue
            if node.name in stored:
                name = stored[node.name]
                where = program.state_dict if name in program.state_dict else program.constants
                self.constants[node] = where[name]
            elif self.input_name:
                raise UnsupportedOperatorError(
                    f"the model takes several inputs ({self.input_name!r} and {node.name!r}): "
                    "expected one"
                )
            else:
                self.input_name = self.values[node] = node.name

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

    def unsupported(self, node: FxNode, detail: str = "") -> UnsupportedOperatorError:
        """The error that names the operator, how it was used, and its layer."""
        path, _ = self.path(node)
        where = f"layer {path!r}" if path else "the network's own forward"
        what = f"operator {node.target}" + (f" {detail}" if detail else "")
        return UnsupportedOperatorError(
            f"{where}: {what} is not supported; supported are conv2d, batch norm after it, "
            "linear, relu, relu6, hardswish, silu, hardsigmoid, sigmoid, "
            "addition of two values, max, average and global average pooling, "
            "flatten, softmax over the last dimension and dropout"
        )

    def shape(self, node: FxNode) -> tuple[int, ...]:
        """Shape of an fx node's value without the batch."""
        return tuple(int(n) for n in node.meta["val"].shape[1:])

    def value(self, node: FxNode, argument: Any) -> str:
        """The value that an argument stands for; constants have none."""
        if argument not in self.values:
            raise self.unsupported(node, "on a constant")
        return self.values[argument]

    def alias(self, node: FxNode, argument: Any) -> None:
        """Lets the node stand for the value of its argument."""
        self.values[node] = self.value(node, argument)

    def constant(self, node: FxNode, argument: Any) -> NDArray[np.float64] | None:
        """A constant argument in float64, or None where the operator was called without it."""
        if argument is None:
            return None
        if argument not in self.constants:
            raise self.unsupported(node, "with a weight that depends on the input")
        return np.asarray(self.constants[argument].detach().double().numpy())

    def add(self, node: FxNode, op: Op, *inputs: str, what: str = "") -> Draft:
        """Appends a node named after its module, and lets ``node`` stand for its value."""
        path, layer = self.path(node)
        what = what or self.operator(node)
        if layer or isinstance(op, Conv2d | Linear):
            base = path or what
        else:
            base = f"{path}.{what}" if path else what
        name, count = base, 0
        while name in self.drafts or name == self.input_name:
            count += 1
            name = f"{base}_{count}"
        draft = self.drafts[name] = Draft(name, op, inputs, node)
        draft.path = path
        self.values[node] = name
        return draft

    def finish(self, input_shape: tuple[int, ...]) -> tuple[Graph, dict[str, str]]:
        """The graph of what the outputs need."""
        outputs = []
        by_name = {node.name: node for node in self.program.graph.nodes}
        for name in self.program.graph_signature.user_outputs:
            node = by_name.get(str(name))
            if node is None or node not in self.values:
                raise UnsupportedOperatorError(f"output {name!r} does not depend on the input")
            outputs.append(self.values[node])
        needed = set(outputs)
        for draft in reversed(self.drafts.values()):
            if draft.name in needed:
                needed.update(draft.inputs)
        kept = [draft for draft in self.drafts.values() if draft.name in needed]
        graph = Graph(
            self.input_name,
            tuple(input_shape),
            tuple(draft.node() for draft in kept),
            tuple(outputs),
        )
        infer_shapes(graph)
        return graph, {draft.name: draft.path for draft in kept if draft.weight is not None}


__all__ = ["Importer", "copy_model", "from_torch", "import_model"]
