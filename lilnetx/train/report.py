"""What a compressed model costs: counts by layer and in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerCount:
    """One compressed layer.

    Attributes:
        name: Module path.
        group: Kernel-size group.
        pointwise: Whether its slices run over channels (1x1, linear).
        latents: Number of latents.
        bits: Their self-information under the learned density.
        slices: Number of slices.
        zero_slices: How many of them are all zero.
        macs_per_slice: Multiply-accumulates that one slice costs for one image.
    """

    name: str
    group: str
    pointwise: bool
    latents: int
    bits: float
    slices: int
    zero_slices: int
    macs_per_slice: int


@dataclass(frozen=True)
class CompressionReport:
    """Totals over the compressed layers; sparsities are shares of zero slices in [0, 1].

    Attributes:
        latents: Number of latents.
        bits: Their self-information, in bits.
        bytes: The same in bytes; a file also holds side data, so it is somewhat larger.
        bits_per_latent: Mean.
        sparsity_kxk: Zero slices among K×K slices, K > 1; 0 without any.
        sparsity_1x1: Zero slices among those of 1x1 and linear layers; 0 without any.
        macs: Multiply-accumulates of the dense network, one image.
        macs_left: Those of the nonzero slices.
        layers: Counts by layer.
    """

    latents: int
    bits: float
    bytes: float
    bits_per_latent: float
    sparsity_kxk: float
    sparsity_1x1: float
    macs: int
    macs_left: int
    layers: tuple[LayerCount, ...]

    def totals(self) -> dict[str, Any]:
        """Everything but the layers, JSON-able."""
        row = asdict(self)
        del row["layers"]
        return row


def summarise(layers: Sequence[LayerCount]) -> CompressionReport:
    """Totals of some layers."""
    latents = sum(layer.latents for layer in layers)
    bits = sum(layer.bits for layer in layers)
    return CompressionReport(
        latents=latents,
        bits=bits,
        bytes=bits / 8,
        bits_per_latent=bits / max(latents, 1),
        sparsity_kxk=_zero_share([layer for layer in layers if not layer.pointwise]),
        sparsity_1x1=_zero_share([layer for layer in layers if layer.pointwise]),
        macs=sum(layer.slices * layer.macs_per_slice for layer in layers),
        macs_left=sum(
            (layer.slices - layer.zero_slices) * layer.macs_per_slice for layer in layers
        ),
        layers=tuple(layers),
    )


def _zero_share(layers: Sequence[LayerCount]) -> float:
    slices = sum(layer.slices for layer in layers)
    return sum(layer.zero_slices for layer in layers) / slices if slices else 0.0
