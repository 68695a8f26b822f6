"""A layer's slices as a grey picture: what is left of it, and where."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import torch
from numpy.typing import NDArray

from lilnetx.train.handle import CompressedLayer

_ZERO = 255
# Grey of the weakest slice; the strongest one is black.
_WEAKEST = 190
# Pixels of a side: small layers are enlarged to at least this, where that fits...
_LEAST = 128
# ...and large ones reduced to at most this.
_MOST = 1024


@torch.no_grad()
def slice_map(layer: CompressedLayer) -> NDArray[np.uint8]:
    """Filters from top to bottom, their slices from left to right: zero slices white, others grey.

    The darker, the larger a slice's norm against the layer's largest.

    Returns:
        uint8, shape ``(rows, columns)``. Slices of small layers are squares of several pixels;
        where a layer has more than 1024 filters or slices in a filter, a pixel is the mean of
        several.
    """
    norms = torch.linalg.vector_norm(layer.integers().float(), dim=-1).cpu().numpy()
    shades = _WEAKEST * (1 - norms / max(float(norms.max()), 1e-12))
    grey = np.where(norms == 0, _ZERO, shades)
    for axis in (0, 1):
        count = grey.shape[axis]
        if count > _MOST:
            starts = np.arange(_MOST) * count // _MOST
            sizes = np.diff(np.append(starts, count))
            sums = np.add.reduceat(grey, starts, axis=axis)
            grey = sums / (sizes[:, None] if axis == 0 else sizes)
    factor = max(1, _LEAST // max(grey.shape))
    enlarged = grey.round().astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)
    return enlarged


def encode_png(grey: NDArray[np.uint8]) -> bytes:
    """A PNG file of grey pixels, uint8 of shape ``(rows, columns)``."""
    rows, columns = grey.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    # Each row begins with the number of its filter: none.
    data = np.concatenate([np.zeros((rows, 1), np.uint8), grey], axis=1).tobytes()
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


__all__ = ["encode_png", "slice_map"]
