"""The DECO and SIDE sections: decoder matrices, and each filter's scale and bias, all lossless."""

from __future__ import annotations

from collections import Counter
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
_SCALE, _BIAS, _MATRIX, _NUMBERS = range(4)

_INTEGER_LIMIT = 1 << 23
_MANTISSA_BITS = 23  # Of a float32.
_MAX_SHORT_BITS = 15  # More would exceed the limit of integers.

# The mode of a vector: raw floats, a fixed point of exponent e as e + 105, or short floats of m
# bits of mantissa as 256 + m. The exponents are all that can be of use: 2**-149 is the smallest
# float32, and 2**23 * 2**104 the largest power of two.
_RAW = 0
_EXPONENT_BIAS = 105
_EXPONENTS = range(-104, 150)
_SHORT = 256
_MODES = frozenset((*range(255), *range(_SHORT, _SHORT + _MAX_SHORT_BITS + 1)))


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
    if not _is_plain(vector):
        return None
    mantissa, exponent = np.frexp(vector.astype(np.float64))
    whole = (mantissa * 2.0**24).astype(np.int64)
    nonzero = whole != 0
    if not nonzero.any():
        return np.zeros(vector.shape, np.int32), 0
    trailing = np.log2(whole[nonzero] & -whole[nonzero]).astype(np.int64)
    e = int((24 - exponent[nonzero] - trailing).max())
    scaled = np.ldexp(vector.astype(np.float64), e)
    if np.abs(scaled).max() >= _INTEGER_LIMIT or e not in _EXPONENTS:
        return None
    return scaled.astype(np.int32), e


def to_short(vector: Vector) -> tuple[Integers, int] | None:
    """A vector as short floats: the upper bits of each magnitude's float32, with its sign.

    Args:
        vector: float32, shape ``(F,)``.

    Returns:
        ``(k, m)`` with the smallest number m of bits of the mantissa that is exact, or None if an
        entry is not finite, is minus zero, or needs more than 15.
    """
    if not _is_plain(vector):
        return None
    bits = np.abs(vector).view(np.int32)
    used = int(np.bitwise_or.reduce(bits)) & (1 << _MANTISSA_BITS) - 1
    m = _MANTISSA_BITS - (used & -used).bit_length() + 1 if used else 0
    if m > _MAX_SHORT_BITS:
        return None
    return np.where(vector < 0, -1, 1).astype(np.int32) * (bits >> (_MANTISSA_BITS - m)), m


def _is_plain(vector: Vector) -> bool:
    """Whether integers can stand for all values."""
    return bool(np.isfinite(vector).all() and not (np.signbit(vector) & (vector == 0)).any())


@dataclass(frozen=True)
class _Form:
    """Integers that stand for a vector, and the number that says how."""

    integers: Integers
    mode: int


def _forms(vectors: Sequence[SideVector], *, short: bool) -> list[_Form | None]:
    """Integers for each vector: short floats or fixed points, the other where one is not exact.

    None stands for raw floats, where no form is exact or smaller. What the coder has learnt of one
    layer it uses for the next, if the integers mean the same: so layers that could do with fewer
    bits get as many as most of the others have.
    """
    found: list[_Form | None] = []
    for vector in vectors:
        both = [(to_short(vector.values), _SHORT), (to_fixed(vector.values), _EXPONENT_BIAS)]
        forms = [_Form(exact[0], base + exact[1]) for exact, base in both if exact is not None]
        form = forms[0 if short else -1] if forms else None
        small = form is not None and _coded_size([vector], [form]) < vector.values.nbytes
        found.append(form if small else None)
    modes = Counter(form.mode for form in found if form is not None)
    usual = modes.most_common(1)[0][0] if modes else _RAW
    return [None if form is None else _finer(form, usual) for form in found]


def _finer(form: _Form, mode: int) -> _Form:
    """The form with as many bits as ``mode``, if it is of the same kind and has more of them."""
    more = mode - form.mode
    if more <= 0 or (mode < _SHORT) != (form.mode < _SHORT):
        return form
    integers = form.integers.astype(np.int64) << more
    if np.abs(integers).max(initial=0) >= _INTEGER_LIMIT:
        return form
    return _Form(integers.astype(np.int32), mode)


def _coded(vectors: Sequence[SideVector], forms: Sequence[_Form | None]) -> bytes:
    """The stream of the vectors that have a form."""
    pairs = [(v, f.integers) for v, f in zip(vectors, forms, strict=True) if f is not None]
    return _core.encode_ints(
        [integers for _, integers in pairs],
        [vector.kind for vector, _ in pairs],
        [vector.live for vector, _ in pairs],
    )


def _coded_size(vectors: Sequence[SideVector], forms: Sequence[_Form | None]) -> int:
    """Bytes of the stream and of the vectors that are left as they are."""
    raw = sum(v.values.nbytes for v, f in zip(vectors, forms, strict=True) if f is None)
    return len(_coded(vectors, forms)) + raw


def _choose_forms(vectors: Sequence[SideVector]) -> list[_Form | None]:
    """The forms with which scales, and biases, take the fewest bytes."""
    chosen: list[_Form | None] = [None] * len(vectors)
    for kind in (_SCALE, _BIAS):
        members = [i for i, vector in enumerate(vectors) if vector.kind == kind]
        mine = [vectors[i] for i in members]
        ways = [_forms(mine, short=short) for short in (False, True)]
        best = min(ways, key=lambda forms: _coded_size(mine, forms))
        for i, form in zip(members, best, strict=True):
            chosen[i] = form
    return chosen


def encode_side(vectors: Sequence[SideVector]) -> bytes:
    """The SIDE section: each vector as integers where that is exact and smaller."""
    forms = _choose_forms(vectors)
    modes = [_RAW if form is None else form.mode for form in forms]
    by_kind = [
        np.array([m for m, v in zip(modes, vectors, strict=True) if v.kind == kind], np.int32)
        for kind in (_SCALE, _BIAS)
    ]
    sink = Sink()
    for stream in (
        _core.encode_ints(by_kind, [_NUMBERS] * 2, [None] * 2),
        _coded(vectors, forms),
    ):
        sink.varint(len(stream))
        sink.raw(stream)
    for vector, form in zip(vectors, forms, strict=True):
        if form is None:
            sink.raw(vector.values.astype("<f4").tobytes())
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
    kinds = [vector.kind for vector in vectors]
    by_kind = [np.empty(kinds.count(kind), np.int32) for kind in (_SCALE, _BIAS)]
    stream = cursor.take(cursor.within("length of the coded modes", 0, len(data)))
    _decode_ints(stream, by_kind, [_NUMBERS] * 2, [None] * 2, path, "SIDE", offset)
    if bad := [mode for part in by_kind for mode in part.tolist() if mode not in _MODES]:
        raise cursor.corrupt("known modes of vectors", bad[0])
    queues = [iter(part.tolist()) for part in by_kind]
    modes = [next(queues[kind]) for kind in kinds]
    coded = [v for v, mode in zip(vectors, modes, strict=True) if mode != _RAW]
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
        elif mode < _SHORT:
            exact = np.ldexp(next(queue).astype(np.float64), _EXPONENT_BIAS - mode)
            decoded.append(exact.astype(np.float32))
        else:
            decoded.append(_from_short(next(queue), mode - _SHORT, cursor))
    cursor.finish()
    return decoded


def _from_short(integers: Integers, m: int, cursor: Cursor) -> Vector:
    """The inverse of :func:`to_short`."""
    magnitudes = np.abs(integers)
    if magnitudes.max(initial=0) >= 255 << m:
        raise cursor.corrupt(f"finite floats of {m} bits", int(magnitudes.max()))
    floats = (magnitudes << (_MANTISSA_BITS - m)).view(np.float32)
    return np.where(integers < 0, -floats, floats)


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
