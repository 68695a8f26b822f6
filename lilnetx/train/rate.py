"""The rate term: the expected self-information of noisy latents, from a table of the density.

The rate of a latent phi is ``E[bits(phi + u)]``, u uniform in [-1/2, 1/2]. A density has one
channel a tap, so this is one function of phi for each tap: it is evaluated at a few hundred points
and interpolated between them. That costs less than to evaluate the density at every latent, and the
expectation has no sampling noise for the latents' gradient to suffer from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lilnetx._core import sum_of_table
from lilnetx.train.density import FactorisedDensity, bits_between, density_logits

# The table's range in quantisation steps, and its cells a step; beyond it, a straight line.
_RANGE = 32
_CELLS = 16
# Latents worked on at a time: bounds temporary memory, and keeps float32 counts exact.
_CHUNK = 1 << 20


def expected_bits_tables(densities: Sequence[FactorisedDensity]) -> list[Tensor]:
    """``E[bits(x + u)]`` at the table's points, shape ``(n, points)``, for each density."""
    first = densities[0].h
    count = 2 * (_RANGE + 1) * _CELLS + 1
    edges = torch.arange(count, device=first.device, dtype=first.dtype) / _CELLS - _RANGE - 1
    # All channels in one pass: the cost is that of its many small operations.
    h, b, a = (torch.cat([getattr(d, p) for d in densities], dim=1) for p in "hba")
    logits = density_logits(edges[:, None], h, b, a)
    bits = bits_between(logits[:-_CELLS], logits[_CELLS:]).T
    # The mean over one step by the trapezoidal rule.
    cells = (bits[:, 1:] + bits[:, :-1]) / 2
    means = functional.avg_pool1d(cells[:, None], _CELLS, stride=1)[:, 0]
    # The straight lines beyond must not fall outwards: latents would run away along them.
    low = torch.maximum(means[:, :1], means[:, 1:2])
    high = torch.maximum(means[:, -1:], means[:, -2:-1])
    means = torch.cat([low, means[:, 1:-1], high], dim=1)
    return list(torch.split(means, [d.h.shape[1] for d in densities]))


def table_bits(rows: Tensor, table: Tensor) -> Tensor:
    """Sum of the interpolated table over latents.

    Args:
        rows: Latents, float32, shape ``(rows, n)``.
        table: Shape ``(n, points)``, of :func:`expected_bits_tables`.

    Returns:
        A scalar, in bits, differentiable by both.
    """
    total: Tensor = _TableBits.apply(rows, table)  # type: ignore[no-untyped-call]
    return total


class _TableBits(torch.autograd.Function):
    """Works out both gradients on the way forward, so that no index tensors are kept."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, table: Tensor) -> Tensor:
        native = rows.device.type == "cpu" and rows.dtype == table.dtype == torch.float32
        if native and not torch.compiler.is_compiling():
            total, by_rows, by_table = _sum_in_cpp(rows, table)
        else:
            total, by_rows, by_table = _sum_in_torch(rows, table)
        ctx.save_for_backward(by_rows, by_table)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        by_rows, by_table = ctx.saved_tensors
        return by_rows * grads[0], by_table * grads[0]


def _sum_in_cpp(rows: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    rows, table = rows.detach().contiguous(), table.detach().contiguous()
    by_rows, by_table = torch.empty_like(rows), torch.empty_like(table)
    total = sum_of_table(
        rows.numpy(),
        table.numpy(),
        cells=_CELLS,
        range=_RANGE,
        by_latents=by_rows.numpy(),
        by_table=by_table.numpy(),
    )
    return torch.tensor(total, dtype=rows.dtype), by_rows, by_table


def _sum_in_torch(rows: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same on any device: the sum, and its gradients by both."""
    n, points = table.shape
    steps = functional.pad(table[:, 1:] - table[:, :-1], (0, 1)).reshape(-1)
    offsets = torch.arange(n, device=rows.device) * points
    by_rows = torch.empty_like(rows)
    by_table = torch.zeros(n * points, device=rows.device, dtype=rows.dtype)
    for first in range(0, len(rows), max(1, _CHUNK // n)):
        chunk = slice(first, first + max(1, _CHUNK // n))
        position = rows[chunk] * _CELLS + _RANGE * _CELLS
        cell = position.floor().clamp_(0, points - 2)
        inside = position.sub_(cell).reshape(-1)
        index = (cell.long() + offsets).reshape(-1)
        torch.mul(steps[index].view_as(cell), _CELLS, out=by_rows[chunk])
        upper = torch.bincount(index, inside, minlength=n * points)
        by_table += torch.bincount(index, minlength=n * points) - upper
        by_table[1:] += upper[:-1]
    # The sum is linear in the table.
    return torch.dot(by_table, table.reshape(-1)), by_rows, by_table.view(n, points)


def slice_norms(
    rows: Tensor, weights: Tensor | None, order: float, *, concave: bool = False
) -> Tensor:
    """The sum of ``||row||_order`` over rows, each times its weight; the gradient of 0 is 0.

    Args:
        rows: Latents, float32, shape ``(rows, n)``.
        weights: Shape ``(rows,)``, or None for 1.
        order: 1, 2 or infinity.
        concave: Take ``log2(1 + ||row||)`` instead.
    """
    if order == 2.0:
        total: Tensor = _EuclideanNorms.apply(rows, weights, concave)  # type: ignore[no-untyped-call]
        return total
    norms = torch.linalg.vector_norm(rows, ord=order, dim=-1)
    if concave:
        norms = torch.log2(1 + norms)
    summed: Tensor = (norms if weights is None else norms * weights).sum()
    return summed


class _EuclideanNorms(torch.autograd.Function):
    """As torch's, in two passes over the latents."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor | None, concave: bool) -> Tensor:
        norms = torch.linalg.vector_norm(rows, dim=-1)
        slope = norms.clamp_min(1e-12).reciprocal_()
        if concave:
            slope /= (1 + norms) * math.log(2)
            norms = torch.log2(1 + norms)
        if weights is not None:
            slope *= weights
        ctx.save_for_backward(rows, slope)
        total: Tensor = (norms if weights is None else norms * weights).sum()
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        rows, slope = ctx.saved_tensors
        return rows * (slope * grads[0])[:, None], None, None
