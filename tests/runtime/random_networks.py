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

POOLS = [
    MaxPool2d((3, 3), (2, 2), (1, 1)),
    MaxPool2d((2, 2), (2, 2)),
    MaxPool2d((2, 2), (2, 2), ceil_mode=True),
    MaxPool2d((3, 2), (1, 1), (1, 1)),
    MaxPool2d((3, 5), (3, 3), (1, 2), ceil_mode=True),
    AvgPool2d((2, 2), (2, 2)),
    AvgPool2d((3, 3), (1, 1), (1, 1)),
    AvgPool2d((3, 3), (2, 2), (1, 1), count_include_pad=False),
    AvgPool2d((3, 4), (2, 3), (1, 2), ceil_mode=True),
    AvgPool2d((3, 3), (2, 2), (1, 1), ceil_mode=True, count_include_pad=False),
]


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


def wide_network() -> Graph:
    """Few layers, each with enough work that threads share it; one of every step."""
    rng = np.random.default_rng(5)
    nodes: list[Node] = []

    def conv(name, source, channels, filters, kernel, **more):
        case = ConvCase(channels, filters, (0, 0), (kernel, kernel), **more)
        nodes.append(conv_node(name, source, case, f"d{kernel}", rng))
        return name

    conv("stem", "x", 4, 24, 5, stride=(2, 2), padding=(2, 2), density=1.0)
    nodes.append(Node("pool", MaxPool2d((3, 3), (2, 2), (1, 1)), ("stem",)))
    conv("a", "pool", 24, 40, 3, padding=(1, 1))
    conv("b", "a", 40, 40, 1)
    nodes.append(Node("sum", Add(), ("a", "b")))
    nodes.append(Node("relu", Relu(), ("sum",)))
    conv("down", "relu", 40, 48, 1, stride=(2, 2))
    conv("c", "relu", 40, 48, 3, stride=(2, 2), padding=(1, 1))
    nodes.append(Node("add", Add(), ("c", "down")))
    nodes.append(Node("gap", GlobalAvgPool(), ("add",)))
    nodes.append(Node("flat", Flatten(), ("add",)))
    weight = rng.normal(0, 0.01, (40, 48 * 14 * 13)).astype(np.float32)
    nodes.append(Node("fc", Linear(48 * 14 * 13, 40), ("flat",), DenseWeight(weight)))
    decoders = {f"d{k}": random_decoder(k * k, rng, f"d{k}") for k in (1, 3, 5)}
    return Graph("x", (4, 112, 104), tuple(nodes), ("fc", "gap", "pool", "relu"), decoders)


def pool_network(size: tuple[int, int], op: MaxPool2d | AvgPool2d) -> Graph:
    """One pooling, with a convolution before it so that its input has gaps and rows of zeros."""
    rng = np.random.default_rng(3)
    case = ConvCase(2, 5, size, padding=(1, 1))
    nodes = (conv_node("conv", "x", case, "d", rng), Node("pool", op, ("conv",)))
    return Graph("x", (2, *size), nodes, ("pool",), {"d": random_decoder(9, rng)})
