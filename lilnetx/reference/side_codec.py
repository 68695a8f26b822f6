"""The coder of side data and text in plain Python, from ``lilnetx/format/SPEC.md``: an oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lilnetx.reference.range_coder import (
    Coder,
    Decoder,
    Encoder,
    Model,
    StreamError,
    approach,
    log_odds,
    probability,
)

__all__ = ["StreamError", "decode_ints", "decode_text", "encode_ints", "encode_text"]


def encode_ints(
    vectors: Sequence[NDArray[np.int32]],
    kinds: Sequence[int],
    live: Sequence[NDArray[np.uint8] | None],
) -> bytes:
    """One stream of integer vectors; ``live`` is 0 for filters whose latents are all zero."""
    encoder = Encoder()
    _code_vectors(encoder, [vector.tolist() for vector in vectors], kinds, live)
    return encoder.finish()


def decode_ints(
    data: bytes,
    sizes: Sequence[int],
    kinds: Sequence[int],
    live: Sequence[NDArray[np.uint8] | None],
) -> list[NDArray[np.int32]]:
    """The integer vectors of one stream; StreamError when it is damaged."""
    decoder = Decoder(data)
    found = _code_vectors(decoder, [[0] * size for size in sizes], kinds, live)
    decoder.finish()
    return [np.array(vector, np.int32) for vector in found]


def _code_vectors(
    coder: Coder,
    vectors: Sequence[list[int]],
    kinds: Sequence[int],
    live: Sequence[NDArray[np.uint8] | None],
) -> list[list[int]]:
    """Codes vectors of kinds 0 (scale), 1 (bias) and others; returns them."""
    filters = [_FilterModels() for _ in range(2)]
    others = [_IntModels() for _ in range(4)]
    return [
        _code_filters(coder, filters[kind], vector, mask, kind == 1)
        if kind < 2
        else _code_vector(coder, others[kind], vector)
        for vector, kind, mask in zip(vectors, kinds, live, strict=True)
    ]


def encode_text(data: bytes) -> bytes:
    """One stream of bytes."""
    encoder, model = Encoder(), _TextModel()
    for byte in data:
        model.code(encoder, byte)
    return encoder.finish()


def decode_text(data: bytes, count: int) -> bytes:
    """``count`` bytes of one stream; StreamError when it is damaged."""
    decoder, model = Decoder(data), _TextModel()
    text = bytes(model.code(decoder, 0) for _ in range(count))
    decoder.finish()
    return text


class _TextModel:
    def __init__(self) -> None:
        self._tables: list[dict[int, Model]] = [{} for _ in range(5)]
        self._weights = [[26214] * 5 for _ in range(6)]
        self._last = 0

    def code(self, coder: Coder, byte: int) -> int:
        node = 1
        for place in range(7, -1, -1):
            node = 2 * node + self._code_bit(coder, node, byte >> place & 1)
        self._last = (self._last << 8 | node & 255) % 2**32
        return node & 255

    def _code_bit(self, coder: Coder, node: int, bit: int) -> int:
        models, odds = [], []
        for k, table in enumerate(self._tables):
            slot = (self._last % 256**k * 0x9E3779B1 + node * 0x85EBCA6B) % 2**32 >> 16
            model = table.setdefault(slot, Model())
            zero = min(max(model.z >> 6, 16), 65520)
            models.append(model)
            odds.append(-log_odds(zero) * (0, 12, 14, 16)[min(model.count, 3)] >> 4)
        weights = self._weights[sum(model.count > 0 for model in models)]
        one = probability(sum(w * o for w, o in zip(weights, odds, strict=True)) >> 16)
        bit = coder.code(65536 - one, bit)
        error = 65535 * bit - one
        for k, model in enumerate(models):
            weights[k] += odds[k] * error >> 10
            model.learn(bit)
        return bit


@dataclass
class _IntModels:
    bits: list[list[Model]] = field(
        default_factory=lambda: [[Model() for _ in range(32)] for _ in range(3)]
    )
    signs: list[Model] = field(default_factory=lambda: [Model() for _ in range(3)])
    below: list[list[Model]] = field(
        default_factory=lambda: [[Model() for _ in range(4)] for _ in range(24)]
    )
    low: list[Model] = field(default_factory=lambda: [Model() for _ in range(23)])


@dataclass
class _FilterModels:
    zeros: list[Model] = field(default_factory=lambda: [Model(), Model()])
    sign: Model = field(default_factory=Model)
    bits: list[Model] = field(default_factory=lambda: [Model() for _ in range(32)])
    side: Model = field(default_factory=Model)
    below: list[Model] = field(default_factory=lambda: [Model() for _ in range(25)])
    mean: int = 0


def _code_bit_length(coder: Coder, models: list[Model], truth: int) -> int:
    node = 1
    for place in range(4, -1, -1):
        node = 2 * node + models[node].code(coder, truth >> place & 1)
    return node - 32


def _code_vector(coder: Coder, models: _IntModels, values: list[int]) -> list[int]:
    found = []
    change, last, side = 1, 0, 1
    for truth in values:
        bits = _code_bit_length(coder, models.bits[change], abs(truth).bit_length())
        if bits > 23:
            raise StreamError("a magnitude above the limit")
        change = 0 if bits < last - 1 else 2 if bits > last + 1 else 1
        last = bits
        if bits == 0:
            found.append(0)
            continue
        negative = models.signs[side].code(coder, int(truth < 0))
        side = 0 if negative else 2
        magnitude = 1
        for place in range(bits - 2, -1, -1):
            bit = abs(truth) >> place & 1
            if magnitude < 4:
                bit = models.below[bits][magnitude].code(coder, bit)
            else:
                bit = models.low[bits - 1 - place].code(coder, bit)
            magnitude = 2 * magnitude + bit
        found.append(-magnitude if negative else magnitude)
    return found


def _code_filters(
    coder: Coder,
    models: _FilterModels,
    values: list[int],
    live: NDArray[np.uint8] | None,
    is_bias: bool,
) -> list[int]:
    found = []
    count = 0
    for index, truth in enumerate(values):
        alive = 1 if live is None else int(live[index] != 0)
        if models.zeros[alive].code(coder, int(truth == 0)):
            found.append(0)
            continue
        negative = 0 if is_bias else models.sign.code(coder, int(truth < 0))
        value = _code_distance(coder, models, -truth if negative else truth)
        if value == 0 or abs(value) > 2**23 - 1 or (value < 0 and not is_bias):
            raise StreamError("an integer outside the limits")
        models.mean = approach(models.mean, 256 * value, count)
        count = min(count + 1, 30)
        found.append(-value if negative else value)
    return found


def _code_distance(coder: Coder, models: _FilterModels, truth: int) -> int:
    mean = models.mean + 128 >> 8
    distance = truth - mean
    bits = _code_bit_length(coder, models.bits, abs(distance).bit_length())
    if bits == 0:
        return mean
    if bits > 24:
        raise StreamError("an integer outside the limits")
    negative = models.side.code(coder, int(distance < 0))
    size = 1
    for place in range(bits - 2, -1, -1):
        bit = abs(distance) >> place & 1
        bit = models.below[bits].code(coder, bit) if size == 1 else coder.code(32768, bit)
        size = 2 * size + bit
    return mean - size if negative else mean + size
