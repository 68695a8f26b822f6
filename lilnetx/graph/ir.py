"""The typed intermediate representation: what a network computes, with no framework and no layout.

A :class:`Graph` is a list of nodes in execution order. Each node yields one value, called by the
node's name; activations are float32 of shape ``(N, ...)``, images ``(N, C, H, W)``, and shapes and
axes here leave out the batch, which no operator mixes. The operators are in
:mod:`lilnetx.graph.ops`. Weights are stored as rows of *slices*, the unit that is zero or not as
a whole:

- a K×K convolution's slice is the ``Kh*Kw`` kernel of one (filter, input channel) pair;
- a 1×1 convolution's or linear layer's slice is ``g`` consecutive input channels of one filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lilnetx.graph.ops.activation import (
    Activation,
    Clip,
    Gelu,
    GeluTanh,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Relu,
    Relu6,
    Sigmoid,
    Silu,
)
from lilnetx.graph.ops.arithmetic import Add, Binary, Div, MatMul, Mul, Sub
from lilnetx.graph.ops.arrange import Concat, Flatten, Pad, Reshape, Slice, Transpose
from lilnetx.graph.ops.base import Op, Pair, Shape
from lilnetx.graph.ops.pool import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AdaptivePool2d,
    AvgPool2d,
    GlobalAvgPool,
    MaxPool2d,
    Pool2d,
)
from lilnetx.graph.ops.reduce import Reduce, Softmax
from lilnetx.graph.ops.resize import Resize
from lilnetx.graph.ops.weighted import (
    ChannelAffine,
    Constant,
    Conv2d,
    ConvTranspose2d,
    Linear,
    Weighted,
)


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
        values: float32, shape ``(F, in_channels/groups, Kh, Kw)`` or ``(out, in)``; the shape of a
            constant.
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
        weight: For convolutions and linear layers; dense and of the constant's own shape for
            constants.
        scale: float32, shape ``(F,)``: multiplies each filter's decoded weights (folded batch
            norm), or None for all ones. Each channel's factor of a :class:`ChannelAffine`.
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
        input_name: Name of the input value; of the first one where there are several.
        input_shape: Its shape without the batch.
        nodes: In execution order.
        outputs: Names of the values that the network returns.
        decoders: By name.
        synthetic: Whether the weights are random, made for timing only.
        meta: JSON-able facts that do not change what is computed. Read by lilnetx: ``"dataset"``;
            ``"classes"``, a list of names; ``"input": {"mean": [...], "std": [...]}``, for each
            channel of images scaled to [0, 1], the normalisation that the network was trained with.
        more_inputs: Names and shapes of further inputs, in order.
        free_size: Whether the network means the same for images of other heights and widths than
            those of its inputs, as far as its operators can take them.
    """

    input_name: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    decoders: Mapping[str, Decoder] = field(default_factory=dict)
    synthetic: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)
    more_inputs: Mapping[str, Shape] = field(default_factory=dict)
    free_size: bool = False

    @property
    def inputs(self) -> dict[str, Shape]:
        """Shapes of all inputs by name, without the batch, in order."""
        return {self.input_name: tuple(self.input_shape), **self.more_inputs}

    def node(self, name: str) -> Node:
        """The node of that name; KeyError when there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)


__all__ = [
    "Activation",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AdaptivePool2d",
    "Add",
    "AvgPool2d",
    "Binary",
    "ChannelAffine",
    "Clip",
    "Concat",
    "Constant",
    "Conv2d",
    "ConvTranspose2d",
    "Decoder",
    "DenseWeight",
    "Div",
    "Flatten",
    "Gelu",
    "GeluTanh",
    "GlobalAvgPool",
    "Graph",
    "HardSigmoid",
    "HardSwish",
    "LatentWeight",
    "LeakyRelu",
    "Linear",
    "MatMul",
    "MaxPool2d",
    "Mul",
    "Node",
    "Op",
    "Pad",
    "Pair",
    "Pool2d",
    "Reduce",
    "Relu",
    "Relu6",
    "Reshape",
    "Resize",
    "Shape",
    "Sigmoid",
    "Silu",
    "Slice",
    "Softmax",
    "Sub",
    "Transpose",
    "Weight",
    "Weighted",
]
