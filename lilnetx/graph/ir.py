"""The typed intermediate representation: what a network computes, with no framework and no layout.

A :class:`Graph` is a list of nodes in execution order. Each node yields one value, called by the
node's name; activations are float32 of shape ``(N, C, H, W)`` or ``(N, C)``, and shapes here leave
out the batch. Weights are stored as rows of *slices*, the unit that is zero or not as a whole:

- a K×K convolution's slice is the ``Kh*Kw`` kernel of one (filter, input channel) pair;
- a 1×1 convolution's or linear layer's slice is ``g`` consecutive input channels of one filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Conv2d:
    """A 2-D convolution (cross-correlation, as everywhere in deep learning).

    ``padding`` is zeros at (top and bottom, left and right), in pixels; ``groups`` divides both
    channel counts; ``in_channels`` is the total over all groups.
    """

    in_channels: int
    out_channels: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


@dataclass(frozen=True)
class Linear:
    """``y = W x + b`` on values of shape ``(in_features,)``."""

    in_features: int
    out_features: int


@dataclass(frozen=True)
class MaxPool2d:
    """Maximum over windows; padding counts as minus infinity."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    ceil_mode: bool = False


@dataclass(frozen=True)
class AvgPool2d:
    """Mean over windows; ``count_include_pad`` as in torch."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    ceil_mode: bool = False
    count_include_pad: bool = True


@dataclass(frozen=True)
class GlobalAvgPool:
    """Mean over all pixels: ``(C, H, W)`` to ``(C, 1, 1)``."""


@dataclass(frozen=True)
class Flatten:
    """``(C, H, W)`` to ``(C*H*W,)``, in C order."""


@dataclass(frozen=True)
class Relu:
    """``max(x, 0)``."""


@dataclass(frozen=True)
class Relu6:
    """``min(max(x, 0), 6)``."""


@dataclass(frozen=True)
class HardSwish:
    """``x * min(max(x + 3, 0), 6) / 6``."""


@dataclass(frozen=True)
class Silu:
    """``x / (1 + exp(-x))``."""


@dataclass(frozen=True)
class HardSigmoid:
    """``min(max(x + 3, 0), 6) / 6``."""


@dataclass(frozen=True)
class Sigmoid:
    """``1 / (1 + exp(-x))``."""


@dataclass(frozen=True)
class Add:
    """Elementwise sum of two values of one shape."""


@dataclass(frozen=True)
class Softmax:
    """Softmax over the channels, ``(C,)`` only."""


Activation = Relu | Relu6 | HardSwish | Silu | HardSigmoid | Sigmoid
Op = Conv2d | Linear | MaxPool2d | AvgPool2d | GlobalAvgPool | Flatten | Add | Softmax | Activation


@dataclass(frozen=True)
class Decoder:
    """Turns integer slices into weights: ``W_slice = (latent_slice @ matrix) * 2**-exponent``.

    The integer product is exact, and so is its conversion to float32 (see :mod:`.weights`), so
    every machine and every summation order decodes the same bits.

    Attributes:
        name: Name of the kernel-size group, e.g. ``"3x3"`` or ``"1x1g4"``.
        matrix: int32, shape ``(n, n)``, entries within int16; ``n`` is the slice length.
        exponent: The fixed-point position of the entries, in bits.
    """

    name: str
    matrix: NDArray[np.int32]
    exponent: int


@dataclass(frozen=True)
class LatentWeight:
    """A weight tensor as integers.

    Attributes:
        latents: int32, shape ``(F, S, n)``: F filters of S slices of n integers. For K×K kernels
            ``S = in_channels/groups`` and ``n = Kh*Kw``; for 1×1 and linear layers n = g and
            ``S = ceil(in_channels/groups / g)``, the last slice being padded by zeros.
        decoder: Name of the :class:`Decoder`.
    """

    latents: NDArray[np.int32]
    decoder: str


@dataclass(frozen=True)
class DenseWeight:
    """A weight tensor as plain floats, for layers that were left uncompressed.

    Attributes:
        values: float32, shape ``(F, in_channels/groups, Kh, Kw)`` or ``(out, in)``.
    """

    values: NDArray[np.float32]


Weight = LatentWeight | DenseWeight


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        name: Name of the node and of the value it yields; unique in the graph.
        op: What it computes.
        inputs: Names of the values it reads.
        weight: For convolutions and linear layers.
        scale: float32, shape ``(F,)``: multiplies each filter's decoded weights (folded batch
            norm), or None for all ones.
        bias: float32, shape ``(F,)``, or None for zeros.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    weight: Weight | None = None
    scale: NDArray[np.float32] | None = None
    bias: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Graph:
    """A network.

    Attributes:
        input_name: Name of the one input value.
        input_shape: Its shape without the batch, ``(C, H, W)`` or ``(C,)``.
        nodes: In execution order.
        outputs: Names of the values that the network returns.
        decoders: By name.
        synthetic: Whether the weights are random, made for timing only.
        meta: JSON-able facts that do not change what is computed: producer, data set, class names,
            and ``{"input": {"mean": [...], "std": [...]}}``, the normalisation that the network was
            trained with.
    """

    input_name: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    decoders: Mapping[str, Decoder] = field(default_factory=dict)
    synthetic: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)

    def node(self, name: str) -> Node:
        """The node of that name; KeyError when there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)
