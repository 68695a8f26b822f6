"""Where activations lie in memory: rows, with or without zero gaps, between rows of zeros.

A channel is a plane of rows; image column x is at index x of its row. Where pointwise layers read or
write images of a width, rows follow each other directly, and no lane of a vector is wasted on gaps.
Where a convolution is done by flat shifts of the plane, the gap after the last column is as wide as
its padding: the left neighbour of column 0 is then the gap of the row before. (3×3 kernels know the
sides of an image, and strided convolutions gather their input first: they need no gaps.) Everywhere
else rows are whole vectors, so that they are aligned. All values of one height and width share one
layout; that keeps additions flat, and lets values reuse each other's memory without clearing it: the
zeros of one are the zeros of the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lilnetx.graph.ir import Conv2d, Shape
from lilnetx.runtime.fuse import FusedNode

# Wider padding is not provided for in the layout; the convolution gathers its input instead.
MAX_PADDING = 8
_VECTOR = 16


@dataclass(frozen=True)
class PlaneLayout:
    """Layout of values of one height and width, in floats.

    Attributes:
        height: Rows of pixels.
        width: Columns of pixels.
        row_stride: From row to row: the width, or a multiple of 16 (8 where a row fits).
        halo: Rows of zeros above each channel (and so below the one before).
        side: Columns of padding that flat convolutions read beyond those rows.
    """

    height: int
    width: int
    row_stride: int
    halo: int
    side: int

    @property
    def lead(self) -> int:
        """From the start of a channel's memory to its pixel (0, 0)."""
        return round_up(self.halo * self.row_stride + self.side, _VECTOR)

    @property
    def channel_stride(self) -> int:
        """From channel to channel.

        Not a multiple of 16 cache lines: the same tile of many channels would fall into a few sets
        of the first-level cache.
        """
        stride = self.lead + round_up(self.height * self.row_stride, _VECTOR)
        return stride + _VECTOR if stride % (16 * _VECTOR) == 0 else stride

    @property
    def gap(self) -> int:
        """Zeros between rows."""
        return self.row_stride - self.width


@dataclass(frozen=True)
class Image:
    """A value's place in the arena, in floats.

    Attributes:
        offset: Of pixel (0, 0) of channel 0.
        channels: C; 1 for a vector, which lies in one row.
        height: H.
        width: W, or the length of a vector.
        row_stride: From row to row.
        channel_stride: From channel to channel.
    """

    offset: int
    channels: int
    height: int
    width: int
    row_stride: int
    channel_stride: int

    def as_tuple(self) -> tuple[int, int, int, int, int, int]:
        """As the extension takes it."""
        return (
            self.offset,
            self.channels,
            self.height,
            self.width,
            self.row_stride,
            self.channel_stride,
        )


def round_up(n: int, to: int) -> int:
    """The next multiple of ``to`` that is at least n."""
    return -(-n // to) * to


def knows_sides(op: Conv2d) -> bool:
    """Whether kernels of this convolution take columns beside the image as zero by themselves."""
    if is_5x5(op):
        return op.stride == (1, 1)
    plain = op.kernel == (3, 3) and op.dilation == (1, 1)
    return plain and op.padding[1] == 1 and op.stride in ((1, 1), (2, 2))


def is_5x5(op: Conv2d) -> bool:
    """Whether the 5×5 kernels can do a convolution, its input being laid out for it."""
    plain = op.kernel == (5, 5) and op.dilation == (1, 1) and op.padding[1] == 2
    return plain and op.stride in ((1, 1), (2, 2))


def plane_layouts(
    steps: Sequence[FusedNode], shapes: Mapping[str, Shape]
) -> dict[tuple[int, int], PlaneLayout]:
    """Layout for each (height, width) of a network's images.

    Gaps follow from the widest padding of the flat convolutions that read images of that width,
    halos from the highest padding of all that read images of that size. Rows are packed where a
    pointwise layer reads images of that width, unless a 5×5 kernel has to do with it.
    """
    gaps: dict[int, int] = {}
    halos: dict[tuple[int, int], int] = {}
    pointwise: set[int] = set()
    whole: set[int] = set()
    for step in steps:
        op = step.node.op
        if not isinstance(op, Conv2d):
            continue
        _, height, width = shapes[step.inputs[0]]
        ph, pw = op.padding
        if is_5x5(op):
            whole.update((width, shapes[step.output][2]))
        elif op.kernel == op.stride == (1, 1) and op.groups == 1:
            pointwise.add(width)
        if pw <= MAX_PADDING and (op.stride == (1, 1) or is_5x5(op)) and not knows_sides(op):
            gaps[width] = max(gaps.get(width, 0), pw)
        if ph <= MAX_PADDING:
            halos[height, width] = max(halos.get((height, width), 0), ph)
    layouts = {}
    for shape in shapes.values():
        if len(shape) == 3:
            _, height, width = shape
            side = gaps.get(width, 0)
            used = width + side
            if side == 0 and width in pointwise - whole:
                row_stride = width
            else:
                row_stride = 8 if used <= 8 else round_up(used, _VECTOR)
            halo = halos.get((height, width), 0)
            layouts[height, width] = PlaneLayout(height, width, row_stride, halo, side)
    return layouts
