"""A graph as a dense ONNX model, for every runtime that reads ONNX."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lilnetx import __version__
from lilnetx.arguments import require_type
from lilnetx.errors import GraphError, MissingExtraError, UsageError
from lilnetx.graph import ir
from lilnetx.graph.ir import Graph, Node, Shape
from lilnetx.graph.shapes import infer_shapes
from lilnetx.graph.weights import dense_weight, transposed_weight

if TYPE_CHECKING:
    import onnx

_MIN_OPSET = 13  # softmax over one axis
_IR_VERSION = 8  # the oldest that opset 17 goes with, so that older runtimes read the file


def to_onnx(graph: Graph, *, opset: int = 17) -> onnx.ModelProto:
    """Builds a dense float32 ONNX model of the same outputs, with a free batch dimension ``N``.

    Args:
        graph: The network.
        opset: ONNX operator set, 13 or later.

    Returns:
        The model; ``graph.meta`` is kept as JSON in the metadata property ``lilnetx``.

    Raises:
        GraphError: The graph contradicts itself.
        UsageError: ``opset`` is too old.
        MissingExtraError: onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("onnx", "onnx", "building an ONNX model") from None
    require_type(graph, Graph, GraphError, "a lilnetx.Graph; lilnetx.read_lnx reads a .lnx file")
    if opset < _MIN_OPSET:
        raise UsageError(f"opset is {opset}, expected {_MIN_OPSET} or later")
    helper = onnx.helper
    shapes = infer_shapes(graph)
    build = ModelBuilder(graph, shapes, opset)
    for node in graph.nodes:
        build.node(node)

    def info(name: str, shape: Shape) -> Any:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", *shape])

    outputs = []
    for i, name in enumerate(graph.outputs):
        unique = name
        if name in graph.inputs or name in graph.outputs[:i]:
            # ONNX wants each output to be yielded by a node, once.
            unique = f"{name}/output{i}"
            build.emit("Identity", [name], unique)
        outputs.append(info(unique, shapes[name]))
    model = helper.make_model(
        helper.make_graph(
            build.nodes,
            "lilnetx",
            [info(name, shape) for name, shape in graph.inputs.items()],
            outputs,
            build.initializers,
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        producer_name="lilnetx",
        producer_version=__version__,
        ir_version=max(
            _IR_VERSION, helper.find_min_ir_version_for([helper.make_opsetid("", opset)])
        ),
    )
    facts = {"synthetic": graph.synthetic, "meta": dict(graph.meta)}
    helper.set_model_props(model, {"lilnetx": json.dumps(facts)})
    onnx.checker.check_model(model)
    return model


class ModelBuilder:
    """Collects ONNX nodes and initializers."""

    def __init__(self, graph: Graph, shapes: dict[str, Shape], opset: int) -> None:
        self.opset = opset
        self.graph = graph
        self.shapes = shapes
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def emit(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Appends a node of one output."""
        import onnx

        self.nodes.append(onnx.helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Appends an initializer."""
        import onnx

        self.initializers.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, node: Node) -> None:
        """Translates one node."""
        from lilnetx.graph.onnx_writers import ONNX_WRITERS

        write = ONNX_WRITERS.get(type(node.op))
        if write is None:
            raise GraphError(f"node {node.name!r}: {type(node.op).__name__} has no ONNX form")
        write(self, node, node.op)

    def floats(self, name: str, *values: float) -> list[str]:
        """Initializers of one float each."""
        arrays = [np.array(value, np.float32) for value in values]
        return [self.constant(f"{name}/{i}", array) for i, array in enumerate(arrays)]

    def integers(self, name: str, values: Iterable[int]) -> str:
        """An initializer of integers, such as sizes."""
        return self.constant(name, np.array(list(values), np.int64))

    def aligned(self, node: Node) -> list[str]:
        """The inputs of a node with as many axes each, new ones behind the batch."""
        rank = max(len(self.shapes[name]) for name in node.inputs)
        names = []
        for i, name in enumerate(node.inputs):
            shape = self.shapes[name]
            if len(shape) < rank:
                sizes = [0, *[1] * (rank - len(shape)), *shape]
                target = self.integers(f"{node.name}/shape{i}", sizes)
                name = self.emit("Reshape", [name, target], f"{node.name}/aligned{i}")
            names.append(name)
        return names

    def hard_sigmoid(self, inputs: list[str], name: str) -> str:
        """``min(max(x / 6 + 1 / 2, 0), 1)``."""
        return self.emit("HardSigmoid", inputs, name, alpha=1 / 6, beta=0.5)

    def weighted(self, node: Node, op: ir.Weighted) -> None:
        """A convolution, or a linear layer as Gemm."""
        inputs = [
            *node.inputs,
            "",
        ]
        if node.bias is not None:
            inputs.append(self.constant(f"{node.name}.bias", node.bias))
        if isinstance(op, ir.Linear):
            self.linear(node, inputs)
            return
        attributes: dict[str, Any] = {
            "kernel_shape": op.kernel,
            "strides": op.stride,
            "pads": [*op.padding, *op.padding],
            "dilations": op.dilation,
            "group": op.groups,
        }
        if isinstance(op, ir.ConvTranspose2d):
            weight = transposed_weight(dense_weight(self.graph, node), op.groups)
            inputs[1] = self.constant(f"{node.name}.weight", weight)
            attributes["output_padding"] = op.output_padding
            self.emit("ConvTranspose", inputs, node.name, **attributes)
        else:
            inputs[1] = self.constant(f"{node.name}.weight", dense_weight(self.graph, node))
            self.emit("Conv", inputs, node.name, **attributes)

    def linear(self, node: Node, inputs: list[str]) -> None:
        """A linear layer: Gemm on vectors, a matrix product and an addition on other values."""
        weight = dense_weight(self.graph, node)
        if len(self.shapes[node.name]) == 1:
            inputs[1] = self.constant(f"{node.name}.weight", weight)
            self.emit("Gemm", inputs, node.name, transB=1)
            return
        inputs[1] = self.constant(f"{node.name}.weight", weight.T)
        product = node.name if len(inputs) == 2 else f"{node.name}/product"
        self.emit("MatMul", inputs[:2], product)
        if len(inputs) == 3:
            self.emit("Add", [product, inputs[2]], node.name)

    def pool(self, node: Node, op: ir.MaxPool2d | ir.AvgPool2d) -> None:
        """A pooling layer; ``ceil_mode`` becomes explicit padding, on which all runtimes agree."""
        source = node.inputs[0]
        pixels, out = self.shapes[source][1:], self.shapes[node.name][1:]
        begin, end = list(op.padding), list(op.ends)
        if op.ceil_mode:
            reach = [op.dilation[i] * (op.kernel[i] - 1) + 1 for i in (0, 1)]
            end = [
                max(0, (out[i] - 1) * op.stride[i] + reach[i] - pixels[i] - op.padding[i])
                for i in (0, 1)
            ]
        attributes: dict[str, Any] = {"kernel_shape": op.kernel, "strides": op.stride}
        if op.dilation != (1, 1):
            attributes["dilations"] = op.dilation
        if isinstance(op, ir.MaxPool2d):
            self.emit("MaxPool", [source], node.name, pads=begin + end, **attributes)
            return
        include = op.count_include_pad and max(*op.padding, *op.ends) > 0
        if include and op.ceil_mode:
            # Padding counts but what lies past it does not: pad the image by zeros first.
            pads = self.integers(f"{node.name}/pads", [0, 0, *op.padding, 0, 0, *op.ends])
            source = self.emit("Pad", [source, pads], f"{node.name}/padded")
            end = [max(0, e - p) for e, p in zip(end, op.ends, strict=True)]
            begin, include = [0, 0], False
        attributes["count_include_pad"] = int(include)
        self.emit("AveragePool", [source], node.name, pads=begin + end, **attributes)


__all__ = ["ModelBuilder", "to_onnx"]
