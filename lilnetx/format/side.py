"""The DECO and SIDE sections: decoder matrices, and each filter's scale and bias, all lossless."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lilnetx import _core
from lilnetx.errors import CorruptSectionError
from lilnetx.format import layout
from lilnetx.format.cursor import Cursor, Sink
from lilnetx.graph.ir import LatentWeight, Node

Vector = NDArray[np.float32]
Integers = NDArray[np.int32]
Mask = NDArray[np.uint8]

# Sets of adaptive models.
_SCALE, _BIAS, _MATRIX = range(3)

_RAW = 0
_FIXED_LIMIT = 1 << 23
# An exponent e is stored as e + 105 in one byte; 0 marks raw floats. These are all the exponents
# that can be of use: 2**-149 is the smallest float32, and 2**23 * 2**104 the largest power of two.
_EXPONENT_BIAS = 105
_EXPONENTS = range(-104, 150)


@dataclass(frozen=True)
class SideVector:
    """A scale or bias and how it is coded.

    Attributes:
        values: float32, shape ``(F,)``.
        kind: Which set of adaptive models.
        live: uint8, shape ``(F,)``: 0 for filters whose latents are all zero: their scales multiply
            nothing, and their biases are distributed otherwise. None for dense weights.
    """

    values: Vector
    kind: int
    live: Mask | None = None


def live_filters(node: Node) -> Mask | None:
    """Which filters of a node's latent weight are not all zero; None for other weights."""
    if isinstance(node.weight, LatentWeight):
        return _core.live_filters(node.weight.latents)
    return None


def side_vectors(
    nodes: Sequence[Node], live_of: Callable[[Node], Mask | None] = live_filters
) -> list[SideVector]:
    """All scales and biases of the nodes, in file order.

    Args:
        nodes: The nodes.
        live_of: Tells which filters of a node's weight are not all zero.
    """
    found: list[SideVector] = []
    for node in nodes:
        if node.scale is None and node.bias is None:
            continue
        live = live_of(node)
        if node.scale is not None:
            found.append(SideVector(node.scale, _SCALE, live))
        if node.bias is not None:
            found.append(SideVector(node.bias, _BIAS, live))
    return found


def encode_matrices(matrices: Sequence[Integers]) -> bytes:
    """The DECO section: the entries of all matrices, row by row."""
    count = len(matrices)
    return _core.encode_ints([m.reshape(-1) for m in matrices], [_MATRIX] * count, [None] * count)


def decode_matrices(
    data: memoryview, lengths: Sequence[int], path: str, offset: int
) -> list[Integers]:
    """Decodes the DECO section into int32 matrices of shape ``(n, n)``, n from ``lengths``."""
    flat = [np.empty(n * n, np.int32) for n in lengths]
    masks = [None] * len(flat)
    _decode_ints(data, flat, [_MATRIX] * len(flat), masks, path, "DECO", offset)
    for entries in flat:
        largest = int(np.abs(entries).max())
        if largest > layout.MAX_MATRIX_ENTRY:
            raise layout.defect(
                CorruptSectionError,
                path,
                "DECO",
                offset,
                expected=f"entries of magnitude at most {layout.MAX_MATRIX_ENTRY}",
                found=largest,
            )
    return [entries.reshape(n, n) for entries, n in zip(flat, lengths, strict=True)]


def to_fixed(vector: Vector) -> tuple[Integers, int] | None:
    """A vector as integers ``k`` with ``vector == k * 2**-e`` exactly.

    Args:
        vector: float32, shape ``(F,)``.

    Returns:
        ``(k, e)`` with the smallest such e, or None if an entry is not finite, is minus zero, or
        would need a ``k`` of 2**23 or more.
    """
    if not np.isfinite(vector).all() or (np.signbit(vector) & (vector == 0)).any():
        return None
    mantissa, exponent = np.frexp(vector.astype(np.float64))
    whole = (mantissa * 2.0**24).astype(np.int64)
    nonzero = whole != 0
    if not nonzero.any():
        return np.zeros(vector.shape, np.int32), 0
    trailing = np.log2(whole[nonzero] & -whole[nonzero]).astype(np.int64)
    e = int((24 - exponent[nonzero] - trailing).max())
    scaled = np.ldexp(vector.astype(np.float64), e)
    if np.abs(scaled).max() >= _FIXED_LIMIT or e not in _EXPONENTS:
        return None
    return scaled.astype(np.int32), e


def encode_side(vectors: Sequence[SideVector]) -> bytes:
    """The SIDE section: each vector as fixed-point integers where that is exact and smaller."""
    sink = Sink()
    integers: list[Integers] = []
    coded: list[SideVector] = []
    raw: list[bytes] = []
    for vector in vectors:
        fixed = to_fixed(vector.values)
        alone = fixed and _core.encode_ints([fixed[0]], [vector.kind], [vector.live])
        if fixed and alone is not None and len(alone) < vector.values.nbytes:
            integers.append(fixed[0])
            coded.append(vector)
            sink.u8(_EXPONENT_BIAS + fixed[1])
        else:
            raw.append(vector.values.astype("<f4").tobytes())
            sink.u8(_RAW)
    stream = _core.encode_ints(integers, [v.kind for v in coded], [v.live for v in coded])
    sink.varint(len(stream))
    sink.raw(stream)
    sink.raw(b"".join(raw))
    return sink.getvalue()


def decode_side(
    data: memoryview, vectors: Sequence[SideVector], path: str, offset: int
) -> list[Vector]:
    """Decodes the SIDE section.

    Args:
        data: The section's bytes.
        vectors: What is to be decoded; of the values only the size counts.
        path: Name of the file, for messages.
        offset: Offset of the section in the file, for messages.
    """
    cursor = Cursor(data, path, "SIDE", offset)
    modes = cursor.take(len(vectors))
    if 255 in modes:
        raise cursor.corrupt("kinds of vectors below 255", 255)
    coded = [vector for vector, mode in zip(vectors, modes, strict=True) if mode != _RAW]
    integers = [np.empty(vector.values.size, np.int32) for vector in coded]
    stream = cursor.take(cursor.within("length of the coded integers", 0, len(data)))
    kinds, masks = [v.kind for v in coded], [v.live for v in coded]
    _decode_ints(stream, integers, kinds, masks, path, "SIDE", offset)
    queue = iter(integers)
    decoded: list[Vector] = []
    for vector, mode in zip(vectors, modes, strict=True):
        if mode == _RAW:
            raw = np.frombuffer(cursor.take(4 * vector.values.size), "<f4")
            decoded.append(raw.astype(np.float32))
        else:
            exact = np.ldexp(next(queue).astype(np.float64), _EXPONENT_BIAS - mode)
            decoded.append(exact.astype(np.float32))
    cursor.finish()
    return decoded


def _decode_ints(
    data: memoryview,
    out: Sequence[Integers],
    kinds: Sequence[int],
    masks: Sequence[Mask | None],
    path: str,
    section: str,
    offset: int,
) -> None:
    found = _core.decode_ints(data, out, kinds, masks)
    if found:
        raise layout.defect(
            CorruptSectionError,
            path,
            section,
            offset,
            expected=f"{len(data)} bytes that decode to {sum(v.size for v in out)} integers",
            found=found,
        )
