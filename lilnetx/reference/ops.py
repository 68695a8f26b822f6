"""The oracle: every operator in plain float64 numpy.

Nothing here shares code with the C++ runtime, so that a mistake in one cannot hide in the other.
Values have shape ``(N, ...)``, images ``(N, C, H, W)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lilnetx.errors import GraphError, InputError
from lilnetx.graph import ir
from lilnetx.graph.ir import Graph, Node, Op
from lilnetx.graph.weights import dense_weight
from lilnetx.reference.images import (
    adaptive_pool2d,
    avg_pool2d,
    conv2d,
    conv_transpose2d,
    max_pool2d,
    resize,
)
from lilnetx.reference.values import (
    align,
    gelu,
    gelu_tanh,
    matmul,
    pad,
    sigmoid,
    slice_axis,
    softmax,
)

Array = NDArray[np.float64]

_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "mean": np.mean,
    "sum": np.sum,
    "max": np.max,
    "min": np.min,
}


def _reduce(x: Array, op: ir.Reduce) -> Array:
    axes = tuple(axis + 1 for axis in op.axes)
    return np.asarray(_REDUCTIONS[op.kind](x, axis=axes, keepdims=op.keep))


def _reshape(x: Array, op: ir.Reshape) -> Array:
    return x.reshape(len(x), *op.output_shape([x.shape[1:]]))


# What each operator without a weight gives, from itself and what it reads.
_FUNCTIONS: dict[type[Op], Callable[..., Any]] = {
    ir.MaxPool2d: lambda op, x: max_pool2d(x, op),
    ir.AvgPool2d: lambda op, x: avg_pool2d(x, op),
    ir.AdaptiveAvgPool2d: lambda op, x: adaptive_pool2d(x, op, average=True),
    ir.AdaptiveMaxPool2d: lambda op, x: adaptive_pool2d(x, op, average=False),
    ir.GlobalAvgPool: lambda op, x: x.mean(axis=(2, 3), keepdims=True),
    ir.Resize: lambda op, x: resize(x, op),
    ir.Relu: lambda op, x: np.maximum(x, 0.0),
    ir.Relu6: lambda op, x: np.clip(x, 0.0, 6.0),
    ir.HardSigmoid: lambda op, x: np.clip(x + 3.0, 0.0, 6.0) / 6.0,
    ir.HardSwish: lambda op, x: x * np.clip(x + 3.0, 0.0, 6.0) / 6.0,
    ir.Sigmoid: lambda op, x: sigmoid(x),
    ir.Silu: lambda op, x: x * sigmoid(x),
    ir.LeakyRelu: lambda op, x: np.where(x < 0.0, x * op.slope, x),
    ir.Clip: lambda op, x: np.minimum(np.maximum(x, op.least), op.most),
    ir.Gelu: lambda op, x: gelu(x),
    ir.GeluTanh: lambda op, x: gelu_tanh(x),
    ir.Add: lambda op, *xs: np.add(*align(list(xs))),
    ir.Sub: lambda op, *xs: np.subtract(*align(list(xs))),
    ir.Mul: lambda op, *xs: np.multiply(*align(list(xs))),
    ir.Div: lambda op, *xs: np.divide(*align(list(xs))),
    ir.MatMul: lambda op, a, b: matmul(a, b),
    ir.Softmax: lambda op, x: softmax(x, op.axis + 1),
    ir.Reduce: lambda op, x: _reduce(x, op),
    ir.Flatten: lambda op, x: x.reshape(len(x), math.prod(x.shape[1:])),
    ir.Reshape: lambda op, x: _reshape(x, op),
    ir.Transpose: lambda op, x: x.transpose(0, *(axis + 1 for axis in op.axes)),
    ir.Concat: lambda op, *xs: np.concatenate(xs, axis=op.axis + 1),
    ir.Slice: lambda op, x: slice_axis(x, op),
    ir.Pad: lambda op, x: pad(x, op),
}


def run(graph: Graph, x: ArrayLike | Mapping[str, ArrayLike]) -> list[Array]:
    """Evaluates a graph in float64.

    The weights are the float32 values that the runtime uses (decoded, then multiplied by the scale,
    in float32); from there on all arithmetic is float64.

    Args:
        graph: The network.
        x: Input, shape ``(N, *graph.input_shape)``, any real dtype; a mapping by name where the
            network takes several.

    Returns:
        One float64 array per entry of ``graph.outputs``, each ``(N, ...)``.

    Raises:
        InputError: An input has the wrong shape.
        GraphError: The graph contradicts itself.
    """
    given = x if isinstance(x, Mapping) else {graph.input_name: x}
    values: dict[str, Array] = {}
    for name, shape in graph.inputs.items():
        value = values[name] = np.asarray(given[name], dtype=np.float64)
        if value.shape[1:] != shape or value.ndim != len(shape) + 1:
            raise InputError(f"input {name!r} has shape {value.shape}, expected (N, *{shape})")
    count = len(values[graph.input_name])
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    for i, node in enumerate(graph.nodes):
        if isinstance(node.op, ir.Constant) and isinstance(node.weight, ir.DenseWeight):
            constant = node.weight.values.astype(np.float64)
            values[node.name] = np.broadcast_to(constant, (count, *constant.shape))
        else:
            values[node.name] = run_node(graph, node, [values[name] for name in node.inputs])
        for name in set(node.inputs):
            if last_use[name] == i and name not in graph.outputs:
                del values[name]
    return [values[name] for name in graph.outputs]


def run_node(graph: Graph, node: Node, inputs: list[Array]) -> Array:
    """Evaluates one node on float64 inputs ``(N, ...)``."""
    op = node.op
    if isinstance(op, ir.ChannelAffine) and node.scale is not None and node.bias is not None:
        x = inputs[0]
        shape = (-1, *[1] * (x.ndim - 2))
        scale, bias = node.scale.astype(np.float64), node.bias.astype(np.float64)
        return x * scale.reshape(shape) + bias.reshape(shape)
    if isinstance(op, ir.Weighted):
        weight = dense_weight(graph, node).astype(np.float64)
        bias = np.zeros(weight.shape[0]) if node.bias is None else node.bias.astype(np.float64)
        if isinstance(op, ir.Conv2d):
            return conv2d(inputs[0], weight, bias, op)
        if isinstance(op, ir.ConvTranspose2d):
            return conv_transpose2d(inputs[0], weight, bias, op)
        return inputs[0] @ weight.T + bias
    if type(op) not in _FUNCTIONS:
        raise GraphError(f"node {node.name!r}: there is no reference of {type(op).__name__}")
    return np.asarray(_FUNCTIONS[type(op)](op, *inputs))


__all__ = ["avg_pool2d", "conv2d", "max_pool2d", "run", "run_node", "sigmoid", "softmax"]
