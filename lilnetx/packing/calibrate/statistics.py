"""What calibration images tell of each weighted layer.

A layer's output is its weight matrix times *columns*: what lies under the kernel at one output
position. H, the mean over images of the sum over positions of ``x x^T``, says which changes of
weights the layer's output would show. How much the network's output shows of it is one number a
filter: the mean square of the gradient with respect to the filter's weights, by the trace of H.
Both together are the Kronecker-factored curvature (Martens and Grosse 2015; Grosse and Martens
2016), of which only the diagonal of the outputs' factor is kept.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lilnetx.errors import CalibrationError
from lilnetx.graph.ir import Conv2d, ConvTranspose2d, Graph, Linear, Node, Weighted
from lilnetx.graph.slices import dense_slice_length
from lilnetx.graph.to_torch import to_torch
from lilnetx.graph.weights import is_pointwise, transposed_weight

Images = NDArray[np.float32]

# Where images are large, columns are many and neighbours alike: so many of an image are enough.
_POSITIONS = 200
# Wider layers are cut into blocks of columns, between which correlations are not kept.
MAX_COLUMNS = 4608
_BATCH = 8


@dataclass
class LayerStatistics:
    """What is known of one layer; means over images of sums over positions.

    Attributes:
        blocks: First and last (exclusive) column of each block.
        moments: H of each block, float64, ``(groups, N, N)``; columns are input channels, and
            kernel taps within them.
        sums: Of the columns, float64, ``(groups, columns)``.
        positions: Output positions of an image.
        samples: Columns that all this is a mean of.
        importance: Mean square of the gradient with respect to a filter's weights, summed over
            them, by the trace of its H: float64, ``(F,)``.
    """

    blocks: list[tuple[int, int]]
    moments: list[NDArray[np.float64]]
    sums: NDArray[np.float64]
    positions: float = 0.0
    samples: int = 0
    importance: NDArray[np.float64] | None = None


def slice_length(op: Weighted, slice_1x1: int) -> int:
    """Weights in a slice: a kernel, or ``slice_1x1`` input channels of a pointwise layer."""
    return slice_1x1 if is_pointwise(op) else dense_slice_length(op)


def weighted_nodes(graph: Graph) -> list[Node]:
    """The nodes whose weights are to become integers."""
    return [node for node in graph.nodes if isinstance(node.op, Weighted)]


def groups_of(op: Weighted) -> int:
    """Groups of channels that do not mix."""
    return 1 if isinstance(op, Linear) else op.groups


def batches(images: Images, size: int = _BATCH) -> Iterator[Tensor]:
    """The images as tensors, ``size`` at a time."""
    for first in range(0, len(images), size):
        yield torch.from_numpy(images[first : first + size])


def outputs_of(network: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """The network's outputs, also where there is only one."""
    y = network(x)
    return y if isinstance(y, tuple) else (y,)


def collect_moments(
    graph: Graph,
    images: Images,
    slice_1x1: int,
    seed: int,
    progress: Callable[[float], None],
) -> dict[str, LayerStatistics]:
    """Second moments of all weighted layers' inputs, by name.

    Args:
        graph: The network.
        images: ``(N, *input_shape)``.
        slice_1x1: Input channels of a slice of pointwise layers: no block ends within a slice.
        seed: Of the positions that are looked at.
        progress: Called with the share of the images done.

    Raises:
        CalibrationError: A layer's inputs are too large for their squares, or no numbers.
    """
    network = to_torch(graph)
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, LayerStatistics] = {}
    for node in weighted_nodes(graph):
        assert isinstance(node.op, Weighted)
        layer = network.get_submodule(node.name)
        length = slice_length(node.op, slice_1x1)
        layer.register_forward_hook(_collector(node.name, node.op, length, found, generator))
    # What overflows is found below.
    with torch.no_grad(), np.errstate(over="ignore", invalid="ignore"):
        for done, batch in enumerate(batches(images), start=1):
            network(batch)
            progress(min(1.0, done * _BATCH / len(images)))
    for name, statistics in found.items():
        for array in (*statistics.moments, statistics.sums):
            array /= len(images)
            if not np.isfinite(array).all():
                raise CalibrationError(
                    f"layer {name!r}: the squares of its inputs over the calibration images are "
                    "beyond float32; are the images normalised as the network takes them?"
                )
        statistics.positions /= len(images)
    return found


def _collector(
    name: str,
    op: Weighted,
    length: int,
    found: dict[str, LayerStatistics],
    generator: torch.Generator,
) -> Callable[..., None]:
    """A hook that adds a batch to a layer's statistics."""
    groups = groups_of(op)

    def collect(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        columns, positions = _some_columns(op, inputs[0], generator)
        images, rows, taken = columns.shape
        weight = positions / taken
        # (groups, columns, images and positions)
        x = columns.reshape(images, groups, rows // groups, taken).permute(1, 2, 0, 3)
        x = x.reshape(groups, rows // groups, -1)
        statistics = found.get(name)
        if statistics is None:
            statistics = found[name] = _empty(groups, x.shape[1], length)
        for moment, (first, last) in zip(statistics.moments, statistics.blocks, strict=True):
            part = x[:, first:last]
            moment += weight * (part @ part.mT).double().numpy()
        statistics.sums += weight * x.sum(2).double().numpy()
        statistics.positions += positions * images
        statistics.samples += x.shape[2]

    return collect


def _empty(groups: int, columns: int, length: int) -> LayerStatistics:
    size = max(1, MAX_COLUMNS // length) * length
    blocks = [(first, min(first + size, columns)) for first in range(0, columns, size)]
    moments = [np.zeros((groups, last - first, last - first)) for first, last in blocks]
    return LayerStatistics(blocks, moments, np.zeros((groups, columns)))


def _some_columns(op: Weighted, x: Tensor, generator: torch.Generator) -> tuple[Tensor, int]:
    """Columns at some of the output positions of each image, and how many positions there are.

    They lie on a grid as coarse as it must be, at a random place of it.
    """
    if isinstance(op, Linear):
        columns = input_columns(op, x)
        return columns, columns.shape[2]
    if isinstance(op, ConvTranspose2d):
        op, x = _as_convolution(op, x)
    _, height, width = op.output_shape([tuple(x.shape[1:])])
    apart = max(1, math.isqrt(height * width // _POSITIONS))
    if apart == 1:
        return input_columns(op, x), height * width
    x = functional.pad(x, (op.padding[1], op.padding[1], op.padding[0], op.padding[0]))
    limits = (min(apart, height), min(apart, width))
    first = [int(torch.randint(limit, (), generator=generator)) for limit in limits]
    x = x[:, :, first[0] * op.stride[0] :, first[1] * op.stride[1] :]
    stride = (op.stride[0] * apart, op.stride[1] * apart)
    coarse = dataclasses.replace(op, padding=(0, 0), stride=stride)
    return input_columns(coarse, x), height * width


def input_columns(op: Weighted, x: Tensor) -> Tensor:
    """What a layer's weight matrix multiplies.

    Args:
        op: The layer.
        x: Its input.

    Returns:
        Shape ``(N, C * Kh * Kw, positions)``, or ``(N, in, positions)`` of a linear layer.
    """
    if isinstance(op, Linear):
        return x.reshape(x.shape[0], -1, op.in_features).mT
    if isinstance(op, ConvTranspose2d):
        conv, spread = _as_convolution(op, x)
        return input_columns(conv, spread).flip(2)  # the pixels were turned round
    if op.kernel == (1, 1):
        x = functional.pad(x, (op.padding[1], op.padding[1], op.padding[0], op.padding[0]))
        return x[:, :, :: op.stride[0], :: op.stride[1]].flatten(2)
    return functional.unfold(x, op.kernel, op.dilation, op.padding, op.stride)


def _as_convolution(op: ConvTranspose2d, x: Tensor) -> tuple[Conv2d, Tensor]:
    """A transposed convolution is a plain one of the pixels spread out, by the kernel turned round.

    Both are turned here: the pixels, so that the kernel stays as it is.
    """
    images, channels, height, width = x.shape
    spread = x.new_zeros(
        images, channels, (height - 1) * op.stride[0] + 1, (width - 1) * op.stride[1] + 1
    )
    spread[:, :, :: op.stride[0], :: op.stride[1]] = x
    pads = []
    for axis in (1, 0):
        before = op.dilation[axis] * (op.kernel[axis] - 1) - op.padding[axis]
        pads += [before + op.output_padding[axis], before]
    conv = Conv2d(
        op.in_channels, op.out_channels, op.kernel, (1, 1), (0, 0), op.dilation, op.groups
    )
    return conv, functional.pad(spread.flip(2, 3), pads)


def collect_importance(
    graph: Graph,
    images: Images,
    loss: Callable[[tuple[Tensor, ...]], Tensor],
    statistics: dict[str, LayerStatistics],
    progress: Callable[[float], None],
) -> None:
    """Adds to each layer's statistics how much its filters matter.

    Args:
        graph: The network.
        images: ``(N, *input_shape)``.
        loss: Takes the outputs of a few images to a sum of random terms, one for each image,
            independent and of zero-mean gradients, whose mean square is what a change costs.
        statistics: Of :func:`collect_moments`.
        progress: Called with the share of the images done.
    """
    network = to_torch(graph)
    nodes = weighted_nodes(graph)
    weights: list[Tensor] = []
    for node in nodes:
        weight: Any = network.get_submodule(node.name).weight
        weights.append(weight.requires_grad_(True))
    squares = [torch.zeros_like(weight) for weight in weights]
    for done, batch in enumerate(batches(images), start=1):
        network.zero_grad(set_to_none=True)
        loss(outputs_of(network, batch)).backward()  # type: ignore[no-untyped-call]
        for square, weight in zip(squares, weights, strict=True):
            if weight.grad is not None:
                square += weight.grad.square()
        progress(min(1.0, done * _BATCH / len(images)))
    for node, square in zip(nodes, squares, strict=True):
        assert isinstance(node.op, Weighted)
        values: NDArray[np.float32] = square.numpy()
        if isinstance(node.op, ConvTranspose2d):
            values = transposed_weight(values, node.op.groups)
        known = statistics[node.name]
        traces = sum(np.trace(moment, axis1=1, axis2=2) for moment in known.moments)
        by_group = values.astype(np.float64).reshape(
            groups_of(node.op), len(values) // groups_of(node.op), -1
        )
        share = by_group.sum(axis=2) / len(images) / np.maximum(traces, 1e-30)[:, None]
        known.importance = share.reshape(-1)


__all__ = [
    "Images",
    "LayerStatistics",
    "batches",
    "collect_importance",
    "collect_moments",
    "groups_of",
    "outputs_of",
    "slice_length",
    "weighted_nodes",
]
