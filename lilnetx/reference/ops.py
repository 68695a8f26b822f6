"""The oracle: every operator in plain float64 numpy, one function each.

Nothing here shares code with the C++ runtime, so that a mistake in one cannot hide in the other.
Values have shape ``(N, C, H, W)`` or ``(N, C)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lilnetx.errors import GraphError, InputError
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
    Pair,
    Relu,
    Relu6,
    Sigmoid,
    Silu,
    Softmax,
)
from lilnetx.graph.shapes import conv_output, pool_output
from lilnetx.graph.weights import dense_weight

Array = NDArray[np.float64]


def run(graph: Graph, x: ArrayLike) -> list[Array]:
    """Evaluates a graph in float64.

    The weights are the float32 values that the runtime uses (decoded, then multiplied by the scale,
    in float32); from there on all arithmetic is float64.

    Args:
        graph: The network.
        x: Input, shape ``(N, *graph.input_shape)``, any real dtype.

    Returns:
        One float64 array per entry of ``graph.outputs``, each ``(N, ...)``.

    Raises:
        InputError: ``x`` has the wrong shape.
        GraphError: The graph contradicts itself.
    """
    value = np.asarray(x, dtype=np.float64)
    if value.shape[1:] != tuple(graph.input_shape) or value.ndim != len(graph.input_shape) + 1:
        raise InputError(f"input has shape {value.shape}, expected (N, *{graph.input_shape})")
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    values: dict[str, Array] = {graph.input_name: value}
    for i, node in enumerate(graph.nodes):
        values[node.name] = run_node(graph, node, [values[name] for name in node.inputs])
        for name in set(node.inputs):
            if last_use[name] == i and name not in graph.outputs:
                del values[name]
    return [values[name] for name in graph.outputs]


def run_node(graph: Graph, node: Node, inputs: list[Array]) -> Array:
    """Evaluates one node on float64 inputs ``(N, ...)``."""
    op, x = node.op, inputs[0]
    match op:
        case Conv2d() | Linear():
            weight = dense_weight(graph, node).astype(np.float64)
            bias = np.zeros(weight.shape[0]) if node.bias is None else node.bias.astype(np.float64)
            return conv2d(x, weight, bias, op) if isinstance(op, Conv2d) else x @ weight.T + bias
        case MaxPool2d():
            return max_pool2d(x, op)
        case AvgPool2d():
            return avg_pool2d(x, op)
        case GlobalAvgPool():
            return np.asarray(x.mean(axis=(2, 3), keepdims=True))
        case Flatten():
            return x.reshape(x.shape[0], -1)
        case Relu():
            return np.maximum(x, 0.0)
        case Relu6():
            return np.clip(x, 0.0, 6.0)
        case HardSigmoid():
            return np.clip(x + 3.0, 0.0, 6.0) / 6.0
        case HardSwish():
            return x * np.clip(x + 3.0, 0.0, 6.0) / 6.0
        case Sigmoid():
            return sigmoid(x)
        case Silu():
            return x * sigmoid(x)
        case Add():
            return x + inputs[1]
        case Softmax():
            return softmax(x)
    raise GraphError(f"node {node.name!r}: there is no reference of {type(op).__name__}")


def conv2d(x: Array, weight: Array, bias: Array, op: Conv2d) -> Array:
    """Convolution as a sum over kernel taps of matrix products with shifted images.

    Args:
        x: Shape ``(N, C, H, W)``.
        weight: Shape ``(F, C/groups, Kh, Kw)``.
        bias: Shape ``(F,)``.
        op: Stride, padding, dilation and groups.

    Returns:
        Shape ``(N, F, Ho, Wo)``.
    """
    n, channels, height, width = x.shape
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = op.kernel, op.stride, op.padding, op.dilation
    ho, wo = conv_output(height, kh, sh, ph, dh), conv_output(width, kw, sw, pw, dw)
    groups, filters = op.groups, weight.shape[0]
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    by_group = weight.reshape(groups, filters // groups, channels // groups, kh, kw)
    out = np.zeros((n, groups, filters // groups, ho * wo))
    for i in range(kh):
        for j in range(kw):
            top, left = i * dh, j * dw
            rows = slice(top, top + (ho - 1) * sh + 1, sh)
            columns = slice(left, left + (wo - 1) * sw + 1, sw)
            image = padded[:, :, rows, columns].reshape(n, groups, channels // groups, ho * wo)
            out += by_group[..., i, j] @ image
    return out.reshape(n, filters, ho, wo) + bias[:, None, None]


def _pool_windows(x: Array, op: MaxPool2d | AvgPool2d, fill: float) -> tuple[list[Array], Pair]:
    """The image under each tap of the window, ``(N, C, Ho, Wo)`` each, and ``(Ho, Wo)``."""
    (kh, kw), (sh, sw), (ph, pw) = op.kernel, op.stride, op.padding
    height, width = x.shape[2:]
    ho = pool_output(height, kh, sh, ph, op.ceil_mode)
    wo = pool_output(width, kw, sw, pw, op.ceil_mode)
    bottom = max(0, (ho - 1) * sh + kh - ph - height)
    right = max(0, (wo - 1) * sw + kw - pw - width)
    padded = np.pad(x, ((0, 0), (0, 0), (ph, bottom), (pw, right)), constant_values=fill)
    taps = [
        padded[:, :, i : i + (ho - 1) * sh + 1 : sh, j : j + (wo - 1) * sw + 1 : sw]
        for i in range(kh)
        for j in range(kw)
    ]
    return taps, (ho, wo)


def max_pool2d(x: Array, op: MaxPool2d) -> Array:
    """Maximum over windows of ``(N, C, H, W)``."""
    taps, _ = _pool_windows(x, op, -np.inf)
    out = taps[0].copy()
    for tap in taps[1:]:
        np.maximum(out, tap, out=out)
    return out


def avg_pool2d(x: Array, op: AvgPool2d) -> Array:
    """Mean over windows of ``(N, C, H, W)``.

    The divisor counts the window's pixels inside the image, and inside its padding too when
    ``count_include_pad``; what a window of ``ceil_mode`` covers past the padding never counts.
    """
    taps, out = _pool_windows(x, op, 0.0)
    counts = []
    for axis in (0, 1):
        size, padding = x.shape[2 + axis], op.padding[axis]
        start = np.arange(out[axis]) * op.stride[axis] - padding
        edge = padding if op.count_include_pad else 0
        end = np.minimum(start + op.kernel[axis], size + edge)
        counts.append(end - np.maximum(start, -edge))
    return np.asarray(sum(taps) / np.outer(counts[0], counts[1]))


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, of any value without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def softmax(x: Array) -> Array:
    """Softmax over the channels of ``(N, C)``."""
    shifted = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


__all__ = ["avg_pool2d", "conv2d", "max_pool2d", "run", "run_node", "sigmoid", "softmax"]
