"""The CPU's convolution kernels: what each can do, and which one a layer gets.

Kernels are tried in the order of :data:`KERNELS`; the first that suits a layer is taken. Names are
specifications: ``lnx_f32_gconv3x3s1rows_add_relu_7x2__avx512`` is float32, a gathered convolution
(only the channels whose slice is not zero), 3×3 with stride 1 by rows, with fused addition and
ReLU, tiles of 7 rows of 2 vectors, for AVX-512. Flat kernels give vectors × filters instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lilnetx.runtime.layout import is_5x5
from lilnetx.runtime.problem import (
    FLAT_BYTES,
    ROWS_BYTES,
    TRANSFORMED_BYTES,
    Choice,
    Problem,
    block_channels,
    label,
)
from lilnetx.runtime.winograd import (
    suits_winograd3x3,
    suits_winograd7x7s2,
    winograd3x3,
    winograd7x7s2,
)

# With more vectors a tile, fewer channels would fit, and partial sums would cost more.
_POINTWISE_TILE = 7
# Of small images: more channels fit beside fewer vectors, and partial sums are few anyway.
_SMALL_POINTWISE_TILE = 5


@dataclass(frozen=True)
class Kernel:
    """One row of the registry.

    Attributes:
        name: Name in the extension.
        suits: Whether it can do a layer and should.
        choose: Its tile for a layer.
    """

    name: str
    suits: Callable[[Problem], bool]
    choose: Callable[[Problem], Choice]


def choose_kernel(problem: Problem) -> Choice:
    """The first kernel of the registry that suits."""
    return next(k for k in KERNELS if k.suits(problem)).choose(problem)


def _rows_choice(p: Problem, name: str, stride: int, reason: str) -> Choice:
    traits = p.traits
    vectors = -(-p.output.width // traits["lanes"])
    tiles = -(-vectors // traits["row_vectors_max"])
    cols = -(-vectors // tiles)
    rows = min(traits["rows_tile"] // cols, traits["rows_max"], p.output.height)
    rows = -(-p.output.height // -(-p.output.height // rows))
    bytes_per_channel = (stride * rows + 2) * stride * cols * traits["lanes"] * 4
    block = block_channels(p, ROWS_BYTES, bytes_per_channel)
    name_of_loop = label(p) + "rows"
    return Choice(name, name_of_loop, stride == 2, block, rows, cols, f"{rows}x{cols}", reason)


def _rows3x3(p: Problem) -> Choice:
    return _rows_choice(
        p, "rows3x3", 1, "3x3 stride 1: each loaded row serves three rows of output"
    )


def _rows3x3s2(p: Problem) -> Choice:
    return _rows_choice(p, "rows3x3s2", 2, "3x3 stride 2: input split into even and odd columns")


# Share of slices from which strided 3x3 layers are better off with blocks of filters.
_STRIDED_DENSE = 0.55


def _better_sparse(p: Problem) -> bool:
    return p.density < _STRIDED_DENSE or not _suits_flat_blocked(p)


def _suits_pairs(p: Problem) -> bool:
    narrow = p.output.width <= 8 and p.traits["lanes"] == 16
    return p.is_3x3 and p.op.padding == (1, 1) and narrow


def _narrow(p: Problem, columns: int) -> bool:
    """Whether rows of 8 floats come from rows of ``columns``, and a vector holds two of them."""
    rows = p.output.row_stride == 8 and p.input.row_stride == columns
    return rows and p.traits["lanes"] == 16


def _pairs_choice(p: Problem, name: str) -> Choice:
    vectors = min(4, p.vectors)
    block = block_channels(p, ROWS_BYTES, 4 * p.input.channel_stride)
    kh, kw = p.op.kernel
    reason = f"{kh}x{kw} to at most 8 columns: two image rows in each vector"
    return Choice(name, label(p) + "pairs", False, block, 0, vectors, f"{vectors}x1", reason)


def _pairs3x3s2(p: Problem) -> Choice:
    tile = min(2, -(-p.output.height // 4))  # vectors of four rows of output
    block = block_channels(p, TRANSFORMED_BYTES, 10 * 4 * 16 * tile)
    reason = "3x3 stride 2 to at most 8 columns: Winograd's F(2, 2) down the columns"
    return Choice("pairs3x3s2", label(p) + "pairs", True, block, 0, tile, f"{4 * tile}x1", reason)


# Rows of a tile, and most vectors of a row, of the 5x5 and the direct 3x3 kernels: step_tiles.h.
STEP_ROWS = (14, 7, 4, 2, 1)
STEP_COLS = 2
# So many filters at least must read a channel before it pays to write its parted columns to memory.
_FILTERS_PER_STAGE = 8


def _step_choice(p: Problem, name: str, reason: str) -> Choice:
    stride = p.op.stride[0]
    lanes = p.traits["lanes"]
    height = p.output.height
    vectors = -(-p.output.width // lanes)
    cols = -(-vectors // -(-vectors // STEP_COLS))
    most = min(p.traits["rows_tile"] // cols, height)

    def cost(rows: int) -> float:
        """Each tile costs about as much as 1.5 rows more; what is left goes to smaller ones."""
        tiles, left = divmod(height, rows)
        for smaller in STEP_ROWS:
            tiles, left = tiles + left // smaller, left % smaller
        return height + 1.5 * tiles

    rows = min((r for r in STEP_ROWS if r <= most), key=cost)
    window = stride * (rows - 1) + p.op.kernel[0]
    block = block_channels(p, ROWS_BYTES, window * stride * cols * lanes * 4)
    return Choice(name, label(p) + "rows", False, block, rows, cols, f"{rows}x{cols}", reason)


def can_direct3x3s2(p: Problem) -> bool:
    """Whether the direct kernel for 3×3 with stride 2 can do a layer."""
    padded = p.op.padding[1] == 1 and p.input.halo >= p.op.padding[0]
    return p.is_3x3 and p.op.stride == (2, 2) and padded


def _suits_direct3x3s2(p: Problem) -> bool:
    readers = p.density * p.op.out_channels / p.op.groups
    return can_direct3x3s2(p) and readers < _FILTERS_PER_STAGE


def _direct3x3s2(p: Problem) -> Choice:
    readers = p.density * p.op.out_channels / p.op.groups
    reason = f"3x3 stride 2: {readers:.1f} filters read a channel, columns are parted in registers"
    choice = _step_choice(p, "direct3x3s2", reason)
    return replace(choice, label=label(p) + "direct")


def _suits_5x5(p: Problem) -> bool:
    same_rows = p.op.stride == (2, 2) or p.input.row_stride == p.output.row_stride
    return is_5x5(p.op) and p.input.halo >= p.op.padding[0] and same_rows


def _rows5x5(p: Problem, name: str) -> Choice:
    return _step_choice(p, name, "5x5: each loaded row serves all rows of output it lies under")


def _flat_bytes(p: Problem, tile: int) -> int:
    """Bytes of input that one channel gives to a flat tile."""
    kh, kw = p.op.kernel
    floats = tile * p.traits["lanes"]
    if p.staged:
        return (
            4 * kw * min(kh, p.op.stride[0]) * (floats + kh // p.op.stride[0] * p.output.row_stride)
        )
    return 4 * (floats + (kh - 1) * p.op.dilation[0] * p.output.row_stride)


def _flat(p: Problem) -> Choice:
    most = p.traits["flat_tile"]
    if p.op.kernel == (1, 1):
        small = p.vectors <= 2 * _POINTWISE_TILE
        most = _SMALL_POINTWISE_TILE if small else _POINTWISE_TILE
    tiles = -(-p.vectors // most)
    tile = -(-p.vectors // tiles)
    block = block_channels(p, FLAT_BYTES, _flat_bytes(p, tile))
    if p.density == 0:
        reason = "every slice is zero: fills in the bias"
    elif p.op.kernel == (1, 1):
        reason = "1x1: pixels of one filter stay in registers, one load a weight"
    else:
        reason = "any taps, strides and groups: each tap is a flat shift"
        if p.op.groups == p.op.in_channels > 1:
            reason = "depthwise, but not 3x3 or 5x5, or not padded by half of that: flat shifts"
    return Choice("flat", label(p), p.staged, block, 0, tile, f"{tile}x1", reason)


def can_block_filters(p: Problem) -> bool:
    """Whether blocks of filters have the same input channels."""
    filters = p.op.out_channels // p.op.groups
    block = p.traits["filter_block"]
    return filters >= block and (p.op.groups == 1 or filters % block == 0)


def _suits_flat_blocked(p: Problem) -> bool:
    """Whether sharing loads between filters outweighs the zeros multiplied for it.

    A block of filters computes every slice that any of them has. With aligned loads that pays from
    about 0.7 of the slices on, with unaligned ones, which cost twice, from about 0.4 on.
    """
    if not can_block_filters(p):
        return False
    aligned = p.op.kernel == (1, 1) or (p.staged and p.whole_rows)
    return p.density >= (0.7 if aligned else 0.4)


def _flat_blocked(p: Problem) -> Choice:
    tiles = -(-p.vectors // p.traits["flat_tile_blocked"])
    tile = -(-p.vectors // tiles)
    block = block_channels(p, FLAT_BYTES, _flat_bytes(p, tile))
    shape = f"{tile}x{p.traits['filter_block']}"
    reason = f"{p.density:.0%} of the slices left: filters in blocks share each load"
    return Choice("flat_blocked", label(p) + "blocked", p.staged, block, 0, tile, shape, reason)


KERNELS = (
    Kernel("flat", lambda p: p.density == 0, _flat),
    Kernel("winograd3x3", suits_winograd3x3, winograd3x3),
    Kernel("winograd7x7s2", suits_winograd7x7s2, winograd7x7s2),
    Kernel("direct3x3s2", _suits_direct3x3s2, _direct3x3s2),
    Kernel(
        "pairs3x3",
        lambda p: p.op.stride == (1, 1) and _suits_pairs(p) and p.rows_padded,
        lambda p: _pairs_choice(p, "pairs3x3"),
    ),
    Kernel(
        "pairs3x3s2",
        lambda p: p.op.stride == (2, 2) and _suits_pairs(p) and _better_sparse(p),
        _pairs3x3s2,
    ),
    Kernel(
        "rows3x3",
        lambda p: (
            p.is_3x3
            and p.op.stride == (1, 1)
            and p.input.row_stride == p.output.row_stride
            and p.rows_padded
        ),
        _rows3x3,
    ),
    Kernel(
        "rows3x3s2",
        lambda p: (
            p.is_3x3 and p.op.stride == (2, 2) and p.op.padding == (1, 1) and _better_sparse(p)
        ),
        _rows3x3s2,
    ),
    Kernel(
        "rows5x5",
        lambda p: p.op.stride == (1, 1) and _suits_5x5(p) and p.whole_rows,
        lambda p: _rows5x5(p, "rows5x5"),
    ),
    Kernel(
        "rows5x5s2",
        lambda p: p.op.stride == (2, 2) and _suits_5x5(p) and p.whole_rows and p.padded,
        lambda p: _rows5x5(p, "rows5x5s2"),
    ),
    Kernel(
        "pairs5x5",
        lambda p: p.op.stride == (1, 1) and _suits_5x5(p) and _narrow(p, 8),
        lambda p: _pairs_choice(p, "pairs5x5"),
    ),
    Kernel(
        "pairs5x5s2",
        lambda p: p.op.stride == (2, 2) and _suits_5x5(p) and _narrow(p, 16),
        lambda p: _pairs_choice(p, "pairs5x5s2"),
    ),
    Kernel("flat_blocked", _suits_flat_blocked, _flat_blocked),
    Kernel("flat", lambda p: True, _flat),
)
