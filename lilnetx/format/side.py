"""The DECO and SIDE sections: decoder matrices, and each filter's scale and bias, all lossless."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lilnetx import _core
from lilnetx.errors import CorruptSectionError
from lilnetx.format import layout
from lilnetx.format.cursor import Cursor, Sink

Vector = NDArray[np.float32]
Integers = NDArray[np.int32]

# Sets of adaptive models.
SCALE, BIAS, MATRIX = range(3)

_RAW = 0
_FIXED_LIMIT = 1 << 23
# An exponent e is stored as e + 105 in one byte; 0 marks raw floats. These are all the exponents
# that can be of use: 2**-149 is the smallest float32, and 2**23 * 2**104 the largest power of two.
_EXPONENT_BIAS = 105
_EXPONENTS = range(-104, 150)


def encode_matrices(matrices: Sequence[Integers]) -> bytes:
    """The DECO section: the entries of all matrices, row by row."""
    return _core.encode_ints([m.reshape(-1) for m in matrices], [MATRIX] * len(matrices))


def decode_matrices(
    data: memoryview, lengths: Sequence[int], path: str, offset: int
) -> list[Integers]:
    """Decodes the DECO section into int32 matrices of shape ``(n, n)``, n from ``lengths``."""
    kinds = [MATRIX] * len(lengths)
    flat = _decode_ints(data, [n * n for n in lengths], kinds, path, "DECO", offset)
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


def encode_side(vectors: Sequence[Vector], kinds: Sequence[int]) -> bytes:
    """The SIDE section: each vector as fixed-point integers where that is exact and smaller.

    Args:
        vectors: float32, each of shape ``(F,)``.
        kinds: SCALE or BIAS for each.
    """
    sink = Sink()
    integers: list[Integers] = []
    integer_kinds: list[int] = []
    raw: list[bytes] = []
    for vector, kind in zip(vectors, kinds, strict=True):
        fixed = to_fixed(vector)
        if fixed is not None and len(_core.encode_ints([fixed[0]], [kind])) < vector.nbytes:
            integers.append(fixed[0])
            integer_kinds.append(kind)
            sink.u8(_EXPONENT_BIAS + fixed[1])
        else:
            raw.append(vector.astype("<f4").tobytes())
            sink.u8(_RAW)
    coded = _core.encode_ints(integers, integer_kinds)
    sink.varint(len(coded))
    sink.raw(coded)
    sink.raw(b"".join(raw))
    return sink.getvalue()


def decode_side(
    data: memoryview, lengths: Sequence[int], kinds: Sequence[int], path: str, offset: int
) -> list[Vector]:
    """Decodes the SIDE section into float32 vectors of the given lengths and kinds."""
    cursor = Cursor(data, path, "SIDE", offset)
    modes = cursor.take(len(lengths))
    if 255 in modes:
        raise cursor.corrupt("kinds of vectors below 255", 255)
    fixed = [i for i, mode in enumerate(modes) if mode != _RAW]
    fixed_lengths, fixed_kinds = [lengths[i] for i in fixed], [kinds[i] for i in fixed]
    coded = cursor.take(cursor.varint("length of the coded integers", len(data)))
    integers = iter(_decode_ints(coded, fixed_lengths, fixed_kinds, path, "SIDE", offset))
    vectors: list[Vector] = []
    for length, mode in zip(lengths, modes, strict=True):
        if mode == _RAW:
            raw = np.frombuffer(cursor.take(4 * length), "<f4")
            vectors.append(raw.astype(np.float32))
        else:
            exact = np.ldexp(next(integers).astype(np.float64), _EXPONENT_BIAS - mode)
            vectors.append(exact.astype(np.float32))
    cursor.finish()
    return vectors


def _decode_ints(
    data: memoryview,
    lengths: Sequence[int],
    kinds: Sequence[int],
    path: str,
    section: str,
    offset: int,
) -> list[Integers]:
    arrays = [np.empty(length, np.int32) for length in lengths]
    found = _core.decode_ints(data, arrays, kinds)
    if found:
        raise layout.defect(
            CorruptSectionError,
            path,
            section,
            offset,
            expected=f"{len(data)} bytes that decode to {sum(lengths)} integers",
            found=found,
        )
    return arrays
