"""The slices of a convolution that are not zero, as tensors that a module keeps as buffers."""

from __future__ import annotations

import torch
from torch import Tensor

# Buffers of SparseConv2d, in the order of the operator's arguments.
BUFFERS = ("packed_filter_ptr", "packed_channel", "packed_values")


def pack_slices_of(weight: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """Packs the nonzero kernel slices of a weight.

    Args:
        weight: Floating point, shape ``(F, C/groups, Kh, Kw)``, any device.
        groups: Groups of the convolution.

    Returns:
        On the weight's device: filter_ptr, int32, ``(F + 1,)``; channel over all groups, int32,
        ``(slices,)``; values, float32, ``(slices, Kh * Kw)``.
    """
    dense = weight.detach().float().flatten(2)
    filters, channels, _ = dense.shape
    nonzero = (dense != 0).any(dim=2)
    row, column = nonzero.nonzero(as_tuple=True)
    filter_ptr = torch.nn.functional.pad(nonzero.sum(dim=1).cumsum(0), (1, 0))
    channel = row // (filters // groups) * channels + column
    return filter_ptr.to(torch.int32), channel.to(torch.int32), dense[nonzero].contiguous()


__all__ = ["BUFFERS", "pack_slices_of"]
