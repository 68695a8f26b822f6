"""Small PNG pictures of one colour in several opacities, by the standard library alone."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

LEVELS = 15

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALETTE = 3  # the format's number for pictures whose pixels are indices into a table


def opacity_png(levels: NDArray[np.uint8], colour: tuple[int, int, int]) -> bytes:
    """A picture whose pixels all have one colour, so that it suits a light and a dark page.

    Args:
        levels: uint8, shape ``(height, width)``, both at least 1: opacity of each pixel, from 0
            (transparent) to 15. Pictures of 0 and 15 alone take one bit a pixel, others four.
        colour: Red, green, blue, 0 to 255.

    Returns:
        The bytes of a PNG file.
    """
    height, width = levels.shape
    plain = bool(np.isin(levels, (0, LEVELS)).all())
    if plain:
        depth, alphas = 1, [0, 255]
        rows = np.packbits(levels > 0, axis=1)
    else:
        depth, alphas = 4, [255 * level // LEVELS for level in range(LEVELS + 1)]
        even = np.pad(levels, ((0, 0), (0, width % 2)))
        rows = ((even[:, ::2] << 4) | even[:, 1::2]).astype(np.uint8)
    # Each row begins with the number of its filter: 0, none.
    lines = np.pad(rows, ((0, 0), (1, 0))).astype(np.uint8).tobytes()
    return (
        _SIGNATURE
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, _PALETTE, 0, 0, 0))
        + _chunk(b"PLTE", bytes(colour) * len(alphas))
        + _chunk(b"tRNS", bytes(alphas))
        + _chunk(b"IDAT", zlib.compress(lines, 9))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
