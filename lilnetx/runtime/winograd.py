"""Layers that Winograd's minimal filtering does, and its tiles for them."""

from __future__ import annotations

from lilnetx.runtime.problem import (
    ROWS_BYTES,
    TRANSFORMED_BYTES,
    Choice,
    Problem,
    block_channels,
    label,
)

# Slices of a channel that must share the transform of its rows for Winograd to pay, and the share
# of slices above which its longer weights, read anew for each tile, cost more than it saves. (In
# the smallest images there are too few tiles for that.)
_SLICES = 6
_DENSITY = 0.35
# Rows of output in a vector, and vectors of a tile, of the kernel for at most 8 columns.
_PAIRS_ROWS = 8
_PAIRS_TILE = 2
# The same for the 7x7 kernel, which multiplies zeros too: density, filters, and most channels.
_DENSE = 0.35
_DENSE_FILTERS = 8
_DENSE_CHANNELS = 16


def suits_winograd3x3(p: Problem) -> bool:
    """3×3 with stride 1, where enough filters share the transform of a channel."""
    plain = p.is_3x3 and p.op.stride == (1, 1) and p.op.padding == (1, 1) and p.op.groups == 1
    shared = p.density * p.op.out_channels >= _SLICES
    sparse = p.density <= _DENSITY or p.output.width <= 8
    return plain and shared and sparse and p.traits["winograd_tile"] > 0


def winograd3x3(p: Problem) -> Choice:
    """The kernel for images of a width, and its tile."""
    lanes, height, width = p.traits["lanes"], p.output.height, p.output.width
    pairs = lanes == 16 and width <= 8
    down = "down the columns" if pairs else "along the rows"
    reason = f"3x3 stride 1: Winograd's F(4, 3) {down} saves half of the work"
    if pairs:
        vectors = -(-height // _PAIRS_ROWS)
        tile = min(vectors, _PAIRS_TILE)
        block = block_channels(p, ROWS_BYTES, 6 * 4 * lanes * tile)
        shape = f"{_PAIRS_ROWS * tile}x1"
        name = "winograd_pairs3x3"
        return Choice(name, label(p) + "winogradpairs", True, block, 0, tile, shape, reason)
    # Rows of the image in a vector.
    parts = 1 if lanes != 16 or width > 32 else 2 if width > 16 else 4
    rows = -(-height // parts)
    rows = -(-rows // -(-rows // p.traits["winograd_tile"]))
    block = block_channels(p, TRANSFORMED_BYTES, 6 * 4 * lanes * (rows + 2))
    shape = f"{rows * parts}x{4 // parts}"
    return Choice("winograd3x3", label(p) + "winograd", True, block, rows, parts, shape, reason)


def suits_winograd7x7s2(p: Problem) -> bool:
    """7×7 with stride 2 of few channels: the first layer of many networks."""
    op, out = p.op, p.output
    plain = (op.kernel, op.stride, op.padding) == ((7, 7), (2, 2), (3, 3))
    plain = plain and op.dilation == (1, 1) and op.groups == 1
    packed = out.row_stride == out.width and out.width % 16 == 0 and out.height % 2 == 0
    dense = p.density >= _DENSE and op.out_channels >= _DENSE_FILTERS
    few = op.in_channels <= _DENSE_CHANNELS
    return plain and packed and dense and few and p.traits["winograd_tile"] > 0


def winograd7x7s2(p: Problem) -> Choice:
    """Its only tile."""
    reason = "7x7 stride 2, dense: Winograd along the rows takes 9 products in place of 14"
    return Choice(
        "winograd7x7s2", label(p) + "winograd", False, p.op.in_channels, 0, 3, "3x8", reason
    )
