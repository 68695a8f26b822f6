"""A graph as a dense ONNX model, for every runtime that reads ONNX."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lilnetx import __version__
from lilnetx.errors import GraphError, MissingExtraError, UsageError
from lilnetx.graph.ir import (
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    Graph,
    HardSigmoid,
    HardSwish,
    Linear,
    MaxPool2d,
    Node,
    Relu,
    Relu6,
    Shape,
    Sigmoid,
    Silu,
    Softmax,
)
from lilnetx.graph.shapes import infer_shapes
from lilnetx.graph.weights import dense_weight

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
        raise MissingExtraError("onnx", "bench", "building an ONNX model") from None
    if opset < _MIN_OPSET:
        raise UsageError(f"opset is {opset}, expected {_MIN_OPSET} or later")
    helper = onnx.helper
    shapes = infer_shapes(graph)
    build = _Builder(graph, shapes)
    for node in graph.nodes:
        build.node(node)

    def info(name: str, shape: Shape) -> Any:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", *shape])

    outputs = []
    for i, name in enumerate(graph.outputs):
        unique = name
        if name == graph.input_name or name in graph.outputs[:i]:
            # ONNX wants each output to be yielded by a node, once.
            unique = f"{name}/output{i}"
            build.emit("Identity", [name], unique)
        outputs.append(info(unique, shapes[name]))
    model = helper.make_model(
        helper.make_graph(
            build.nodes,
            "lilnetx",
            [info(graph.input_name, graph.input_shape)],
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


class _Builder:
    """Collects ONNX nodes and initializers."""

    def __init__(self, graph: Graph, shapes: dict[str, Shape]) -> None:
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
        op, name, inputs = node.op, node.name, list(node.inputs)
        match op:
            case Conv2d() | Linear():
                self.weighted(node, op)
            case MaxPool2d() | AvgPool2d():
                self.pool(node, op)
            case GlobalAvgPool():
                self.emit("GlobalAveragePool", inputs, name)
            case Flatten():
                self.emit("Flatten", inputs, name, axis=1)
            case Relu():
                self.emit("Relu", inputs, name)
            case Relu6():
                bounds = [
                    self.constant(f"{name}/{side}", np.array(value, np.float32))
                    for side, value in (("least", 0.0), ("most", 6.0))
                ]
                self.emit("Clip", [*inputs, *bounds], name)
            case HardSigmoid():
                self.hard_sigmoid(inputs, name)
            case Sigmoid():
                self.emit("Sigmoid", inputs, name)
            case HardSwish():
                # The operator of that name needs a later opset, and runtimes fuse this form too.
                self.emit("Mul", [*inputs, self.hard_sigmoid(inputs, f"{name}/gate")], name)
            case Silu():
                self.emit("Mul", [*inputs, self.emit("Sigmoid", inputs, f"{name}/gate")], name)
            case Add():
                self.emit("Add", inputs, name)
            case Softmax():
                self.emit("Softmax", inputs, name, axis=1)
            case _:
                raise GraphError(f"node {name!r}: {type(op).__name__} has no ONNX form")

    def hard_sigmoid(self, inputs: list[str], name: str) -> str:
        """``min(max(x / 6 + 1 / 2, 0), 1)``."""
        return self.emit("HardSigmoid", inputs, name, alpha=1 / 6, beta=0.5)

    def weighted(self, node: Node, op: Conv2d | Linear) -> None:
        """A convolution, or a linear layer as Gemm."""
        inputs = [
            *node.inputs,
            self.constant(f"{node.name}.weight", dense_weight(self.graph, node)),
        ]
        if node.bias is not None:
            inputs.append(self.constant(f"{node.name}.bias", node.bias))
        if isinstance(op, Linear):
            self.emit("Gemm", inputs, node.name, transB=1)
            return
        self.emit(
            "Conv",
            inputs,
            node.name,
            kernel_shape=op.kernel,
            strides=op.stride,
            pads=[*op.padding, *op.padding],
            dilations=op.dilation,
            group=op.groups,
        )

    def pool(self, node: Node, op: MaxPool2d | AvgPool2d) -> None:
        """A pooling layer; ``ceil_mode`` becomes explicit padding, on which all runtimes agree."""
        source = node.inputs[0]
        pixels, out = self.shapes[source][1:], self.shapes[node.name][1:]
        begin, end = list(op.padding), list(op.padding)
        if op.ceil_mode:
            end = [
                max(0, (out[i] - 1) * op.stride[i] + op.kernel[i] - pixels[i] - op.padding[i])
                for i in (0, 1)
            ]
        attributes: dict[str, Any] = {"kernel_shape": op.kernel, "strides": op.stride}
        if isinstance(op, MaxPool2d):
            self.emit("MaxPool", [source], node.name, pads=begin + end, **attributes)
            return
        include = op.count_include_pad and max(op.padding) > 0
        if include and op.ceil_mode:
            # Padding counts but what lies past it does not: pad the image by zeros first.
            pads = np.array([0, 0, *op.padding, 0, 0, *op.padding], np.int64)
            name = self.constant(f"{node.name}/pads", pads)
            source = self.emit("Pad", [source, name], f"{node.name}/padded")
            end = [max(0, e - p) for e, p in zip(end, op.padding, strict=True)]
            begin, include = [0, 0], False
        attributes["count_include_pad"] = int(include)
        self.emit("AveragePool", [source], node.name, pads=begin + end, **attributes)


__all__ = ["to_onnx"]
