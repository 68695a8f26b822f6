"""About how many bits the file's coder takes for each integer, and which integers are worth it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Magnitudes from here on are priced alike.
_LARGEST = 16
# What the coder makes of a filter's, a channel's and the layer's density of nonzero slices, as
# log-odds, in eighths (SPEC.md, "Weights").
_FILTER, _CHANNEL, _LAYER = 5, 7, -4


@dataclass(frozen=True)
class LayerBits:
    """Prices of one layer's integers, in bits.

    Attributes:
        values: Of each magnitude at each tap of a nonzero slice, shape ``(n, 17)``.
        zero: Of the flag "this slice is zero", shape ``(F, S)``.
        nonzero: Of its opposite, likewise.
    """

    values: Tensor
    zero: Tensor
    nonzero: Tensor

    def cheapest(self, trained: Tensor, fisher: Tensor, weight: float) -> Tensor:
        """The integers of least ``fisher * change**2 / 2 + weight * bits``, slice by slice.

        Args:
            trained: Integers, shape ``(F, S, n)``, float32; changes are counted from these.
            fisher: What a change costs, same shape.
            weight: Cost of a bit.

        Returns:
            Integers, shape ``(F, S, n)``, float32. None is larger than it was, none has another
            sign, and zeros stay zeros.
        """
        taps = torch.arange(trained.shape[-1], device=trained.device)
        best, cost = trained, self._cost(trained, trained, fisher, weight, taps)
        for change in (1.0, 2.0, None):
            shrunk = trained.abs() - (change if change else trained.abs())
            candidate = trained.sign() * shrunk.clamp_min(0.0)
            price = self._cost(candidate, trained, fisher, weight, taps)
            best = torch.where(price < cost, candidate, best)
            cost = torch.minimum(price, cost)
        lost = 0.5 * (fisher * trained.square()).sum(-1) + weight * self.zero
        kept = cost.sum(-1) + weight * self.nonzero
        return best * ((kept < lost) & trained.any(-1)).unsqueeze(-1)

    def _cost(
        self, values: Tensor, trained: Tensor, fisher: Tensor, weight: float, taps: Tensor
    ) -> Tensor:
        magnitude = values.abs().clamp_max(_LARGEST).long()
        return 0.5 * fisher * (values - trained).square() + weight * self.values[taps, magnitude]


def latent_bits(integers: list[Tensor], decoders: list[str]) -> list[LayerBits]:
    """Prices that follow from how often integers occur now.

    Args:
        integers: Of each layer, shape ``(F, S, n)``, float32.
        decoders: The name of each layer's decoder; layers of one decoder share prices of values.
    """
    tables: dict[str, Tensor] = {}
    for name in dict.fromkeys(decoders):
        members = [v for v, d in zip(integers, decoders, strict=True) if d == name]
        tables[name] = _value_bits(torch.cat([v.reshape(-1, v.shape[-1]) for v in members]))
    return [
        LayerBits(tables[name], *_flag_bits(values))
        for values, name in zip(integers, decoders, strict=True)
    ]


def _value_bits(rows: Tensor) -> Tensor:
    """Bits of each magnitude, its sign included, at each tap: shape ``(n, 17)``."""
    live = rows[rows.any(dim=1)].abs().clamp_max(_LARGEST).long()
    counts = torch.stack([torch.bincount(tap, minlength=_LARGEST + 1) for tap in live.T]).double()
    # Half an observation each, so that what never occurred has a price.
    bits = -torch.log2((counts + 0.5) / (counts.sum(1, keepdim=True) + 0.5 * (_LARGEST + 1)))
    bits[:, 1:] += 1.0
    return bits.float()


def _flag_bits(values: Tensor) -> tuple[Tensor, Tensor]:
    live = values.any(dim=-1).double()
    filters = _log_odds(live.sum(1), live.shape[1]).unsqueeze(1)
    channels = _log_odds(live.sum(0), live.shape[0]).unsqueeze(0)
    layer = _log_odds(live.sum(), live.numel())
    odds = (_FILTER * filters + _CHANNEL * channels + _LAYER * layer) / 8
    nonzero = torch.sigmoid(odds).clamp(1e-3, 1 - 1e-3)
    return -torch.log2(1 - nonzero).float(), -torch.log2(nonzero).float()


def _log_odds(count: Tensor, of: int) -> Tensor:
    return torch.log((count + 0.5) / (of - count + 0.5))


__all__ = ["LayerBits", "latent_bits"]
