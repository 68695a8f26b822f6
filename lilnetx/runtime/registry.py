"""The CPU's convolution kernels: what each can do, and which one a layer gets.

Kernels are tried in the order of :data:`KERNELS`; the first that suits a layer is taken. Names are
specifications: ``lnx_f32_gconv3x3s1rows_add_relu_7x2__avx512`` is float32, a gathered convolution
(only the channels whose slice is not zero), 3×3 with stride 1 by rows, with fused addition and
ReLU, tiles of 7 rows of 2 vectors, for AVX-512. Flat kernels give vectors × filters instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

from lilnetx import _core
from lilnetx.graph.ir import Conv2d
from lilnetx.runtime.layout import PlaneLayout, is_5x5, knows_sides

# Bytes of input that should stay in a cache while all filters pass over them: flat kernels load a
# vector for every multiplication and need the first level; row kernels load few and live off the
# second, which saves them partial sums.
_FLAT_BYTES = 36 * 1024
_ROWS_BYTES = 512 * 1024
MAX_BLOCK = 1 << 16  # channels, by their index within a block
# With more vectors a tile, fewer channels would fit, and partial sums would cost more.
_POINTWISE_TILE = 7


@functools.cache
def _traits(isa: str) -> _core.IsaTraits:
    return _core.isa_traits(isa)


@dataclass(frozen=True)
class Problem:
    """A convolution as the choice of a kernel sees it.

    Attributes:
        op: The operator.
        input: Layout of its input.
        output: Layout of its output.
        density: Share of weights in slices that are not zero (pointwise: of weights not zero).
        isa: Name of the instruction set.
    """

    op: Conv2d
    input: PlaneLayout
    output: PlaneLayout
    density: float
    isa: str

    @property
    def traits(self) -> _core.IsaTraits:
        """Tile sizes of the instruction set."""
        return _traits(self.isa)

    @property
    def is_3x3(self) -> bool:
        """3×3 without dilation."""
        return self.op.kernel == (3, 3) and self.op.dilation == (1, 1)

    @property
    def padded(self) -> bool:
        """Whether the input's layout holds the zeros of the padding."""
        ph, pw = self.op.padding
        return self.input.gap >= pw and self.input.halo >= ph

    @property
    def rows_padded(self) -> bool:
        """The same for the kernels that know the sides of an image."""
        return self.padded or (knows_sides(self.op) and self.input.halo >= self.op.padding[0])

    @property
    def staged(self) -> bool:
        """Whether the input must be rearranged before taps are flat shifts of it."""
        same_rows = self.input.row_stride == self.output.row_stride
        return self.op.stride != (1, 1) or not same_rows or not self.padded

    @property
    def vectors(self) -> int:
        """Vectors in a plane of the output."""
        return -(-self.output.height * self.output.row_stride // self.traits["lanes"])

    @property
    def whole_rows(self) -> bool:
        """Whether rows of the output are whole vectors."""
        return self.output.row_stride % self.traits["lanes"] == 0


@dataclass(frozen=True)
class Choice:
    """A kernel, its tile and why.

    Attributes:
        kernel: Name in the extension.
        label: Name of its loop, for the kernel's full name.
        staged: Whether the input is split into planes of stride 1 first.
        block_channels: Input channels between which partial sums wait in the output.
        tile_rows: Rows of a tile, of row kernels.
        tile: Vectors of a tile, or of each of its rows.
        shape: The tile, for the kernel's full name.
        reason: Why this kernel.
    """

    kernel: str
    label: str
    staged: bool
    block_channels: int
    tile_rows: int
    tile: int
    shape: str
    reason: str


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


def _label(p: Problem) -> str:
    kh, kw = p.op.kernel
    sh, sw = p.op.stride
    stride = "" if (kh, kw, sh, sw) == (1, 1, 1, 1) else f"s{sh}" if sh == sw else f"s{sh}x{sw}"
    return f"gconv{kh}x{kw}{stride}"


def _block_channels(p: Problem, cache: int, bytes_per_channel: int) -> int:
    fitting = max(8, cache // bytes_per_channel)
    if p.op.in_channels // p.op.groups <= fitting:
        fitting = MAX_BLOCK  # filters of a group follow each other, and with them its channels
    fitting = min(fitting, MAX_BLOCK)
    blocks = -(-p.op.in_channels // fitting)
    return -(-p.op.in_channels // blocks)


def _rows_choice(p: Problem, name: str, stride: int, reason: str) -> Choice:
    traits = p.traits
    vectors = -(-p.output.width // traits["lanes"])
    tiles = -(-vectors // traits["row_vectors_max"])
    cols = -(-vectors // tiles)
    rows = min(traits["rows_tile"] // cols, traits["rows_max"], p.output.height)
    rows = -(-p.output.height // -(-p.output.height // rows))
    bytes_per_channel = (stride * rows + 2) * stride * cols * traits["lanes"] * 4
    block = _block_channels(p, _ROWS_BYTES, bytes_per_channel)
    label = _label(p) + "rows"
    return Choice(name, label, stride == 2, block, rows, cols, f"{rows}x{cols}", reason)


def _rows3x3(p: Problem) -> Choice:
    return _rows_choice(
        p, "rows3x3", 1, "3x3 stride 1: each loaded row serves three rows of output"
    )


def _rows3x3s2(p: Problem) -> Choice:
    return _rows_choice(p, "rows3x3s2", 2, "3x3 stride 2: input split into even and odd columns")


# Slices of a channel that must share the transform of its rows for Winograd to pay, and the share
# of slices above which its longer weights, read anew for each tile, cost more than it saves. (In
# the smallest images there are too few tiles for that.)
_WINOGRAD_SLICES = 6
_WINOGRAD_DENSITY = 0.35
# Share of slices from which strided 3x3 layers are better off with blocks of filters.
_STRIDED_DENSE = 0.55


def _suits_winograd(p: Problem) -> bool:
    plain = p.is_3x3 and p.op.stride == (1, 1) and p.op.padding == (1, 1) and p.op.groups == 1
    shared = p.density * p.op.out_channels >= _WINOGRAD_SLICES
    sparse = p.density <= _WINOGRAD_DENSITY or p.output.width <= 8
    return plain and shared and sparse and p.traits["winograd_tile"] > 0


def _better_sparse(p: Problem) -> bool:
    return p.density < _STRIDED_DENSE or not _suits_flat_blocked(p)


def _winograd(p: Problem) -> Choice:
    reason = "3x3 stride 1: Winograd's F(2, 3) along the rows saves a third of the work"
    most, lanes, height = p.traits["winograd_tile"], p.traits["lanes"], p.output.height
    rows_a_vector, kernel, loop = 1, "winograd3x3", "winograd"
    if lanes == 16 and p.output.width <= 8:
        reason = reason.replace("along the rows", "down the columns")
        rows_a_vector, most, kernel, loop = 4, 4, "winograd_pairs3x3", "winogradpairs"
    elif lanes == 16 and p.output.width <= 16:
        rows_a_vector, most, kernel, loop = 2, 4, "winograd_half3x3", "winogradhalf"
    vectors = -(-height // rows_a_vector)
    tile = -(-vectors // -(-vectors // most))
    block = _block_channels(p, _ROWS_BYTES, 4 * 4 * lanes * (tile + 2))
    rows, cols = (tile, 2) if kernel == "winograd3x3" else (0, tile)
    shape = f"{tile * rows_a_vector}x{2 if rows else 1}"
    return Choice(kernel, _label(p) + loop, True, block, rows, cols, shape, reason)


def _suits_pairs(p: Problem) -> bool:
    narrow = p.output.width <= 8 and p.traits["lanes"] == 16
    return p.is_3x3 and p.op.padding == (1, 1) and narrow


def _narrow(p: Problem, columns: int) -> bool:
    """Whether rows of 8 floats come from rows of ``columns``, and a vector holds two of them."""
    rows = p.output.row_stride == 8 and p.input.row_stride == columns
    return rows and p.traits["lanes"] == 16


def _pairs_choice(p: Problem, name: str) -> Choice:
    vectors = min(4, p.vectors)
    block = _block_channels(p, _ROWS_BYTES, 4 * p.input.channel_stride)
    kh, kw = p.op.kernel
    reason = f"{kh}x{kw} to at most 8 columns: two image rows in each vector"
    return Choice(
        name, _label(p) + "pairs", name == "pairs3x3s2", block, 0, vectors, f"{vectors}x1", reason
    )


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
    block = _block_channels(p, _ROWS_BYTES, window * stride * cols * lanes * 4)
    return Choice(name, _label(p) + "rows", False, block, rows, cols, f"{rows}x{cols}", reason)


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
    return replace(choice, label=_label(p) + "direct")


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
    most = p.traits["flat_tile"] if p.op.kernel != (1, 1) else _POINTWISE_TILE
    tiles = -(-p.vectors // most)
    tile = -(-p.vectors // tiles)
    block = _block_channels(p, _FLAT_BYTES, _flat_bytes(p, tile))
    if p.density == 0:
        reason = "every slice is zero: fills in the bias"
    elif p.op.kernel == (1, 1):
        reason = "1x1: pixels of one filter stay in registers, one load a weight"
    else:
        reason = "any taps, strides and groups: each tap is a flat shift"
        if p.op.groups == p.op.in_channels > 1:
            reason = "depthwise, but not 3x3 or 5x5, or not padded by half of that: flat shifts"
    return Choice("flat", _label(p), p.staged, block, 0, tile, f"{tile}x1", reason)


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
    block = _block_channels(p, _FLAT_BYTES, _flat_bytes(p, tile))
    shape = f"{tile}x{p.traits['filter_block']}"
    reason = f"{p.density:.0%} of the slices left: filters in blocks share each load"
    return Choice("flat_blocked", _label(p) + "blocked", p.staged, block, 0, tile, shape, reason)


KERNELS = (
    Kernel("flat", lambda p: p.density == 0, _flat),
    Kernel("winograd3x3", _suits_winograd, _winograd),
    Kernel("direct3x3s2", _suits_direct3x3s2, _direct3x3s2),
    Kernel(
        "pairs3x3",
        lambda p: p.op.stride == (1, 1) and _suits_pairs(p) and p.rows_padded,
        lambda p: _pairs_choice(p, "pairs3x3"),
    ),
    Kernel(
        "pairs3x3s2",
        lambda p: p.op.stride == (2, 2) and _suits_pairs(p) and _better_sparse(p),
        lambda p: _pairs_choice(p, "pairs3x3s2"),
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
