"""Which slices of a layer are zero, as a picture of filters by channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lilnetx.graph.cost import nonzero_slices
from lilnetx.graph.ir import Node
from lilnetx.report.png import LEVELS, opacity_png

# Longest side of a picture, in pixels: larger layers have several slices in a pixel.
MAX_SIDE = 256

_COLOUR = (0, 114, 178)  # as bytes of latents are drawn


@dataclass(frozen=True)
class SliceMap:
    """A picture of a layer's slices.

    Attributes:
        filters: Rows of the layer.
        slices: Slices of each filter.
        nonzero: How many slices are not zero.
        block: Filters and slices of a filter that one pixel stands for; ``(1, 1)`` shows each.
        one_row: Whether filters go from left to right, as where each has one slice only.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
        png: The picture: the darker a pixel, the larger its share of nonzero slices.
    """

    filters: int
    slices: int
    nonzero: int
    block: tuple[int, int]
    one_row: bool
    width: int
    height: int
    png: bytes


def slice_map(node: Node) -> SliceMap:
    """The picture of one weighted node."""
    nonzero = nonzero_slices(node)
    filters, slices = nonzero.shape
    block = (-(-filters // MAX_SIDE), -(-slices // MAX_SIDE))
    shares = block_shares(nonzero, block)
    one_row = slices == 1
    if one_row:
        shares = shares.T
    # Rounded up, so that no pixel looks empty that is not.
    levels = np.ceil(shares * LEVELS).astype(np.uint8)
    return SliceMap(
        filters=filters,
        slices=slices,
        nonzero=int(nonzero.sum()),
        block=block,
        one_row=one_row,
        width=levels.shape[1],
        height=levels.shape[0],
        png=opacity_png(levels, _COLOUR),
    )


def block_shares(nonzero: NDArray[np.bool_], block: tuple[int, int]) -> NDArray[np.float64]:
    """Share of nonzero slices in each block.

    Args:
        nonzero: bool, shape ``(F, S)``.
        block: Rows and columns of a block; those at the end may have fewer.

    Returns:
        float64, shape ``(ceil(F / rows), ceil(S / columns))``, 0 to 1.
    """
    starts = [np.arange(0, nonzero.shape[axis], block[axis]) for axis in (0, 1)]
    of_rows = np.add.reduceat(nonzero, starts[1], axis=1, dtype=np.int64)
    counts = np.add.reduceat(of_rows, starts[0], axis=0)
    sizes = [np.diff(starts[axis], append=nonzero.shape[axis]) for axis in (0, 1)]
    return counts / np.outer(*sizes)
