"""Packed slices: the nonzero slices of a weight tensor, the same for every backend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lilnetx import _core
from lilnetx.errors import GraphError
from lilnetx.graph.ir import Conv2d, Graph, LatentWeight, Linear, Node
from lilnetx.graph.weights import is_pointwise, weight_shape


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


@dataclass(frozen=True)
class PackedSlices:
    """Slices that are not zero, by filter and by channel within a filter.

    Attributes:
        filter_ptr: uint32, shape ``(F + 1,)``; slices of filter f are ``filter_ptr[f]`` up to
            ``filter_ptr[f + 1]``.
        channel: Shape ``(slices,)``; input channel of each slice's first weight, counted over all
            groups. uint16 where the channels fit, else uint32.
        values: float32, shape ``(slices, length)``; scaled by the filter's scale. What pads the
            last slice of a pointwise filter may be nonzero and must not be used.
        shape: How the tensor was cut.
    """

    filter_ptr: NDArray[np.uint32]
    channel: NDArray[np.uint16] | NDArray[np.uint32]
    values: NDArray[np.float32]
    shape: SliceShape

    @property
    def density(self) -> float:
        """Share of slices that are not zero."""
        return len(self.channel) / (self.shape.filters * self.shape.slices)


def pack_node(graph: Graph, node: Node) -> PackedSlices:
    """Decodes and packs the weight of a convolution or linear node.

    Equal, bit for bit, to :func:`lilnetx.graph.weights.dense_weight` with the zero slices left out.

    Raises:
        GraphError: The node has no weight, or its shape is not what the operator needs.
    """
    op = node.op
    if not isinstance(op, Conv2d | Linear) or node.weight is None:
        raise GraphError(f"node {node.name!r} has no weight")
    groups = op.groups if isinstance(op, Conv2d) else 1
    channels = op.in_channels if isinstance(op, Conv2d) else op.in_features
    if isinstance(node.weight, LatentWeight):
        latents = node.weight.latents
        decoder = graph.decoders[node.weight.decoder]
        shape = _slice_shape(node, latents.shape, channels, groups)
        ptr, channel, values = _core.pack_latents(
            latents,
            decoder.matrix,
            decoder.exponent,
            node.scale,
            shape.channels_per_slice,
            groups,
            channels,
        )
    else:
        dense = node.weight.values
        if dense.shape != weight_shape(op):
            raise GraphError(
                f"node {node.name!r}: weight is {dense.shape}, its operator needs "
                f"{weight_shape(op)}"
            )
        length = 1 if is_pointwise(op) else dense.shape[2] * dense.shape[3]
        slices = dense.reshape(dense.shape[0], -1, length)
        shape = _slice_shape(node, slices.shape, channels, groups)
        ptr, channel, values = _core.pack_dense(slices, node.scale, 1, groups, channels)
    index = channel.astype(np.uint16) if channels <= 1 << 16 else channel
    return PackedSlices(ptr, index, values.reshape(-1, shape.length), shape)


def _slice_shape(node: Node, slices: tuple[int, ...], channels: int, groups: int) -> SliceShape:
    op = node.op
    assert isinstance(op, Conv2d | Linear)
    filters, count, length = slices
    wanted = weight_shape(op)
    pointwise = is_pointwise(op)
    expected = -(-wanted[1] // length) if pointwise else wanted[1]
    taps = 1 if pointwise else wanted[2] * wanted[3]
    if filters != wanted[0] or count != expected or (not pointwise and length != taps):
        raise GraphError(
            f"node {node.name!r}: slices have shape {slices}, its operator needs a weight {wanted}"
        )
    return SliceShape(filters, count, length, length if pointwise else 1, groups, channels)
