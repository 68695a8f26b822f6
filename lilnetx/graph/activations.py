"""Activation functions of known constants, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lilnetx.graph.ir import (
    Activation,
    Clip,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Relu,
    Relu6,
    Sigmoid,
    Silu,
)

Array = NDArray[np.float64]


def _hard_sigmoid(x: Array) -> Array:
    return np.clip(x + 3.0, 0.0, 6.0) / 6.0


def _sigmoid(x: Array) -> Array:
    # tanh overflows nowhere.
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


def evaluate_activation(op: Activation, x: Array) -> Array:
    """The function's values; NaN where ``x`` is NaN, or where the function is not known here.

    Functions with a factor x keep zero.
    """
    match op:
        case Relu():
            return np.maximum(x, 0.0)
        case Relu6():
            return np.clip(x, 0.0, 6.0)
        case HardSwish():
            return x * _hard_sigmoid(x)
        case Silu():
            return x * _sigmoid(x)
        case HardSigmoid():
            return _hard_sigmoid(x)
        case Sigmoid():
            return _sigmoid(x)
        case LeakyRelu(slope):
            return np.where(x < 0.0, x * slope, x)
        case Clip(least, most):
            return np.clip(x, least, most)
    return np.where(x == 0.0, 0.0, np.nan)


__all__ = ["evaluate_activation"]
