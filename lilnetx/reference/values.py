"""Operators on values ``(N, ...)`` of any rank, in float64; axes of operators leave out N."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lilnetx.graph.ir import Pad, Slice

Array = NDArray[np.float64]


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, of any value without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def gelu(x: Array) -> Array:
    """``x * Phi(x)``; erfc keeps the digits of small results."""
    erfc = np.vectorize(math.erfc, otypes=[np.float64])
    return np.asarray(0.5 * x * erfc(-x / math.sqrt(2.0)))


def gelu_tanh(x: Array) -> Array:
    """GELU by its common approximation."""
    return x * sigmoid(2.0 * math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3))


def softmax(x: Array, axis: int = 1) -> Array:
    """Softmax over one axis, counted with N."""
    shifted = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=axis, keepdims=True))


def align(values: list[Array]) -> list[Array]:
    """Values with as many axes as the one that has most, new ones behind N."""
    rank = max(value.ndim for value in values)
    return [
        value.reshape(value.shape[0], *[1] * (rank - value.ndim), *value.shape[1:])
        for value in values
    ]


def matmul(a: Array, b: Array) -> Array:
    """Matrix product of the last two axes."""
    one, other = align([a, b])
    return np.asarray(one @ other)


def slice_axis(x: Array, op: Slice) -> Array:
    """Every ``step``-th element of an axis."""
    return np.take(x, list(op.indices(x.shape[1 + op.axis])), axis=1 + op.axis)


def pad(x: Array, op: Pad) -> Array:
    """Padding of all modes; negative padding cuts first."""
    cuts = [slice(None)]
    widths = [(0, 0)]
    for size, before, after in zip(x.shape[1:], op.before, op.after, strict=True):
        cuts.append(slice(max(-before, 0), size - max(-after, 0)))
        widths.append((max(before, 0), max(after, 0)))
    x = x[tuple(cuts)]
    if op.mode == "constant":
        return np.pad(x, widths, constant_values=op.value)
    return np.pad(x, widths, mode=op.mode)


__all__ = ["align", "gelu", "gelu_tanh", "matmul", "pad", "sigmoid", "slice_axis", "softmax"]
