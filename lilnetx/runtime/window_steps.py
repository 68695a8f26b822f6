"""Pooling windows of every kind and bilinear resizing, as tables for each axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lilnetx import _core
from lilnetx.graph.ir import AdaptiveAvgPool2d, AdaptivePool2d, AvgPool2d, Pool2d, Resize
from lilnetx.graph.ops.pool import adaptive_window
from lilnetx.runtime.layout import Image

Ints = NDArray[np.int32]


def _windows(
    op: Pool2d | AdaptivePool2d, axis: int, size: int, out: int
) -> tuple[Ints, Ints, Ints, int]:
    """Begin, end and what a mean divides by, for each output pixel of an axis; and the step."""
    if isinstance(op, AdaptivePool2d):
        pairs = [adaptive_window(i, size, out) for i in range(out)]
        begin, end = (np.array(column, np.int32) for column in zip(*pairs, strict=True))
        return begin, end, end - begin, 1
    step = op.dilation[axis]
    before, after = op.padding[axis], op.ends[axis]
    taps = np.arange(op.kernel[axis]) * step
    at = (np.arange(out) * op.stride[axis] - before)[:, None] + taps
    inside = (at >= 0) & (at < size)
    counted = inside
    if isinstance(op, AvgPool2d) and op.count_include_pad:
        counted = at < size + after
    begin = np.where(inside, at, size).min(axis=1)
    end = np.where(inside, at + 1, 0).max(axis=1)
    counts = np.maximum(counted.sum(axis=1), 1)
    return begin.astype(np.int32), end.astype(np.int32), counts.astype(np.int32), step


def add_window_pool(
    network: _core.Network, op: Pool2d | AdaptivePool2d, source: Image, output: Image
) -> None:
    """Adds a pooling of any window."""
    average = isinstance(op, AvgPool2d | AdaptiveAvgPool2d)
    rows = _windows(op, 0, source.height, output.height)
    columns = _windows(op, 1, source.width, output.width)
    network.add_window_pool(source.as_tuple(), output.as_tuple(), average, *rows, *columns)


def _blend(op: Resize, axis: int, size: int, out: int) -> tuple[Ints, Ints, NDArray[np.float32]]:
    """The two input pixels of each output pixel of an axis, and the second one's share."""
    at = np.clip(op.positions(axis, size, out), 0, size - 1)
    low = np.floor(at)
    high = np.minimum(low + 1, size - 1)
    return low.astype(np.int32), high.astype(np.int32), (at - low).astype(np.float32)


def add_blend(network: _core.Network, op: Resize, source: Image, output: Image) -> None:
    """Adds a bilinear resizing."""
    rows = _blend(op, 0, source.height, output.height)
    columns = _blend(op, 1, source.width, output.width)
    network.add_blend(source.as_tuple(), output.as_tuple(), *rows, *columns)


__all__ = ["add_blend", "add_window_pool"]
