"""Where a file's weights go as they are decoded: into a graph, or straight into packed slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lilnetx import _core
from lilnetx.format.latents import LatentStreams, decode_latents, decode_packed
from lilnetx.format.weight_info import WeightInfo, count_nonzero_slices
from lilnetx.graph.ir import (
    Constant,
    Decoder,
    DenseWeight,
    LatentWeight,
    Node,
    Weight,
    Weighted,
)
from lilnetx.graph.slices import dense_slice_length, slice_shape

Mask = NDArray[np.uint8]


class WeightSink(Protocol):
    """Takes the weights of a file."""

    def latents(
        self,
        streams: LatentStreams,
        nodes: Sequence[Node],
        infos: Sequence[WeightInfo],
        decoders: Sequence[Decoder],
        threads: int,
    ) -> None:
        """Decodes all latent weights; the reader has checked everything but the streams."""

    def dense(self, node: Node, values: NDArray[np.float32]) -> int:
        """Takes a plain float weight, which must be copied; returns its nonzero slices."""

    def weight(self, node: Node) -> Weight | None:
        """What the graph shall hold as the node's weight."""

    def live(self, name: str) -> Mask | None:
        """Which filters of a latent weight are not all zero; None for other weights."""


class GraphSink:
    """Keeps all integers, for tools: the graph has :class:`LatentWeight` and the like."""

    def __init__(self) -> None:
        self._weights: dict[str, Weight] = {}

    def latents(
        self,
        streams: LatentStreams,
        nodes: Sequence[Node],
        infos: Sequence[WeightInfo],
        decoders: Sequence[Decoder],
        threads: int,
    ) -> None:
        """See :class:`WeightSink`."""
        arrays = decode_latents(streams, infos, threads)
        for node, info, array in zip(nodes, infos, arrays, strict=True):
            self._weights[node.name] = LatentWeight(array, decoders[info.decoder].name)

    def dense(self, node: Node, values: NDArray[np.float32]) -> int:
        """See :class:`WeightSink`."""
        weight = DenseWeight(values.astype(np.float32))
        self._weights[node.name] = weight
        return count_nonzero_slices(weight)

    def weight(self, node: Node) -> Weight | None:
        """See :class:`WeightSink`."""
        return self._weights.get(node.name)

    def live(self, name: str) -> Mask | None:
        """See :class:`WeightSink`."""
        weight = self._weights.get(name)
        return _core.live_filters(weight.latents) if isinstance(weight, LatentWeight) else None


class PackedSink:
    """Keeps nonzero slices alone; the graph keeps weights that take no memory and are all zero.

    The values of constants are in the graph.

    Attributes:
        packed: The packed weights, by node.
    """

    def __init__(self) -> None:
        self.packed: dict[str, _core.PackedWeight] = {}
        self._latent: set[str] = set()
        self._constants: dict[str, DenseWeight] = {}

    def latents(
        self,
        streams: LatentStreams,
        nodes: Sequence[Node],
        infos: Sequence[WeightInfo],
        decoders: Sequence[Decoder],
        threads: int,
    ) -> None:
        """See :class:`WeightSink`."""
        shapes = [slice_shape(_weighted(n), i.shape[2]) for n, i in zip(nodes, infos, strict=True)]
        packed = decode_packed(streams, infos, shapes, decoders, threads)
        self.packed.update(zip((node.name for node in nodes), packed, strict=True))
        self._latent.update(node.name for node in nodes)

    def dense(self, node: Node, values: NDArray[np.float32]) -> int:
        """See :class:`WeightSink`."""
        if isinstance(node.op, Constant):
            constant = self._constants[node.name] = DenseWeight(values.astype(np.float32))
            return count_nonzero_slices(constant)
        op = _weighted(node)
        shape = slice_shape(op, dense_slice_length(op))
        slices = values.reshape(shape.filters, shape.slices, shape.length)
        weight = _core.pack_dense(shape.as_tuple(), slices)
        self.packed[node.name] = weight
        return weight.slices

    def weight(self, node: Node) -> Weight | None:
        """See :class:`WeightSink`."""
        return self._constants.get(node.name, node.weight)

    def live(self, name: str) -> Mask | None:
        """See :class:`WeightSink`."""
        return self.packed[name].live_filters() if name in self._latent else None


def _weighted(node: Node) -> Weighted:
    assert isinstance(node.op, Weighted)
    return node.op


__all__ = ["GraphSink", "PackedSink", "WeightSink"]
