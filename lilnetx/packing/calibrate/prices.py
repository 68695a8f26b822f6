"""About how many bits the file's coder takes for each integer of one layer, as simple functions.

The coder (SPEC.md, "Weights") codes magnitudes by the mean magnitude of the row and the column that
an integer lies in, and whether a slice is zero by their densities. Here, magnitudes with the same
mean follow a geometric distribution, so that their bits grow linearly: what a rounding decision
needs to know of them is one slope. :mod:`lilnetx.packing.latent_bits` has tables instead, of small
magnitudes and alike for all rows, which suit trained networks; given weights have integers of ten
and more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# The share of each density's log-odds in those of a slice's flag (SPEC.md, "Weights").
_FILTER, _CHANNEL, _LAYER = 5 / 8, 7 / 8, -4 / 8
# No distribution is taken to be narrower than this, so that no integer has an endless price.
_LEAST_MEAN = 0.02
_RAREST = 1e-3


@dataclass(frozen=True)
class LayerPrices:
    """Prices in bits, each of shape ``(F, S)``: of filter f and slice s.

    A nonzero slice costs ``nonzero``, and for each of its integers ``base``, ``slope`` times the
    magnitude, and 1 for the sign unless it is zero. A zero slice costs ``zero``.
    """

    zero: Floats
    nonzero: Floats
    base: Floats
    slope: Floats


def layer_prices(integers: NDArray[np.int32]) -> LayerPrices:
    """Prices that follow from integers like the ones to be chosen.

    Args:
        integers: Shape ``(F, S, n)``.
    """
    length = integers.shape[2]
    live: NDArray[np.bool_] = np.asarray(integers.any(axis=2))
    sums = np.abs(integers).sum(axis=2, dtype=np.float64)
    rows = sums.sum(axis=1) / np.maximum(live.sum(axis=1) * length, 1)
    columns = sums.sum(axis=0) / np.maximum(live.sum(axis=0) * length, 1)
    mean = (rows[:, None] + columns[None]) / 2
    # A slice of a single integer is not coded again as "not zero": its magnitude begins at 1.
    least = 1.0 if length == 1 else 0.0
    mean = np.maximum(mean - least, _LEAST_MEAN)
    slope = np.log2((1 + mean) / mean)
    base = np.log2(1 + mean) - least * slope
    zero, nonzero = _flag_bits(live)
    return LayerPrices(zero, nonzero, base, slope)


def _flag_bits(live: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    filters, slices = live.shape
    odds = _FILTER * _log_odds(live.sum(axis=1), slices)[:, None]
    odds = odds + _CHANNEL * _log_odds(live.sum(axis=0), filters)[None]
    odds = odds + _LAYER * _log_odds(live.sum(), live.size)
    nonzero = np.clip(1 / (1 + np.exp(-odds)), _RAREST, 1 - _RAREST)
    return -np.log2(1 - nonzero), -np.log2(nonzero)


def _log_odds(count: NDArray[np.int64] | np.int64, of: int) -> Floats:
    return np.log((np.asarray(count, np.float64) + 0.5) / (of - count + 0.5))


__all__ = ["LayerPrices", "layer_prices"]
