"""Packed weights: the nonzero slices of each weight tensor, from which every backend starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lilnetx import _core
from lilnetx.errors import GraphError
from lilnetx.graph.ir import Graph, LatentWeight, Node, Weighted
from lilnetx.graph.slices import SliceShape, dense_slice_length, slice_shape
from lilnetx.graph.weights import weight_shape


@dataclass(frozen=True)
class PackedSlices:
    """Decoded slices that are not zero, by filter and by channel within a filter.

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


def pack_weight(graph: Graph, node: Node) -> _core.PackedWeight:
    """Packs the weight of a convolution or linear node, without its scale.

    Raises:
        GraphError: The node has no weight, its shape is not what the operator needs, or its
            latents are beyond int16.
    """
    op = node.op
    if not isinstance(op, Weighted) or node.weight is None:
        raise GraphError(f"node {node.name!r} has no weight")
    if isinstance(node.weight, LatentWeight):
        latents = node.weight.latents
        decoder = graph.decoders[node.weight.decoder]
        shape = slice_shape(op, decoder.matrix.shape[0])
        _require_shape(node, latents.shape, (shape.filters, shape.slices, shape.length))
        try:
            return _core.pack_latents(shape.as_tuple(), latents, decoder.matrix, decoder.exponent)
        except ValueError as error:
            raise GraphError(f"node {node.name!r}: {error}") from error
    dense = node.weight.values
    _require_shape(node, dense.shape, weight_shape(op))
    shape = slice_shape(op, dense_slice_length(op))
    slices = dense.reshape(shape.filters, shape.slices, shape.length)
    return _core.pack_dense(shape.as_tuple(), slices)


def pack_graph(graph: Graph) -> dict[str, _core.PackedWeight]:
    """The packed weights of convolutions and linear layers, by name; see :func:`pack_weight`."""
    return {
        node.name: pack_weight(graph, node) for node in graph.nodes if isinstance(node.op, Weighted)
    }


def unpack_slices(weight: _core.PackedWeight, scale: NDArray[np.float32] | None) -> PackedSlices:
    """Decodes a packed weight.

    Equal, bit for bit, to :func:`lilnetx.graph.weights.dense_weight` with the zero slices left out.

    Args:
        weight: The packed weight.
        scale: float32, shape ``(F,)``, or None for ones.
    """
    shape = SliceShape(*weight.shape)
    filter_ptr, channel, values = weight.unpack(scale)
    index = channel.astype(np.uint16) if shape.channels <= 1 << 16 else channel
    return PackedSlices(filter_ptr, index, values.reshape(-1, shape.length), shape)


def computed_density(weight: _core.PackedWeight, scale: NDArray[np.float32] | None) -> float:
    """Share of weights that are computed: in nonzero slices, or not zero for pointwise layers."""
    shape = SliceShape(*weight.shape)
    taps = 1 if shape.pointwise else shape.length
    total = shape.filters * (shape.channels // shape.groups) * taps
    return weight.computed_weights(scale) / total


def _require_shape(node: Node, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise GraphError(f"node {node.name!r}: weight is {found}, its operator needs {expected}")
