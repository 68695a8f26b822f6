"""Integers for one layer's weights: error compensation and rate, column by column.

The layer's error over the calibration images is ``sum_f r_f * d_f H d_f^T / 2``: d_f is the change
of filter f's weights, H the second moment of the layer's inputs, r_f how much the filter's output
matters to the network's. Columns are rounded in turn; what a column's rounding did is made up for,
as far as the inputs allow, by the columns not yet rounded (Hassibi and Stork 1993; Frantar et al.
2023). With ``H^-1 = U^T U``, U upper triangular, the change ``e * U_jj`` of column j adds ``e**2``
to the error, if the later columns j' take up ``-e * U_jj'``. So each column has a plain quadratic
cost, and the integer of the least ``r_f * e**2 / 2 + weight * bits`` is found at once for all
filters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lilnetx.errors import CalibrationError
from lilnetx.packing.calibrate.prices import Floats, LayerPrices

# Columns whose effect on all later ones is applied at once, by a matrix product.
_PANEL = 128
_LARGEST = 32767
# By these shares a moment's diagonal grows, one after the other, until it has a factor: where
# inputs hardly vary, the rounding errors of thousands of columns may outweigh the damping.
_GROWTH = (0.0, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Quadratic:
    """What a block of columns costs to change.

    Attributes:
        upper: U, shape ``(groups, N, N)``, of the columns in the order they are rounded in.
        order: The block's columns in that order, shape ``(N,)``; slices stay together.
    """

    upper: Floats
    order: NDArray[np.int64]


def upper_factor(moment: Floats) -> Floats:
    """U of ``moment^-1 = U^T U``, upper triangular.

    Args:
        moment: Positive definite but for rounding errors, finite, shape ``(groups, N, N)``.

    Raises:
        CalibrationError: It is no second moment of anything.
    """
    at = np.arange(moment.shape[1])
    for share in _GROWTH:
        if share:
            moment = moment.copy()
            moment[:, at, at] *= 1 + share
        try:
            # Factored from the last column up, H = R R^T with R upper triangular; U is its inverse.
            lower = np.linalg.cholesky(moment[:, ::-1, ::-1])
        except np.linalg.LinAlgError:
            continue
        inverse: Floats = np.linalg.inv(lower[:, ::-1, ::-1])
        return np.triu(inverse)
    raise CalibrationError(
        "the second moments of a layer's inputs have no inverse; give other calibration images, "
        "normalised as the network takes them"
    )


def round_columns(
    weights: Floats,
    steps: Floats,
    importance: Floats,
    quadratic: Quadratic,
    length: int,
    prices: LayerPrices,
    bit_cost: float,
    *,
    compensate: bool = True,
) -> NDArray[np.int32]:
    """The integers of one block of columns.

    Args:
        weights: Shape ``(groups, F, N)``: the weights that the decoder would have to yield for step
            1. What compensation leaves of columns that are not rounded here, those behind the last
            slice, is written back.
        steps: Of each filter, shape ``(groups, F)``.
        importance: r, of each filter, shape ``(groups, F)``.
        quadratic: Of the columns; those that are no part of a slice come last.
        length: Integers in a slice.
        prices: Of shape ``(groups * F, S)``, S the slices of this block.
        bit_cost: What a bit may cost in error.
        compensate: Whether later columns make up for earlier ones.

    Returns:
        Shape ``(groups, F, S, length)``.
    """
    groups, filters, _ = weights.shape
    slices = prices.zero.shape[1]
    rounded = slices * length
    work = weights[:, :, quadratic.order]
    integers = np.zeros((groups, filters, slices, length), np.int32)
    panel = max(1, _PANEL // length) * length
    for start in range(0, rounded, panel):
        stop = min(start + panel, rounded)
        errors = np.empty((groups, filters, stop - start))
        for first in range(start, stop, length):
            last = first + length
            part = quadratic.upper[:, first:last, first:last]
            index = int(quadratic.order[first]) // length
            chosen, error = _round_slice(
                work[:, :, first:last],
                steps,
                importance,
                part if compensate else part * np.eye(length),
                LayerPrices(
                    *(
                        p[:, index].reshape(groups, filters)
                        for p in (prices.zero, prices.nonzero, prices.base, prices.slope)
                    )
                ),
                bit_cost,
            )
            integers[:, :, index] = chosen
            errors[:, :, first - start : last - start] = error
            if compensate and last < stop:
                work[:, :, last:stop] -= error @ quadratic.upper[:, first:last, last:stop]
        if compensate:
            work[:, :, stop:] -= errors @ quadratic.upper[:, start:stop, stop:]
    weights[:, :, quadratic.order[rounded:]] = work[:, :, rounded:]
    return integers


def _round_slice(
    weights: Floats,
    steps: Floats,
    importance: Floats,
    upper: Floats,
    prices: LayerPrices,
    bit_cost: float,
) -> tuple[NDArray[np.int32], Floats]:
    """The integers of one slice of all filters, and the errors e that they make.

    Args:
        weights: Shape ``(groups, F, n)``.
        steps: Shape ``(groups, F)``, as ``importance`` and each of the prices.
        importance: See there.
        upper: Shape ``(groups, n, n)``.
        prices: Of this slice.
        bit_cost: What a bit may cost in error.
    """
    length = weights.shape[2]
    work = weights.copy()
    chosen = np.zeros(weights.shape)
    errors = np.empty(weights.shape)
    bits = prices.nonzero + length * prices.base
    for j in range(length):
        width = upper[:, j, j, None]
        wanted = work[:, :, j] / steps
        magnitude = np.abs(wanted)
        # Quadratic error and linear bits: the optimum lies this much nearer to zero.
        shrink = bit_cost * prices.slope * (width / steps) ** 2 / importance
        found = np.minimum(np.rint(np.maximum(magnitude - shrink, 0)), _LARGEST)
        if length > 1:  # else the slice's flag decides
            # A one costs the sign's bit too, which may be more than its error.
            little = (magnitude - 0.5) * prices.slope < shrink * (1 + prices.slope)
            found[little & (found == 1)] = 0
        bits += prices.slope * found + (found > 0)
        chosen[:, :, j] = np.copysign(found, wanted)
        errors[:, :, j] = (work[:, :, j] - chosen[:, :, j] * steps) / width
        if j + 1 < length:
            work[:, :, j + 1 :] -= errors[:, :, j, None] * upper[:, None, j, j + 1 :]
    kept = 0.5 * importance * (errors**2).sum(axis=2) + bit_cost * bits
    nothing = weights @ np.linalg.inv(upper)
    lost = 0.5 * importance * (nothing**2).sum(axis=2) + bit_cost * prices.zero
    zero = (lost <= kept) | ~chosen.any(axis=2)
    chosen[zero] = 0
    errors = np.where(zero[:, :, None], nothing, errors)
    return chosen.astype(np.int32), errors


__all__ = ["Quadratic", "round_columns", "upper_factor"]
