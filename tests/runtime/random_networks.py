"""Random networks of every operator, for tests of the whole runtime."""

from __future__ import annotations

import numpy as np
from cases import ConvCase, conv_node, random_decoder, random_latents

from lilnetx.graph.ir import (
    Add,
    AvgPool2d,
    DenseWeight,
    Flatten,
    GlobalAvgPool,
    Graph,
    LatentWeight,
    Linear,
    MaxPool2d,
    Node,
    Relu,
    Softmax,
)


def residual_network(seed: int, *, size: tuple[int, int] = (30, 27)) -> Graph:
    """Stem, pooling, residual blocks with and without a stride, two linear layers."""
    rng = np.random.default_rng(seed)
    nodes: list[Node] = []

    def conv(name, source, channels, filters, kernel=3, stride=1, **more):
        case = ConvCase(
            channels,
            filters,
            (0, 0),
            (kernel, kernel),
            (stride, stride),
            (kernel // 2, kernel // 2),
            density=float(rng.choice([0.2, 0.5, 1.0])),
            **more,
        )
        decoder = {1: "d1g4", 3: "d9", 7: "d49"}[kernel]
        if kernel == 1:
            case = ConvCase(**{**case.__dict__, "g": 4})
        nodes.append(conv_node(name, source, case, decoder, rng))
        return name

    def add(name, op, *sources):
        nodes.append(Node(name, op, sources))
        return name

    x = conv("stem", "x", 3, 6, 7, 2)
    x = add("stem_relu", Relu(), x)
    x = add("pool", MaxPool2d((3, 3), (2, 2), (1, 1)), x)
    channels = 6
    for i, (filters, stride) in enumerate([(6, 1), (10, 2), (10, 1), (17, 2)]):
        y = conv(f"b{i}.conv1", x, channels, filters, 3, stride)
        y = add(f"b{i}.relu1", Relu(), y)
        y = conv(f"b{i}.conv2", y, filters, filters, 3)
        if stride == 2 or channels != filters:
            x = conv(f"b{i}.down", x, channels, filters, 1, stride)
        x = add(f"b{i}.add", Add(), y, x)
        x = add(f"b{i}.relu2", Relu(), x)
        channels = filters
    x = add("gap", GlobalAvgPool(), x)
    x = add("flat", Flatten(), x)
    fc1 = random_latents(13, -(-channels // 4), 4, 0.7, rng)
    nodes.append(Node("fc1", Linear(channels, 13), (x,), LatentWeight(fc1, "d1g4")))
    add("fc1_relu", Relu(), "fc1")
    dense = rng.normal(0, 0.3, (5, 13)).astype(np.float32)
    nodes.append(
        Node("fc2", Linear(13, 5), ("fc1_relu",), DenseWeight(dense), None, np.ones(5, np.float32))
    )
    add("softmax", Softmax(), "fc2")
    decoders = {
        "d9": random_decoder(9, rng, "d9"),
        "d49": random_decoder(49, rng, "d49"),
        "d1g4": random_decoder(4, rng, "d1g4"),
    }
    return Graph("x", (3, *size), tuple(nodes), ("softmax", "fc2", "b3.relu2"), decoders)


def pool_network(size: tuple[int, int], op: MaxPool2d | AvgPool2d) -> Graph:
    """One pooling, with a convolution before it so that its input has gaps and rows of zeros."""
    rng = np.random.default_rng(3)
    case = ConvCase(2, 5, size, padding=(1, 1))
    nodes = (conv_node("conv", "x", case, "d", rng), Node("pool", op, ("conv",)))
    return Graph("x", (2, *size), nodes, ("pool",), {"d": random_decoder(9, rng)})
