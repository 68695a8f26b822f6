"""The packed slices of one layer as device tensors: what the kernels read in place of a weight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lilnetx.errors import InputError

_INT16_MAX = 2**15 - 1


@dataclass(frozen=True)
class GatheredSlices:
    """The nonzero slices of a convolution's weight, in filter order.

    A slice is a K×K kernel of one input channel, or for 1×1 kernels the weights of
    ``slice_channels`` consecutive input channels of one group.

    Attributes:
        filter_ptr: int32, shape ``(F + 1,)``: the slices of filter f are
            ``filter_ptr[f]`` to ``filter_ptr[f + 1] - 1``.
        channel: int16 where all channels fit, else int32, shape ``(nnz,)``: the slice's first
            input channel, counted over all groups.
        values: float32, shape ``(nnz, slice_channels * Kh * Kw)``; zeros stand for the channels
            that a group's last slice lacks.
        kernel: ``(Kh, Kw)``.
        slice_channels: Input channels of a slice; more than 1 for 1×1 kernels only.
        in_channels: Input channels of the layer, over all groups.
        groups: Groups of the convolution.
    """

    filter_ptr: Tensor
    channel: Tensor
    values: Tensor
    kernel: tuple[int, int]
    slice_channels: int
    in_channels: int
    groups: int

    @property
    def filters(self) -> int:
        """Output channels of the layer."""
        return self.filter_ptr.numel() - 1

    def to(self, device: torch.device | str) -> GatheredSlices:
        """The same slices on another device."""
        return GatheredSlices(
            self.filter_ptr.to(device),
            self.channel.to(device),
            self.values.to(device),
            self.kernel,
            self.slice_channels,
            self.in_channels,
            self.groups,
        )

    def channels_read(self) -> NDArray[np.bool_]:
        """bool, shape ``(F, C/groups)``: whether a filter has a slice of a channel of its group."""
        filters, per_group = self.filters, self.in_channels // self.groups
        counts = self.filter_ptr.cpu().numpy()
        row = np.repeat(np.arange(filters), np.diff(counts))
        first = self.channel.cpu().numpy().astype(np.int64) % max(per_group, 1)
        reads = np.zeros((filters, per_group + self.slice_channels - 1), bool)
        for i in range(self.slice_channels):
            reads[row, first + i] = True
        return reads[:, :per_group]

    def dense_weight(self) -> Tensor:
        """float32, shape ``(F, C/groups, Kh, Kw)``, on the slices' device."""
        filters, per_group = self.filters, self.in_channels // self.groups
        device, g, taps = self.values.device, self.slice_channels, self.kernel[0] * self.kernel[1]
        row = torch.repeat_interleave(
            torch.arange(filters, device=device), self.filter_ptr.diff().long()
        )
        dense = torch.zeros(filters, per_group + g - 1, taps, device=device)
        if per_group:
            first = self.channel.long() % per_group
            values = self.values.reshape(-1, g, taps)
            for i in range(g):
                dense[row, first + i] = values[:, i]
        return dense[:, :per_group].reshape(filters, per_group, *self.kernel)


def gather_slices(weight: Tensor, *, groups: int = 1, slice_channels: int = 1) -> GatheredSlices:
    """Packs the nonzero slices of a dense weight.

    Args:
        weight: Floating point, shape ``(F, C/groups, Kh, Kw)``, any device.
        groups: Groups of the convolution.
        slice_channels: Input channels of a slice.

    Returns:
        The slices, on the weight's device.

    Raises:
        InputError: The weight has another rank, ``groups`` does not divide F, or ``slice_channels``
            is not 1 for a K×K kernel.
    """
    if weight.ndim != 4 or groups < 1 or weight.shape[0] % groups:
        raise InputError(
            f"weight has shape {tuple(weight.shape)}, expected (F, C/groups, Kh, Kw) with F "
            f"divisible by {groups} groups"
        )
    filters, channels, kh, kw = weight.shape
    if slice_channels < 1 or (slice_channels > 1 and (kh, kw) != (1, 1)):
        raise InputError(
            f"slices of {slice_channels} channels of a {kh}×{kw} kernel: expected 1, or more for "
            "1×1 kernels"
        )
    dense = weight.detach().float()
    dense = torch.nn.functional.pad(dense, (0, 0, 0, 0, 0, -channels % slice_channels))
    slices = dense.reshape(filters, -1, slice_channels * kh * kw)
    nonzero = (slices != 0).any(dim=2)
    row, column = nonzero.nonzero(as_tuple=True)
    channel = row // (filters // groups) * channels + column * slice_channels
    in_channels = channels * groups
    counts = torch.nn.functional.pad(nonzero.sum(dim=1).cumsum(0), (1, 0))
    return GatheredSlices(
        counts.to(torch.int32),
        channel.to(torch.int16 if in_channels <= _INT16_MAX else torch.int32),
        slices[nonzero].contiguous(),
        (kh, kw),
        slice_channels,
        in_channels,
        groups,
    )


__all__ = ["GatheredSlices", "gather_slices"]
