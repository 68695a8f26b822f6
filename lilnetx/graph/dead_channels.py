"""Channels that change nothing: removed through the whole graph, before it is planned.

A filter without weights gives a constant, act(bias). A channel that is always zero adds nothing to
any convolution; one of another constant adds a constant to convolutions without padding and to
linear layers, which their biases take over. Then nothing reads that channel, nor what it alone was
computed from, and so on. Element-wise operations tie the channels of what they read and yield: a
channel of a residual sum goes only where nothing needs it on any side. What the network takes and
returns is never changed.

All of it is exact, but for the rounding of the constants that biases take over: those are summed in
float64 and rounded to float32 once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from lilnetx.graph.activations import evaluate_activation
from lilnetx.graph.ir import (
    Activation,
    AdaptivePool2d,
    Add,
    AvgPool2d,
    Binary,
    Concat,
    Conv2d,
    DenseWeight,
    Flatten,
    GlobalAvgPool,
    Graph,
    Linear,
    Node,
    Pool2d,
    Shape,
    Weighted,
)
from lilnetx.graph.live import live_nodes
from lilnetx.graph.weights import weight_shape

Mask = NDArray[np.bool_]
Constants = NDArray[np.float64]
Vector = NDArray[np.float32]


class SparseWeight(Protocol):
    """What the pass asks of a weight of F filters and C input channels, all groups together."""

    def computed_weights(self, scale: Vector | None) -> int:
        """Number of weights that are multiplied."""

    def live_filters(self) -> NDArray[np.uint8]:
        """Shape ``(F,)``: which filters have a nonzero slice."""

    def reads(self, filters: Mask, scale: Vector | None) -> NDArray[np.uint8]:
        """Shape ``(C,)``: which channels the nonzero slices of some filters read."""

    def fold(
        self, constants: Constants, scale: Vector | None
    ) -> tuple[Constants, NDArray[np.uint8]]:
        """Shape ``(F,)`` each: what channels of known constants (others: NaN) add to each filter,
        and whether it reads other channels.
        """  # noqa: D205

    def restrict(self, filters: Mask, channels: Mask, read: Mask) -> Self:
        """Without some filters and channels, and without slices that read some channels."""


@dataclass(frozen=True)
class Removal:
    """What was removed.

    Attributes:
        channels: Filters of all convolutions and linear layers, before.
        removed_channels: How many of them are gone.
        removed_weights: Weights that were multiplied and are gone.
    """

    channels: int
    removed_channels: int
    removed_weights: int


# Each channel of what they yield depends on that channel of what they read.
_CHANNEL_WISE = (Pool2d, AdaptivePool2d, GlobalAvgPool, Binary, Activation)

W = TypeVar("W", bound=SparseWeight)


def remove_dead_channels(
    graph: Graph, shapes: Mapping[str, Shape], weights: Mapping[str, W]
) -> tuple[Graph, dict[str, W], Removal]:
    """Removes channels that change nothing, and nodes that no output depends on.

    Args:
        graph: A consistent network. Of its weights only the shapes count.
        shapes: Shapes of its values.
        weights: The weight of each weighted node, by the node's name.

    Returns:
        The network, whose weights are placeholders where something was removed; its weights; and
        what was removed.
    """
    graph = replace(graph, nodes=tuple(live_nodes(graph)))
    shapes = {name: shapes[name] for name in (*graph.inputs, *(n.name for n in graph.nodes))}
    constants = _constants(graph, shapes, weights)
    kept = _needed(graph, shapes, weights, constants)
    nodes: list[Node] = []
    smaller: dict[str, W] = {}
    channels = removed = removed_weights = 0
    for node in graph.nodes:
        if _by_channels(node, shapes):
            source = node.inputs[0]
            channels += len(kept[node.name])
            removed += int(np.count_nonzero(~kept[node.name]))
            before, full = node, weights[node.name]
            node, weight = _restrict(node, full, constants[source], kept[source], kept[node.name])
            if weight is not full:
                removed_weights += full.computed_weights(before.scale)
                removed_weights -= weight.computed_weights(node.scale)
            smaller[node.name] = weight
        elif isinstance(node.op, Weighted):
            smaller[node.name] = weights[node.name]
        nodes.append(node)
    graph = replace(graph, nodes=tuple(nodes))
    return graph, smaller, Removal(channels, removed, removed_weights)


def _channels(shape: Shape) -> int:
    """Length of the first axis, whatever it is."""
    return shape[0] if shape else 1


def _by_channels(node: Node, shapes: Mapping[str, Shape]) -> bool:
    """Whether a node has weights between the first axes of what it reads and yields."""
    if isinstance(node.op, Linear):
        return len(shapes[node.inputs[0]]) == 1
    return isinstance(node.op, Conv2d)


def _ties_channels(node: Node, shapes: Mapping[str, Shape]) -> bool:
    """Whether channel c of what a node yields depends on channel c of what it reads, and no other.

    Where shapes broadcast, so do all of them but the first axis.
    """
    all_shapes = [shapes[name] for name in (node.name, *node.inputs)]
    alike = {(len(shape), _channels(shape)) for shape in all_shapes}
    return isinstance(node.op, _CHANNEL_WISE) and len(alike) == 1


def _constants(
    graph: Graph, shapes: Mapping[str, Shape], weights: Mapping[str, SparseWeight]
) -> dict[str, Constants]:
    """For each value the constant of each channel, NaN where it is not known to be constant."""
    found = {name: np.full(_channels(shape), np.nan) for name, shape in graph.inputs.items()}
    for node in graph.nodes:
        inputs = [found[name] for name in node.inputs]
        match node.op:
            case Conv2d() | Linear() if _by_channels(node, shapes):
                value = _constant_filters(node, weights[node.name], inputs[0])
            case Activation() as op:
                value = evaluate_activation(op, inputs[0])
            case Add() if _ties_channels(node, shapes):
                value = inputs[0] + inputs[1]
            case AvgPool2d(count_include_pad=True) as op if max(*op.padding, *op.ends) > 0:
                value = np.where(inputs[0] == 0.0, 0.0, np.nan)
            case Pool2d() | AdaptivePool2d() | GlobalAvgPool():
                value = inputs[0]
            case Concat(axis=0):
                value = np.concatenate(inputs)
            case Flatten():
                value = np.repeat(inputs[0], _pixels(shapes[node.inputs[0]]))
            case _:
                value = np.full(_channels(shapes[node.name]), np.nan)
        found[node.name] = np.where(np.isfinite(value), value, np.nan)
    return found


def _pixels(shape: Shape) -> int:
    return int(np.prod(shape[1:], dtype=np.int64))


def _foldable(op: Conv2d | Linear, constants: Constants) -> Constants:
    """The constants that add the same to all pixels of the output; NaN for others."""
    if isinstance(op, Linear) or op.padding == (0, 0):
        return constants
    return np.where(constants == 0.0, 0.0, np.nan)


def _constant_filters(node: Node, weight: SparseWeight, inputs: Constants) -> Constants:
    assert isinstance(node.op, Conv2d | Linear)
    bias = _bias(node)
    foldable = _foldable(node.op, inputs)
    if np.isnan(foldable).all():
        live = weight.live_filters() != 0
        if node.scale is not None:
            live &= node.scale != 0
        return np.where(live, np.nan, bias)
    sums, rest = weight.fold(foldable, node.scale)
    return np.where(rest != 0, np.nan, bias + sums)


def _bias(node: Node) -> Constants:
    assert isinstance(node.op, Conv2d | Linear)
    if node.bias is None:
        return np.zeros(weight_shape(node.op)[0])
    return node.bias.astype(np.float64)


def _needed(
    graph: Graph,
    shapes: Mapping[str, Shape],
    weights: Mapping[str, SparseWeight],
    constants: Mapping[str, Constants],
) -> dict[str, Mask]:
    """For each value the channels that must stay: the least set that all operations agree on."""
    need = {name: np.zeros(_channels(shape), np.bool_) for name, shape in shapes.items()}
    for name in (*graph.inputs, *graph.outputs):
        need[name][:] = True
    while True:
        while _spread(graph, shapes, weights, constants, need):
            pass
        empty = [name for name, mask in need.items() if not mask.any()]
        if not empty:
            return need
        # Every value keeps a channel; the first empty one settles those that are tied to it.
        need[empty[0]][0] = True


def _spread(
    graph: Graph,
    shapes: Mapping[str, Shape],
    weights: Mapping[str, SparseWeight],
    constants: Mapping[str, Constants],
    need: Mapping[str, Mask],
) -> bool:
    """Carries needs over each operation, from the last to the first; whether anything changed."""
    changed = False

    def require(name: str, mask: Mask) -> None:
        nonlocal changed
        changed |= bool((mask & ~need[name]).any())
        need[name][:] |= mask

    for node in reversed(graph.nodes):
        source = node.inputs[0] if node.inputs else node.name
        out = need[node.name]
        match node.op:
            case Linear() if _by_channels(node, shapes):
                require(source, _reads(node, weights[node.name], out, constants[source]))
            case Conv2d(groups=1):
                require(source, _reads(node, weights[node.name], out, constants[source]))
            case Conv2d() as op if op.groups == op.in_channels == op.out_channels:
                require(node.name, need[source])
                require(source, out)
            case Flatten():
                pixels = _pixels(shapes[source])
                require(source, np.any(out.reshape(-1, pixels), axis=1))
                require(node.name, np.repeat(need[source], pixels))
            case Concat(axis=0):
                for name, begin in _places(node, shapes):
                    end = begin + len(need[name])
                    require(name, out[begin:end])
                    mask = np.zeros_like(out)
                    mask[begin:end] = need[name]
                    require(node.name, mask)
            case _ if _ties_channels(node, shapes):
                for name in node.inputs:
                    require(node.name, need[name])
                for name in node.inputs:
                    require(name, out)
            case _:
                # Convolutions of several groups, and whatever else: all channels as they are.
                for name in (node.name, *node.inputs):
                    require(name, np.ones_like(need[name]))
    return changed


def _places(node: Node, shapes: Mapping[str, Shape]) -> list[tuple[str, int]]:
    """What a concatenation of channels reads, each with its first channel in the result."""
    begin, places = 0, []
    for name in node.inputs:
        places.append((name, begin))
        begin += _channels(shapes[name])
    return places


def _reads(node: Node, weight: SparseWeight, filters: Mask, inputs: Constants) -> Mask:
    assert isinstance(node.op, Conv2d | Linear)
    mask: Mask = weight.reads(filters, node.scale) != 0
    return mask & np.isnan(_foldable(node.op, inputs))


def _restrict(
    node: Node, weight: W, inputs: Constants, channels: Mask, filters: Mask
) -> tuple[Node, W]:
    """A weighted node without the channels and filters that do not stay."""
    op = node.op
    assert isinstance(op, Conv2d | Linear)
    foldable = _foldable(op, inputs)
    read = np.isnan(foldable)
    if channels.all() and filters.all() and read.all():
        return node, weight
    bias = _bias(node)
    if np.nan_to_num(foldable).any():
        bias = bias + weight.fold(foldable, node.scale)[0]
    count_in, count_out = int(channels.sum()), int(filters.sum())
    small: Conv2d | Linear
    if isinstance(op, Linear):
        small = Linear(count_in, count_out)
    else:
        groups = count_in if op.groups == op.in_channels and op.groups > 1 else op.groups
        small = replace(op, in_channels=count_in, out_channels=count_out, groups=groups)
    placeholder = np.broadcast_to(np.float32(0), weight_shape(small))
    return (
        replace(
            node,
            op=small,
            weight=DenseWeight(placeholder),
            scale=None if node.scale is None else node.scale[filters],
            bias=bias[filters].astype(np.float32),
        ),
        weight.restrict(filters, channels, read),
    )


__all__ = ["Removal", "SparseWeight", "remove_dead_channels"]
