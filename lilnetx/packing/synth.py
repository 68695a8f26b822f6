"""Networks with random sparse latents, for timing only."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from lilnetx import __version__
from lilnetx.errors import UsageError
from lilnetx.format.layout import MAX_SLICE_LENGTH
from lilnetx.graph.ir import (
    Activation,
    Add,
    Conv2d,
    Decoder,
    Graph,
    LatentWeight,
    Linear,
    Node,
    Op,
    Shape,
)
from lilnetx.graph.shapes import infer_shapes
from lilnetx.graph.weights import decode_slices, is_pointwise, latent_shape
from lilnetx.graph.zoo import ARCHITECTURES
from lilnetx.packing.side import snap

_EXPONENT = 12
_DIAGONAL = 0.125
_SIDE_BITS = 12
# Latents of trained networks are mostly -1, 0 and 1.
_LATENTS = np.array([-3, -2, -1, 0, 1, 2, 3], np.int32)
_PROBABILITIES = np.array([0.01, 0.04, 0.2, 0.5, 0.2, 0.04, 0.01])
# What a residual branch adds, relative to the trunk: 16 blocks raise the variance by half.
_BRANCH_GAIN = 0.25


def synth(
    architecture: str,
    *,
    density: float,
    slice_1x1: int = 1,
    seed: int = 0,
    input_shape: Shape | None = None,
) -> Graph:
    """A network of random latents with an exact share of nonzero slices.

    Convolutions and linear layers have ``round(density * slices)`` nonzero slices, at random places
    of the layer. Three kinds have no zero slice: the first convolution; the last linear layer; and
    depthwise convolutions, in which a filter is a single slice, so that a zero one would take the
    whole channel out of the network. Scales follow the weights that are there, so activations stay
    of order 1 through the network.

    Args:
        architecture: ``"resnet50"``, ``"resnet18"``, ``"vgg16_bn"``, ``"mobilenet_v2"`` (ImageNet
            form) or ``"resnet20"`` (CIFAR form).
        density: Share of nonzero slices, 0 to 1.
        slice_1x1: Input channels of a slice of 1×1 convolutions and linear layers.
        seed: Of the random numbers; the same seed gives the same network.
        input_shape: ``(C, H, W)``; None for the architecture's own.

    Returns:
        A graph with ``synthetic`` set.

    Raises:
        UsageError: Unknown architecture, or a number out of range.
        GraphError: The input is too small for the architecture.
    """
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise UsageError(f"unknown architecture {architecture!r}: expected one of {known}")
    if not 0.0 <= density <= 1.0:
        raise UsageError(f"density is {density}, expected 0 to 1")
    if not 1 <= slice_1x1 <= MAX_SLICE_LENGTH:
        raise UsageError(f"slices of {slice_1x1} input channels: expected 1 to {MAX_SLICE_LENGTH}")
    if seed < 0:
        raise UsageError(f"seed is {seed}, expected at least 0")
    build = ARCHITECTURES[architecture]
    graph = build() if input_shape is None else build(input_shape)
    rng = np.random.default_rng(seed)
    branch_ends = {node.inputs[0] for node in graph.nodes if node.name.endswith(".add")}
    weighted = [node.name for node in graph.nodes if isinstance(node.op, Conv2d | Linear)]
    decoders: dict[str, Decoder] = {}
    rectified: dict[str, bool] = {}  # whether an activation has been, since the last convolution
    nodes = []
    for node in graph.nodes:
        if isinstance(node.op, Conv2d | Linear):
            ends = node.name in (weighted[0], weighted[-1])
            depthwise = isinstance(node.op, Conv2d) and node.op.groups == node.op.in_channels > 1
            decoder = _decoder(node.op, slice_1x1, decoders, rng)
            latents = _latents(node.op, decoder, 1.0 if ends or depthwise else density, rng)
            gain = _BRANCH_GAIN if node.name in branch_ends else 1.0
            power = 0.5 if rectified.get(node.inputs[0], False) else 1.0
            node = _with_weights(node, latents, decoder, gain, power, rng)
        rectified[node.name] = isinstance(node.op, Activation) or (
            not isinstance(node.op, Conv2d | Linear | Add) and rectified.get(node.inputs[0], False)
        )
        nodes.append(node)
    meta = {
        "architecture": architecture,
        "density": density,
        "producer": f"lilnetx {__version__}",
        "seed": seed,
        "slice_1x1": slice_1x1,
    }
    graph = dataclasses.replace(
        graph, nodes=tuple(nodes), decoders=decoders, synthetic=True, meta=meta
    )
    infer_shapes(graph)
    return graph


def synth_node(
    node: Node, density: float, slice_1x1: int, rng: np.random.Generator
) -> tuple[Node, Decoder]:
    """One convolution or linear layer with such weights, for inputs of variance 1.

    Args:
        node: The layer; what it has of weights is replaced.
        density: Share of nonzero slices, 0 to 1.
        slice_1x1: Input channels of a slice of 1×1 convolutions and linear layers.
        rng: Source of the random numbers.

    Returns:
        The layer, and the decoder that its weight names.
    """
    assert isinstance(node.op, Conv2d | Linear)
    decoder = _decoder(node.op, slice_1x1, {}, rng)
    latents = _latents(node.op, decoder, density, rng)
    return _with_weights(node, latents, decoder, 1.0, 1.0, rng), decoder


def _decoder(
    op: Op, slice_1x1: int, decoders: dict[str, Decoder], rng: np.random.Generator
) -> Decoder:
    """The decoder of an operation's kernel-size group, made at its first use."""
    if isinstance(op, Conv2d) and not is_pointwise(op):
        n, name = math.prod(op.kernel), f"{op.kernel[0]}x{op.kernel[1]}"
    else:
        n = slice_1x1
        name = ("linear" if isinstance(op, Linear) else "1x1") + (f"g{n}" if n > 1 else "")
    if name not in decoders:
        # Off the diagonal little enough that the matrix has an inverse: no slice decodes to zero.
        matrix = np.eye(n) + rng.normal(0.0, 0.3 / n, (n, n))
        integers = np.rint(matrix * _DIAGONAL * 2**_EXPONENT).astype(np.int32)
        decoders[name] = Decoder(name, integers, _EXPONENT)
    return decoders[name]


def _latents(
    op: Conv2d | Linear, decoder: Decoder, density: float, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Random latents ``(F, S, n)`` of which ``round(density * F * S)`` slices are not zero."""
    filters, slices, n = latent_shape(op, decoder.matrix.shape[0])
    total = filters * slices
    count = round(density * total)
    values = rng.choice(_LATENTS, size=(count, n), p=_PROBABILITIES)
    empty = np.flatnonzero(~values.any(axis=1))
    values[empty, rng.integers(0, n, empty.size)] = rng.choice(_LATENTS[[2, 4]], empty.size)
    latents = np.zeros((total, n), np.int32)
    latents[rng.choice(total, count, replace=False)] = values
    return _clear_padding(latents.reshape(filters, slices, n), op)


def _clear_padding(latents: NDArray[np.int32], op: Conv2d | Linear) -> NDArray[np.int32]:
    """Zeros for input channels that do not exist, without emptying a slice."""
    channels = op.in_features if isinstance(op, Linear) else op.in_channels // op.groups
    extra = latents.shape[1] * latents.shape[2] - channels
    if is_pointwise(op) and extra > 0:
        last = latents[:, -1]
        occupied = last.any(axis=1)
        last[:, -extra:] = 0
        last[occupied & ~last.any(axis=1), 0] = 1
    return latents


def _with_weights(
    node: Node,
    latents: NDArray[np.int32],
    decoder: Decoder,
    gain: float,
    input_power: float,
    rng: np.random.Generator,
) -> Node:
    """The node with a scale for which its output has about the standard deviation ``gain``.

    ``input_power`` is the mean square of the input: 1 for a normalised image, half for what a ReLU
    leaves of a value of variance 1.
    """
    weights = decode_slices(latents, decoder).astype(np.float64)
    power = (weights**2).sum(axis=(1, 2)) * input_power
    # A filter without weights gives its bias, whatever the scale.
    scale = np.divide(gain, np.sqrt(power), out=np.ones_like(power), where=power > 0)
    bias = rng.normal(0.0, 0.05, len(scale))
    return dataclasses.replace(
        node,
        weight=LatentWeight(latents, decoder.name),
        scale=snap(scale, _SIDE_BITS),
        bias=snap(bias, _SIDE_BITS),
    )


__all__ = ["synth", "synth_node"]
