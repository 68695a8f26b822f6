"""The convolutions of ResNet-50 as the GPU kernels see them, at the density of all our figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lilnetx.bench.layers import LayerShape, layer_graph, layer_shapes
from lilnetx.graph.ir import LatentWeight

DENSITY = 0.19
# Input channels of a 1x1 slice, as in the other figures: single weights.
SLICE_1X1 = 1
BATCHES = (1, 64)
DTYPES = ("float32", "float16")


@dataclass(frozen=True)
class GpuLayer:
    """One layer at one batch and precision.

    Attributes:
        shape: The layer.
        problem: The same for the cost model, a ``ConvProblem`` of the kernels.
        reads: bool, shape ``(F, C)``: whether a filter reads a channel.
    """

    shape: LayerShape
    problem: Any
    reads: NDArray[np.bool_]


def gpu_layers() -> Iterator[GpuLayer]:
    """Every distinct convolution but the stem, for each batch and precision."""
    from lilnetx.kernels.problem import ConvProblem

    for shape in layer_shapes("resnet50"):
        if shape.first:
            continue
        graph = layer_graph(shape, DENSITY, slice_1x1=SLICE_1X1)
        (node,) = graph.nodes
        assert isinstance(node.weight, LatentWeight)
        op = shape.op
        reads = node.weight.latents.any(axis=2)
        slices = int(reads.sum())
        if op.kernel == (1, 1):
            reads = reads.repeat(SLICE_1X1, axis=1)
        for batch in BATCHES:
            for dtype in DTYPES:
                problem = ConvProblem(
                    batch,
                    op.in_channels,
                    shape.size,
                    op.out_channels,
                    op.kernel,
                    op.stride,
                    op.padding,
                    op.dilation,
                    op.groups,
                    SLICE_1X1 if op.kernel == (1, 1) else 1,
                    slices,
                    dtype,
                )
                yield GpuLayer(shape, problem, reads[:, : op.in_channels])
