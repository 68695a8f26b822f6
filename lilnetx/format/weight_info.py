"""What the file's graph says about a weight before any weight is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lilnetx.graph.ir import (
    ChannelAffine,
    DenseWeight,
    Graph,
    LatentWeight,
    Node,
    Weight,
    Weighted,
)
from lilnetx.graph.weights import latent_shape, weight_shape


@dataclass(frozen=True)
class WeightInfo:
    """One weight as the graph section describes it.

    Attributes:
        dense: Whether it is stored as plain float32 instead of latents.
        shape: Of the latents ``(F, S, n)``, or of the dense float32 values.
        slices: Number of slices. A dense weight's slice is one kernel, or one weight of a
            pointwise layer; of constants all that have the same first two indices.
        nonzero: How many of them have a value other than zero.
        decoder: Index of the decoder in file order; 0 for dense weights.
    """

    dense: bool
    shape: tuple[int, ...]
    slices: int
    nonzero: int
    decoder: int = 0

    @property
    def size(self) -> int:
        """Number of stored integers or floats."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Skeleton:
    """A graph with the shapes of its weights, scales and biases but not their values.

    Attributes:
        graph: Weights, scales, biases and decoder matrices are read-only zeros that take no memory.
        weights: By node name, in order.
    """

    graph: Graph
    weights: dict[str, WeightInfo]


def placeholder(shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
    """A read-only array of zeros of any shape that takes no memory."""
    return np.broadcast_to(dtype(0), shape)


def count_nonzero_slices(weight: Weight) -> int:
    """How many slices of a weight hold a value other than zero."""
    if isinstance(weight, LatentWeight):
        return int(np.count_nonzero(weight.latents.any(axis=2)))
    values = weight.values
    if values.ndim < 2:
        return int(np.count_nonzero(values))
    kernels = values.reshape(*values.shape[:2], -1)
    return int(np.count_nonzero(kernels.any(axis=2)))


def weight_info(node: Node, decoders: list[str]) -> WeightInfo:
    """The description of a node's weight; the node must have one."""
    weight = node.weight
    nonzero = count_nonzero_slices(weight) if weight is not None else 0
    if isinstance(weight, DenseWeight):
        return dense_info(weight.values.shape, nonzero)
    assert isinstance(weight, LatentWeight)
    op = node.op
    assert isinstance(op, Weighted)
    return latent_info(op, weight.latents.shape[2], nonzero, decoders.index(weight.decoder))


def dense_info(shape: tuple[int, ...], nonzero: int) -> WeightInfo:
    """The description of a dense weight."""
    return WeightInfo(True, shape, math.prod(shape[:2]), nonzero)


def latent_info(op: Weighted, length: int, nonzero: int, decoder: int) -> WeightInfo:
    """The description of a latent weight with slices of ``length`` integers."""
    shape = latent_shape(op, length)
    return WeightInfo(False, shape, shape[0] * shape[1], nonzero, decoder)


def filters(op: Weighted | ChannelAffine) -> int:
    """Number of filters or channels, and the length of scale and bias."""
    return op.channels if isinstance(op, ChannelAffine) else weight_shape(op)[0]
