"""What both forms do with a finished sum: activation in float32."""

from __future__ import annotations

import triton
import triton.language as tl

ACTIVATIONS = (
    "none",
    "relu",
    "relu6",
    "hardswish",
    "silu",
    "hardsigmoid",
    "sigmoid",
    "gelu",
    "gelutanh",
)


@triton.jit  # type: ignore[untyped-decorator]
def activate(x, ACTIVATION: tl.constexpr):  # type: ignore[no-untyped-def]
    """``ACTIVATION`` of a float32 block, by the names of :data:`ACTIVATIONS`; NaN stays NaN."""
    if ACTIVATION == "relu":
        x = tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)
    elif ACTIVATION == "relu6":
        x = _clip6(x)
    elif ACTIVATION == "hardswish":
        x = x * (_clip6(x + 3.0) * (1.0 / 6.0))
    elif ACTIVATION == "silu":
        x = x / (1.0 + tl.exp(-x))
    elif ACTIVATION == "hardsigmoid":
        x = _clip6(x + 3.0) * (1.0 / 6.0)
    elif ACTIVATION == "sigmoid":
        x = 1.0 / (1.0 + tl.exp(-x))
    elif ACTIVATION == "gelu":
        x = 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    elif ACTIVATION == "gelutanh":
        # (1 + tanh(y)) / 2 is the sigmoid of 2y.
        x = x / (1.0 + tl.exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)))
    return x


@triton.jit  # type: ignore[untyped-decorator]
def _clip6(x):  # type: ignore[no-untyped-def]
    low = tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)
    return tl.minimum(low, 6.0, propagate_nan=tl.PropagateNan.ALL)


__all__ = ["ACTIVATIONS", "activate"]
