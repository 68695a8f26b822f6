"""Latents with the structure of trained networks: dead filters and channels, small values."""

from __future__ import annotations

import lzma
from collections import Counter

import numpy as np
from numpy.typing import NDArray

Latents = NDArray[np.int32]

# (filters, channels) of the 3x3 convolutions of ResNet-20 with width 16.
RESNET20 = [
    (16, 1),
    *[(16, 16)] * 6,
    (32, 16),
    *[(32, 32)] * 5,
    (64, 32),
    *[(64, 64)] * 5,
]


def sparse_latents(
    rng: np.random.Generator, filters: int, slices: int, length: int, density: float
) -> Latents:
    """int32 ``(F, S, n)`` whose share of nonzero slices is about ``density``, by row and column."""
    rows = np.exp(rng.normal(0.0, 1.2, (filters, 1)))
    columns = np.exp(rng.normal(0.0, 1.0, (1, slices)))
    chance = rows * columns
    chance *= density / chance.mean()
    # Clipping takes density away, so what is left is scaled up once more.
    chance *= density / np.clip(chance, 0.0, 1.0).mean()
    nonzero = rng.random((filters, slices)) < chance
    taps = np.linspace(0.5, 1.2, length)
    values = np.rint(rng.laplace(0.0, 0.45, (filters, slices, length)) * taps).astype(np.int32)
    empty = ~values.any(axis=2)
    values[empty, rng.integers(0, length, int(empty.sum()))] = rng.choice([-1, 1], int(empty.sum()))
    return np.ascontiguousarray(values * nonzero[:, :, None])


def resnet20_latents(seed: int, density: float = 0.12) -> list[Latents]:
    """All 3x3 convolutions of a ResNet-20; later layers are sparser, the first is full."""
    rng = np.random.default_rng(seed)
    layers = [sparse_latents(rng, *RESNET20[0], 9, 1.0)]
    for index, (filters, channels) in enumerate(RESNET20[1:], start=1):
        local = density * (2.5 - 1.9 * index / len(RESNET20))
        layers.append(sparse_latents(rng, filters, channels, 9, min(local, 0.9)))
    return layers


def order0_bytes(layers: list[Latents]) -> float:
    """Ideal size with one static table for each place in a slice, tables not counted."""
    bits = 0.0
    for tap in range(layers[0].shape[2]):
        counts = Counter(np.concatenate([layer[:, :, tap].ravel() for layer in layers]).tolist())
        total = sum(counts.values())
        bits -= sum(n * np.log2(n / total) for n in counts.values())
    return bits / 8


def xz_bytes(layers: list[Latents]) -> int:
    """Size of the int8 latents under ``xz -9e``."""
    data = b"".join(layer.astype(np.int8).tobytes() for layer in layers)
    return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
