"""Scale and bias vectors on a fixed-point grid, so that they take few bits in the file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lilnetx.errors import PackError

MAX_SIDE_BITS = 24  # float32's own precision


def snap(values: NDArray[np.floating], side_bits: int) -> NDArray[np.float32]:
    """Rounds a vector to multiples of ``2**-e``, the finest grid that ``side_bits`` allow.

    ``e`` is the largest integer for which all rounded magnitudes are below ``2**side_bits`` units,
    so the error is at most about ``2**-side_bits`` of the largest magnitude. Zeros stay zero, and
    a vector that was snapped before does not change.

    Args:
        values: float32 or float64, any shape, finite.
        side_bits: Significant bits of the largest magnitude, 1 to 24; 0 only converts to float32.

    Returns:
        float32, the shape of ``values``.

    Raises:
        PackError: ``side_bits`` is out of range.
    """
    if not 0 <= side_bits <= MAX_SIDE_BITS:
        raise PackError(f"side_bits is {side_bits}, expected 0 (float32) or 1 to {MAX_SIDE_BITS}")
    largest = float(np.abs(values).max(initial=0.0))
    if side_bits == 0 or largest == 0.0:
        return values.astype(np.float32)
    _, exponent = np.frexp(largest)  # largest < 2**exponent
    shift = side_bits - int(exponent)
    integers = np.rint(np.ldexp(values.astype(np.float64), shift))
    if np.abs(integers).max() >= 2**side_bits:  # rounded up past the last bit
        shift -= 1
        integers = np.rint(np.ldexp(values.astype(np.float64), shift))
    # Small negative values round to minus zero, which no fixed-point integer stands for.
    return np.ldexp(integers + 0.0, -shift).astype(np.float32)


def shorten(values: NDArray[np.floating], bits: int) -> NDArray[np.float32]:
    """Rounds each value by itself to ``bits`` significant bits, as floats of a short mantissa.

    This suits scales, which multiply: a relative error of at most ``2**-bits`` each, however much
    the scales of a layer differ.

    Args:
        values: float32 or float64, any shape, finite.
        bits: 1 to 24; 0 only converts to float32.

    Returns:
        float32, the shape of ``values``.

    Raises:
        PackError: ``bits`` is out of range.
    """
    if not 0 <= bits <= MAX_SIDE_BITS:
        raise PackError(f"scale_bits is {bits}, expected 0 (as side_bits) or 1 to {MAX_SIDE_BITS}")
    if bits == 0:
        return values.astype(np.float32)
    mantissa, exponent = np.frexp(values.astype(np.float64))
    integers = np.rint(np.ldexp(mantissa, bits))
    short: NDArray[np.float32] = np.ldexp(integers + 0.0, exponent - bits).astype(np.float32)
    return short


__all__ = ["MAX_SIDE_BITS", "shorten", "snap"]
