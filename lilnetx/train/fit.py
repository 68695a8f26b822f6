"""The start of latents and decoders from given weights, trained or fresh.

The trained weights of a group's slices are strongly correlated (neighbouring taps are alike). The
decoder starts as the orthogonal transform that decorrelates them, times one quantisation step for
all: for a given rounding error, no other orthogonal start needs fewer bits (Goyal 2001, theoretical
foundations of transform coding), and norms of slices stay what they were.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lilnetx.train.latents import to_slices

# Below this share of unexplained energy taps count as uncorrelated: fresh weights.
_CORRELATED = 0.02
# Below this root mean square weights count as zero.
_NOTHING = 1e-6


def group_step(weights: Sequence[Tensor], latent_width: float) -> float:
    """The quantisation step at which a group's latents have root mean square ``latent_width``.

    A group of zeros, such as a fresh head, gets the step of weights whose variance is one over
    their number for each output (LeCun et al. 1998, efficient backprop, section 4.6).
    """
    count = sum(w.numel() for w in weights)
    rms = math.sqrt(sum(float(w.double().square().sum()) for w in weights) / count)
    if rms < _NOTHING:
        rms = math.sqrt(sum(len(w) for w in weights) / count)
    return rms / latent_width


def decorrelating_rotation(weights: Sequence[Tensor], length: int) -> Tensor:
    """The orthogonal matrix whose rows are the principal directions of the slices.

    Args:
        weights: A group's weights, each ``(F, C, Kh, Kw)`` or ``(F, C)``.
        length: Slice length n.

    Returns:
        Shape ``(n, n)``, float32; the identity when the taps are uncorrelated (fresh weights).
        Rows are matched to taps, so that it is as near to the identity as can be, with positive
        diagonal.
    """
    moment = torch.zeros(length, length, dtype=torch.float64)
    for weight in weights:
        rows = to_slices(weight.detach().double().cpu(), length).reshape(-1, length)
        moment += rows.T @ rows
    energy = moment.diagonal()
    scale = torch.sqrt(energy[:, None] * energy[None, :]).clamp_min(1e-300)
    correlation = moment / scale
    correlation.fill_diagonal_(0)
    if correlation.square().mean() < _CORRELATED**2:
        return torch.eye(length)
    directions = torch.linalg.eigh(moment).eigenvectors.T.flip(0).clone()
    order = [-1] * length
    free = directions.abs().clone()
    for _ in range(length):
        row, tap = divmod(int(free.argmax()), length)
        order[tap] = row
        free[row], free[:, tap] = -1, -1
    matched: Tensor = directions[order]
    matched *= torch.where(matched.diagonal() < 0, -1.0, 1.0)[:, None]
    return matched.float()
