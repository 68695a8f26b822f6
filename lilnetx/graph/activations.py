"""Activation functions of known constants, in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lilnetx.graph.ir import HardSigmoid, HardSwish, Op, Relu, Relu6, Sigmoid, Silu

Array = NDArray[np.float64]


def _hard_sigmoid(x: Array) -> Array:
    return np.clip(x + 3.0, 0.0, 6.0) / 6.0


def _sigmoid(x: Array) -> Array:
    # tanh overflows nowhere.
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


# By operator; each keeps NaN, and the functions with a factor x keep zero.
ACTIVATION_FUNCTIONS: dict[type[Op], Callable[[Array], Array]] = {
    Relu: lambda x: np.maximum(x, 0.0),
    Relu6: lambda x: np.clip(x, 0.0, 6.0),
    HardSwish: lambda x: x * _hard_sigmoid(x),
    Silu: lambda x: x * _sigmoid(x),
    HardSigmoid: _hard_sigmoid,
    Sigmoid: _sigmoid,
}


__all__ = ["ACTIVATION_FUNCTIONS"]
