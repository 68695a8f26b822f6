"""The factorised density that prices latents in bits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_STAGES = 3
# Probabilities below this are priced as if they were this: about 30 bits.
_FLOOR = 1e-9


class FactorisedDensity(nn.Module):
    """A learned, monotone cumulative distribution for each of n channels (taps).

    Stages 1 to 3 are ``x <- softplus(h) * x + b`` and then ``x <- x + tanh(a) * tanh(x)``; stage 4
    is ``sigmoid(softplus(h) * x + b)``: 11 parameters a channel, initialised N(0, 0.01) (Balle et
    al. 2018, arXiv 1802.01436, appendix 6.1, with one unit a stage).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.h = nn.Parameter(torch.randn(_STAGES + 1, channels) * 0.01)
        self.b = nn.Parameter(torch.randn(_STAGES + 1, channels) * 0.01)
        self.a = nn.Parameter(torch.randn(_STAGES, channels) * 0.01)

    def logits(self, x: Tensor) -> Tensor:
        """Logits of the cumulative distribution at x, shape ``(rows, channels)``."""
        return density_logits(x, self.h, self.b, self.a)

    def bits(self, y: Tensor) -> Tensor:
        """Self-information of ``y``: ``-log2(F(y + 1/2) - F(y - 1/2))``.

        Args:
            y: float32, shape ``(rows, channels)``: noisy latents in training, integers otherwise.

        Returns:
            Bits, same shape.
        """
        return bits_between(self.logits(y - 0.5), self.logits(y + 0.5))


def bits_between(lower: Tensor, upper: Tensor) -> Tensor:
    """``-log2`` of the probability between two points, given by their logits."""
    # Both sigmoids are evaluated in the tail where they are small, or their difference would be
    # lost to rounding.
    sign = -torch.sign((upper + lower).detach())
    mass = (torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)).abs()
    return -torch.log2(mass.clamp_min(_FLOOR))


def density_logits(x: Tensor, h: Tensor, b: Tensor, a: Tensor) -> Tensor:
    """:meth:`FactorisedDensity.logits` of given parameters; ``x`` may be ``(rows, 1)`` for all."""
    gain, curl = functional.softplus(h), torch.tanh(a)
    for k in range(_STAGES):
        x = torch.addcmul(b[k], gain[k], x)
        x = torch.addcmul(x, curl[k], torch.tanh(x))
    return torch.addcmul(b[_STAGES], gain[_STAGES], x)
