"""What the choice of a convolution's kernel depends on, and what it is."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from lilnetx import _core
from lilnetx.graph.ir import Conv2d
from lilnetx.runtime.layout import PlaneLayout, knows_sides

# Bytes of input that should stay in a cache while all filters pass over them: flat kernels load a
# vector for every multiplication and need the first level; row kernels load few and live off the
# second, which saves them partial sums.
FLAT_BYTES = 44 * 1024
ROWS_BYTES = 512 * 1024
# The same of inputs that were transformed for all filters: they are nearly all that a tile reads.
TRANSFORMED_BYTES = 640 * 1024
MAX_BLOCK = 1 << 16  # channels, by their index within a block


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


def label(p: Problem) -> str:
    """Operation, window and stride, as kernels are named."""
    kh, kw = p.op.kernel
    sh, sw = p.op.stride
    stride = "" if (kh, kw, sh, sw) == (1, 1, 1, 1) else f"s{sh}" if sh == sw else f"s{sh}x{sw}"
    return f"gconv{kh}x{kw}{stride}"


def block_channels(p: Problem, cache: int, bytes_per_channel: int) -> int:
    """Channels in blocks of about equal size whose input stays in a cache of that many bytes."""
    fitting = max(8, cache // bytes_per_channel)
    if p.op.in_channels // p.op.groups <= fitting:
        fitting = MAX_BLOCK  # filters of a group follow each other, and with them its channels
    fitting = min(fitting, MAX_BLOCK)
    blocks = -(-p.op.in_channels // fitting)
    return -(-p.op.in_channels // blocks)
