"""Scales and biases with few significant bits, so that they take few in the file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lilnetx.arguments import is_whole
from lilnetx.errors import PackError

MAX_SIDE_BITS = 24  # float32's own precision
SIDE_BITS = 6


def shorten(values: NDArray[np.floating], bits: int) -> NDArray[np.float32]:
    """Rounds each value by itself to ``bits`` significant bits, as floats of a short mantissa.

    This suits scales, which multiply: a relative error of at most ``2**-bits`` each, however much
    the scales of a layer differ. Zeros stay zero.

    Args:
        values: float32 or float64, any shape, finite.
        bits: 1 to 24; 0 only converts to float32.

    Returns:
        float32, the shape of ``values``.

    Raises:
        PackError: ``bits`` is out of range.
    """
    if _keeps_all(bits):
        return values.astype(np.float32)
    mantissa, exponent = np.frexp(values.astype(np.float64))
    integers = np.rint(np.ldexp(mantissa, bits))
    short: NDArray[np.float32] = np.ldexp(integers + 0.0, exponent - bits).astype(np.float32)
    return short


def snap(values: NDArray[np.floating], bits: int) -> NDArray[np.float32]:
    """Rounds a vector to multiples of one power of two.

    This suits biases, which add: every error is at most ``2**(1 - bits)`` of the vector's root
    mean square, and the few large values of a layer do not make the grid of all others coarse. A
    vector that was snapped before hardly changes.

    Args:
        values: float32 or float64, any shape, finite.
        bits: 1 to 24; 0 only converts to float32.

    Returns:
        float32, the shape of ``values``.

    Raises:
        PackError: ``bits`` is out of range.
    """
    exact = values.astype(np.float64)
    square = float(np.mean(exact**2)) if exact.size else 0.0
    if _keeps_all(bits) or square == 0.0:
        return values.astype(np.float32)
    shift = bits - 2 - int(np.floor(np.log2(square) / 2))
    # Small negative values round to minus zero, which no integer stands for.
    return np.ldexp(np.rint(np.ldexp(exact, shift)) + 0.0, -shift).astype(np.float32)


def _keeps_all(bits: int) -> bool:
    if not is_whole(bits, 0) or bits > MAX_SIDE_BITS:
        raise PackError(f"side_bits is {bits!r}, expected 0 (float32) or 1 to {MAX_SIDE_BITS}")
    return bits == 0


__all__ = ["MAX_SIDE_BITS", "SIDE_BITS", "shorten", "snap"]
