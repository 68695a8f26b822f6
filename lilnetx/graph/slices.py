"""How the weights of an operator are cut into slices."""

from __future__ import annotations

from dataclasses import dataclass

from lilnetx.graph.ir import Linear, Weighted
from lilnetx.graph.weights import is_pointwise, latent_shape, weight_shape


@dataclass(frozen=True)
class SliceShape:
    """How a weight tensor is cut into slices.

    Attributes:
        filters: F.
        slices: Slices of each filter.
        length: Weights in a slice.
        channels_per_slice: 1 for K×K kernels, the slice length for pointwise ones.
        groups: Of the convolution.
        channels: Input channels, all groups together.
    """

    filters: int
    slices: int
    length: int
    channels_per_slice: int
    groups: int
    channels: int

    @property
    def pointwise(self) -> bool:
        """Whether slices run over input channels rather than over kernel taps."""
        return self.channels_per_slice > 1 or self.length == 1

    def as_tuple(self) -> tuple[int, int, int, int, int, int]:
        """As the extension takes it."""
        return (
            self.filters,
            self.slices,
            self.length,
            self.channels_per_slice,
            self.groups,
            self.channels,
        )


def slice_shape(op: Weighted, length: int) -> SliceShape:
    """The slices of an operator's weight, ``length`` weights each.

    Raises:
        GraphError: The length does not fit the kernel.
    """
    filters, slices, length = latent_shape(op, length)
    if isinstance(op, Linear):
        groups, channels = 1, op.in_features
    else:
        groups, channels = op.groups, op.in_channels
    return SliceShape(filters, slices, length, length if is_pointwise(op) else 1, groups, channels)


def dense_slice_length(op: Weighted) -> int:
    """Length of the slices into which a plain float weight is cut: a kernel, or one weight."""
    if is_pointwise(op):
        return 1
    _, _, kernel_h, kernel_w = weight_shape(op)
    return kernel_h * kernel_w


__all__ = ["SliceShape", "dense_slice_length", "slice_shape"]
