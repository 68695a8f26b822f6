"""The entropy coder in plain Python, written from ``lilnetx/format/SPEC.md``: the oracle of tests.

It is a thousand times slower than the C++ coder and shares no code with it. The coder of single
bits and their adaptive models are in :mod:`.range_coder`, side data and text in
:mod:`.side_codec`; here are the checksum and the latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lilnetx.reference.range_coder import (
    Coder,
    Decoder,
    Encoder,
    Family,
    Model,
    StreamError,
    approach,
    log_odds,
    odds_times_16,
    probability,
)

__all__ = [
    "StreamError",
    "WeightShape",
    "crc32c",
    "decode_latents",
    "encode_latents",
]

_THRESHOLDS = (655, 1311, 2458, 4096, 6554, 10650, 18022, 32768, 65536)


class WeightShape(NamedTuple):
    """A latent weight as the graph describes it: F, S, n, index of its decoder, nonzero slices."""

    filters: int
    slices: int
    length: int
    model: int
    nonzero: int


def crc32c(data: bytes) -> int:
    """CRC-32C of bytes, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def encode_latents(
    weights: Sequence[NDArray[np.int32]], models: Sequence[int]
) -> tuple[bytes, list[int]]:
    """One stream of int32 weights ``(F, S, n)``: its bytes, and each weight's nonzero slices."""
    encoder = Encoder()
    sets: dict[int, _LatentModels] = {}
    counts = []
    for weight, model in zip(weights, models, strict=True):
        filters, slices, length = weight.shape
        nonzero = int(weight.any(axis=2).sum())
        shape = WeightShape(filters, slices, length, model, nonzero)
        truth = weight.reshape(-1, shape.length).tolist()
        _code_weight(encoder, _models_of(sets, shape), shape, truth)
        counts.append(nonzero)
    return encoder.finish(), counts


def decode_latents(data: bytes, shapes: Sequence[WeightShape]) -> list[NDArray[np.int32]]:
    """The weights of one stream; StreamError when it is damaged."""
    decoder = Decoder(data)
    sets: dict[int, _LatentModels] = {}
    weights = []
    for shape in shapes:
        slices = [[0] * shape.length for _ in range(shape.filters * shape.slices)]
        _code_weight(decoder, _models_of(sets, shape), shape, slices)
        weights.append(np.array(slices, np.int32).reshape(shape[:3]))
    decoder.finish()
    return weights


class _Density(NamedTuple):
    """Of a weight: nonzero slices of its filters, slices of a filter, nonzero slices in all."""

    filters: list[int]
    slices: int
    nonzero: int


class _LatentModels:
    def __init__(self, n: int) -> None:
        self.flags = [_flag_model(i) for i in range(48)]
        self.taps = [[Family(10) for _ in range(6)] for _ in range(n)]
        self.signs = [Family(3) for _ in range(n)]
        self.magnitudes = [[Family(20, Model(1258291, 3)) for _ in range(3)] for _ in range(n)]
        self.large = [Family(20, Model(1258291, 3)) for _ in range(11)]
        self.golomb = [Model() for _ in range(15)]
        self.before: _Density | None = None
        self.mean = 2048
        self.count = 0

    def begin_weight(self) -> None:
        for families in (*self.taps, self.signs, *self.magnitudes, self.large):
            for family in families:
                family.forget()


@dataclass
class _Column:
    frequency: int
    mean: int = 0
    count: int = 0


def _flag_model(i: int) -> Model:
    odds = 8 * i - 188
    power = odds_times_16(odds)
    likely = (power << 22) // (power + 16)
    return Model(likely if odds < 0 else (1 << 22) - 1 - likely, 12)


def _models_of(sets: dict[int, _LatentModels], shape: WeightShape) -> _LatentModels:
    return sets.setdefault(shape.model, _LatentModels(shape.length))


def _share(a: int, b: int) -> int:
    return min(max(a * 65536 // b, 32), 65504)


def _code_weight(
    coder: Coder, models: _LatentModels, shape: WeightShape, slices: list[list[int]]
) -> None:
    """Codes a weight; ``slices`` are read or, by a decoder, filled."""
    total = shape.filters * shape.slices
    left = shape.nonzero
    if left == 0:
        return
    models.begin_weight()
    columns = [_Column(start) for start in _column_starts(models.before, shape)]
    filters = [0] * shape.filters
    for t in range(shape.filters):
        overall = row = _share(left, total - t * shape.slices)
        row_mean, row_count = models.mean, 0
        for s, column in enumerate(columns):
            values = slices[t * shape.slices + s]
            if shape.nonzero < total:
                odds = 5 * log_odds(row) + 7 * log_odds(column.frequency)
                context = ((odds - 4 * log_odds(overall) >> 3) + 192) >> 3
                flag = models.flags[min(max(context, 0), 47)].code(coder, int(any(values)))
                target = 65535 if flag else 0
                row = approach(row, target, min(s, 62) + 3)
                column.frequency = approach(column.frequency, target, min(t, 62) + 3)
                if not flag:
                    continue
            row_mean = _code_slice(coder, models, column, row_mean, row_count, values)
            row_count += 1
            filters[t] += 1
            left -= 1
            if left == 0:
                models.before = _Density(filters, shape.slices, shape.nonzero)
                return
    raise StreamError("fewer nonzero slices than declared")


def _column_starts(before: _Density | None, shape: WeightShape) -> list[int]:
    start = _share(shape.nonzero, shape.filters * shape.slices)
    if before is None or len(before.filters) != shape.slices:
        return [start] * shape.slices
    average = log_odds(_share(before.nonzero, before.slices * shape.slices))
    starts = []
    for count in before.filters:
        excess = log_odds((2 * count + 1) * 65536 // (2 * before.slices + 2)) - average
        starts.append(probability(log_odds(start) + (9 * excess >> 4)))
    return starts


def _code_slice(
    coder: Coder,
    models: _LatentModels,
    column: _Column,
    row_mean: int,
    row_count: int,
    values: list[int],
) -> int:
    """Codes a nonzero slice; returns the new mean of its row."""
    n = len(values)
    column_mean = column.mean if column.count else models.mean
    level = sum(threshold <= row_mean + column_mean for threshold in _THRESHOLDS)
    nonzero = 0
    for i, truth in enumerate(values):
        if i < n - 1 or nonzero > 0:
            family = models.taps[i][min(nonzero, 5)]
            if not family.code(coder, level, int(truth != 0)):
                continue
        before = values[i - 1] if i else 0
        side = (before > 0) - (before < 0) + 1
        negative = models.signs[i].code(coder, side, int(truth < 0))
        magnitude = _code_magnitude(coder, models, i, level + 10 * negative, abs(truth))
        values[i] = -magnitude if negative else magnitude
        nonzero += 1
    total = min(sum(map(abs, values)), 65535)
    v = min(total * (65536 // n) >> 4, (1 << 20) - 1)
    column.mean = approach(column_mean, v, column.count + 1)
    column.count = min(column.count + 1, 30)
    models.mean = approach(models.mean, v, models.count)
    models.count = min(models.count + 1, 100)
    return approach(row_mean, v, min(row_count, 30) + 2)


def _code_magnitude(coder: Coder, models: _LatentModels, i: int, child: int, truth: int) -> int:
    for u in range(1, 15):
        family = models.magnitudes[i][u - 1] if u < 4 else models.large[u - 4]
        if not family.code(coder, child, int(truth > u)):
            return u
    x = max(truth - 14, 1)
    bits = 0
    while bits < 15 and models.golomb[bits].code(coder, int(x.bit_length() - 1 > bits)):
        bits += 1
    found = 1
    for place in range(bits - 1, -1, -1):
        found = found << 1 | coder.code(32768, x >> place & 1)
    if found + 14 > 32767:
        raise StreamError("a magnitude above the limit")
    return found + 14
