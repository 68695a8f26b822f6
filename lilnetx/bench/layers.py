"""The table of layer shapes, for tests and timing alike: convolutions of the networks in the zoo.

A shape is listed once a network, with the number of layers that have it.
"""

from __future__ import annotations

import dataclasses
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lilnetx.graph.ir import Conv2d, Graph, LatentWeight, Node, Pair, Shape
from lilnetx.graph.shapes import conv_output, output_shape
from lilnetx.graph.weights import dense_weight
from lilnetx.graph.zoo import ARCHITECTURES
from lilnetx.packing.synth import synth_node
from lilnetx.reference.ops import conv2d


@dataclass(frozen=True)
class LayerShape:
    """A convolution of a network.

    Attributes:
        network: Name of the network in the zoo.
        name: The first layer that has this shape.
        count: How many layers have it.
        op: The convolution.
        size: Height and width of its input, in pixels.
        first: Whether it reads the network's input, as stems do.
    """

    network: str
    name: str
    count: int
    op: Conv2d
    size: Pair
    first: bool

    @property
    def out_size(self) -> Pair:
        """Height and width of the output, in pixels."""
        op = self.op
        height, width = (
            conv_output(self.size[i], op.kernel[i], op.stride[i], op.padding[i], op.dilation[i])
            for i in (0, 1)
        )
        return height, width

    @property
    def depthwise(self) -> bool:
        """Whether each channel has filters of its own."""
        return self.op.groups == self.op.in_channels > 1

    @property
    def kind(self) -> str:
        """``"stem"``, ``"depthwise"``, or the kernel: ``"3x3"``, ``"1x1"``."""
        if self.first:
            return "stem"
        return "depthwise" if self.depthwise else f"{self.op.kernel[0]}x{self.op.kernel[1]}"

    def __str__(self) -> str:
        """A short, unique name, such as ``resnet50-3x3s2-128to128@56x56``."""
        op = self.op
        kernel = f"{op.kernel[0]}x{op.kernel[1]}" + (f"s{op.stride[0]}" if op.stride[0] > 1 else "")
        groups = f"g{op.groups}" if op.groups > 1 else ""
        image = f"{self.size[0]}x{self.size[1]}"
        return f"{self.network}-{kernel}{groups}-{op.in_channels}to{op.out_channels}@{image}"


def layer_shapes(network: str) -> list[LayerShape]:
    """Every distinct convolution of a network of the zoo, in the order in which they appear."""
    graph = ARCHITECTURES[network]()
    shapes: dict[str, Shape] = {graph.input_name: graph.input_shape}
    found: dict[tuple[Conv2d, Pair], LayerShape] = {}
    for node in graph.nodes:
        inputs = [shapes[name] for name in node.inputs]
        shapes[node.name] = output_shape(node, inputs)
        if isinstance(node.op, Conv2d):
            key = (node.op, (inputs[0][1], inputs[0][2]))
            first = node.inputs[0] == graph.input_name
            seen = found.get(key, LayerShape(network, node.name, 0, *key, first))
            found[key] = dataclasses.replace(seen, count=seen.count + 1)
    return list(found.values())


def layer_graph(shape: LayerShape, density: float, *, slice_1x1: int = 1) -> Graph:
    """The layer as a network with random weights, of which a share of slices is not zero.

    The same shape and density give the same weights. As in synthetic networks, layers whose
    :attr:`LayerShape.kind` is ``"stem"`` or ``"depthwise"`` stay dense.
    """
    rng = np.random.default_rng(zlib.crc32(f"{shape} {density}".encode()))
    whole = shape.first or shape.depthwise
    node = Node("conv", shape.op, ("x",))
    node, decoder = synth_node(node, 1.0 if whole else density, slice_1x1, rng)
    return Graph(
        "x",
        (shape.op.in_channels, *shape.size),
        (node,),
        ("conv",),
        {decoder.name: decoder},
        synthetic=True,
    )


def spot_check(graph: Graph, x: NDArray[np.float32], output: NDArray[np.float32]) -> float:
    """Relative error of some filters of a layer, computed in float64.

    All filters of a large layer would take the reference seconds; eight of them, spread over the
    layer, reach every channel and pixel.

    Args:
        graph: Of :func:`layer_graph`.
        x: Input, float32, shape ``(N, C, H, W)``.
        output: What is checked, float32, shape ``(N, F, H', W')``.

    Returns:
        Largest difference, relative to the largest value of the reference.
    """
    (node,) = graph.nodes
    op = node.op
    assert isinstance(op, Conv2d)
    assert isinstance(node.weight, LatentWeight)
    assert node.bias is not None
    if op.groups > 1:
        some = np.arange(op.out_channels)
    else:
        some = np.unique(np.linspace(0, op.out_channels - 1, 8).astype(int))
    weight = dense_weight(graph, node)[some].astype(np.float64)
    part = dataclasses.replace(op, out_channels=len(some))
    reference = conv2d(x.astype(np.float64), weight, node.bias[some].astype(np.float64), part)
    return float(np.abs(output[:, some] - reference).max() / np.abs(reference).max())
