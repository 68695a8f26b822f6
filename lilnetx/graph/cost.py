"""What each weighted layer of a network costs, before and after zero slices are left out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lilnetx.errors import GraphError
from lilnetx.graph.ir import (
    ConvTranspose2d,
    Graph,
    LatentWeight,
    Linear,
    Node,
    Pair,
    Shape,
    Weighted,
)
from lilnetx.graph.shapes import infer_shapes
from lilnetx.graph.weights import is_pointwise, weight_shape


@dataclass(frozen=True)
class LayerStats:
    """Size and cost of one convolution or linear layer, for one image.

    Attributes:
        name: Name of the node.
        op: ``"Conv2d"``, ``"ConvTranspose2d"`` or ``"Linear"``.
        kernel: ``(Kh, Kw)``; ``(1, 1)`` for linear layers.
        slice_length: Weights of a slice: ``Kh*Kw``, or g for 1×1 and linear layers (1 if dense).
        slices: Number of slices.
        zero_slices: How many of them are zero as a whole.
        parameters: Weights of the dense layer; scale and bias are not counted.
        macs: Multiply-accumulates of the dense layer; padding pixels count, as usual.
        macs_left: The same without zero slices; a nonzero slice counts with all its weights.
    """

    name: str
    op: str
    kernel: Pair
    slice_length: int
    slices: int
    zero_slices: int
    parameters: int
    macs: int
    macs_left: int

    @property
    def density(self) -> float:
        """Share of slices that are not zero, 0 to 1."""
        return 1.0 - self.zero_slices / self.slices


def layer_stats(graph: Graph) -> list[LayerStats]:
    """Statistics of each convolution and linear layer, in execution order.

    Raises:
        GraphError: The graph contradicts itself.
    """
    shapes = infer_shapes(graph)
    stats = []
    for node in graph.nodes:
        if not isinstance(node.op, Weighted):
            continue
        pixels = weight_uses(node.op, shapes[node.inputs[0]], shapes[node.name])
        parameters = int(np.prod(weight_shape(node.op), dtype=np.int64))
        slice_length = _slices(node).shape[2]
        nonzero = nonzero_slices(node)
        left = int(nonzero.sum()) * slice_length
        padding = nonzero.shape[1] * slice_length - parameters // nonzero.shape[0]
        if is_pointwise(node.op) and padding:
            left -= int(nonzero[:, -1].sum()) * padding  # channels that do not exist
        stats.append(
            LayerStats(
                name=node.name,
                op=type(node.op).__name__,
                kernel=(1, 1) if isinstance(node.op, Linear) else node.op.kernel,
                slice_length=slice_length,
                slices=nonzero.size,
                zero_slices=nonzero.size - int(nonzero.sum()),
                parameters=parameters,
                macs=parameters * pixels,
                macs_left=left * pixels,
            )
        )
    return stats


def weight_uses(op: Weighted, source: Shape, out: Shape) -> int:
    """How often each weight is used for one image."""
    if isinstance(op, Linear):
        return math.prod(out[:-1])
    return math.prod((source if isinstance(op, ConvTranspose2d) else out)[1:])


def nonzero_slices(node: Node) -> NDArray[np.bool_]:
    """Which slices of a weighted node are not all zero: bool, shape ``(F, S)``.

    A dense weight is looked at kernel by kernel; 1×1 and linear ones weight by weight.
    """
    return np.asarray(_slices(node).any(axis=2))


def _slices(node: Node) -> NDArray[np.generic]:
    """The weight of a node as ``(F, S, n)``."""
    if isinstance(node.weight, LatentWeight):
        return node.weight.latents
    if node.weight is None:
        raise GraphError(f"node {node.name!r} has no weight")
    values = node.weight.values
    return values.reshape(*values.shape[:2], -1)


__all__ = ["LayerStats", "layer_stats", "nonzero_slices", "weight_uses"]
