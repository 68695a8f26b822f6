"""Weights of the penalty, and the presets of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lilnetx.errors import CompressionError

SLICE_NORMS = (1.0, 2.0, math.inf)


@dataclass(frozen=True)
class Objective:
    """Weights of the penalty; every term is divided by the number of latents.

    Attributes:
        rate: Weight of the latents' self-information, in bits.
        slices: Weight of the slices' norms.
        single_latents: Count slices of a single latent among them, as their magnitudes. Else the
            rate alone makes them zero: it is enough where they are a small part of the network.
        slice_norm: p of ``||phi_slice||_p``: 1, 2 or infinity.
        concave: Count ``log2(1 + ||phi_slice||_p)`` instead of the norm itself: it presses on small
            slices and leaves large ones alone.
        l2: Weight of the squared latents.
        cost_weighted: Weight each slice's norm by what the slice costs to compute (its output
            area relative to the mean over all slices), so that computation falls with size.
        sampled_noise: Take the rate at one random point of the rounding's interval (the paper)
            instead of its mean over the interval.
    """

    rate: float = 0.7
    slices: float = 0.5
    single_latents: bool = False
    slice_norm: float = 2.0
    concave: bool = False
    l2: float = 0.0
    cost_weighted: bool = True
    sampled_noise: bool = False

    def check(self) -> None:
        """Refuse negative weights, and norms that are not supported; CompressionError."""
        for name in ("rate", "slices", "l2"):
            weight = getattr(self, name)
            if not (math.isfinite(weight) and weight >= 0):
                raise CompressionError(f"{name} must be a number of at least 0, not {weight}")
        if self.slice_norm not in SLICE_NORMS:
            raise CompressionError(f"slice_norm must be 1, 2 or infinity, not {self.slice_norm}")

    @classmethod
    def paper(cls, rate: float = 0.7, slices: float = 0.5, l2: float = 0.0) -> Objective:
        """The form of the paper: maximum norms, slices weighted alike, the rate sampled."""
        return cls(
            rate, slices, slice_norm=math.inf, l2=l2, cost_weighted=False, sampled_noise=True
        )
