"""Shape inference: right shapes, and one clear error for each way a graph can be wrong."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lilnetx.errors import GraphError
from lilnetx.graph.ir import (
    Add,
    AvgPool2d,
    Conv2d,
    Decoder,
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
from lilnetx.graph.shapes import infer_shapes


def conv(name: str, source: str, op: Conv2d) -> Node:
    shape = (op.out_channels, op.in_channels // op.groups, *op.kernel)
    return Node(name, op, (source,), DenseWeight(np.ones(shape, np.float32)))


def graph(*nodes: Node, shape=(3, 17, 23), outputs=None, **more) -> Graph:
    return Graph("x", shape, nodes, outputs or (nodes[-1].name,), **more)


def test_every_operator():
    nodes = (
        conv("c1", "x", Conv2d(3, 8, (3, 5), (2, 1), (1, 2), (1, 2))),
        Node("p1", MaxPool2d((3, 3), (2, 2), (1, 1)), ("c1",)),
        conv("c2", "p1", Conv2d(8, 8, (3, 3), padding=(1, 1), groups=4)),
        Node("r", Relu(), ("c2",)),
        Node("a", Add(), ("r", "p1")),
        Node("p2", AvgPool2d((2, 2), (2, 2), ceil_mode=True), ("a",)),
        Node("f", Flatten(), ("p2",)),
        Node("g", GlobalAvgPool(), ("a",)),
        Node("gf", Flatten(), ("g",)),
        Node("l", Linear(8, 10), ("gf",), DenseWeight(np.ones((10, 8), np.float32))),
        Node("s", Softmax(), ("l",)),
    )
    shapes = infer_shapes(graph(*nodes, outputs=("s", "f")))
    assert shapes == {
        "x": (3, 17, 23),
        "c1": (8, 9, 19),
        "p1": (8, 5, 10),
        "c2": (8, 5, 10),
        "r": (8, 5, 10),
        "a": (8, 5, 10),
        "p2": (8, 3, 5),
        "f": (120,),
        "g": (8, 1, 1),
        "gf": (8,),
        "l": (10,),
        "s": (10,),
    }
    assert list(shapes) == ["x", *(n.name for n in nodes)]


def test_ceil_mode_drops_a_window_that_starts_in_the_trailing_padding():
    op = MaxPool2d((2, 2), (3, 3), (1, 1), ceil_mode=True)
    assert infer_shapes(graph(Node("p", op, ("x",)), shape=(1, 5, 6)))["p"] == (1, 2, 3)


GOOD = conv("c", "x", Conv2d(3, 8, (3, 3)))
LATENT = Node("c", Conv2d(3, 8, (3, 3)), ("x",), LatentWeight(np.zeros((8, 3, 9), np.int32), "3x3"))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (graph(GOOD, GOOD), "the name is taken"),
        (graph(conv("c", "y", GOOD.op)), "reads 'y'"),
        (graph(dataclasses.replace(GOOD, inputs=("x", "x"))), "reads 1 value"),
        (graph(Node("a", Add(), ("x",))), "reads 2 value"),
        (graph(GOOD, Node("a", Add(), ("x", "c"))), "shapes that broadcast"),
        (graph(GOOD, shape=(4, 9, 9)), r"takes \(3, H, W\)"),
        (graph(GOOD, shape=(3, 2, 9)), "leaves no pixel"),
        (graph(GOOD, shape=(3, 9)), r"takes \(3, H, W\), found shape \(3, 9\)"),
        (graph(GOOD, shape=(3, 0, 9)), "all positive"),
        (graph(GOOD, outputs=("z",)), "returns 'z'"),
        (Graph("x", (3, 9, 9), (GOOD,), ()), "no output"),
        (graph(dataclasses.replace(GOOD, weight=None)), "has no weight"),
        (graph(dataclasses.replace(GOOD, scale=np.ones(7, np.float32))), r"scale is \(7,\)"),
        (graph(dataclasses.replace(GOOD, bias=np.ones((8, 1), np.float32))), "bias is"),
        (graph(Node("r", Relu(), ("x",), bias=np.ones(3, np.float32))), "takes no weight"),
        (graph(dataclasses.replace(GOOD, op=Conv2d(3, 9, (3, 3)))), "weight is"),
        (graph(conv("c", "x", Conv2d(3, 8, (3, 3), groups=1, padding=(-1, 0)))), "not negative"),
        (graph(dataclasses.replace(GOOD, op=Conv2d(3, 8, (3, 3), groups=2))), "do not divide"),
        (graph(LATENT), "no decoder '3x3'"),
        (
            graph(LATENT, decoders={"3x3": Decoder("3x3", np.eye(8, dtype=np.int32), 0)}),
            "expected 9",
        ),
        (graph(Node("s", Softmax(3), ("x",))), "takes an axis 3"),
        (graph(Node("l", Linear(3, 1), ("x",), DenseWeight(np.ones((1, 3), np.float32)))), "takes"),
        (graph(Node("p", MaxPool2d((2, 2), (2, 2), (2, 0)), ("x",))), "smaller than the kernel"),
        (graph(Node("g", GlobalAvgPool(), ("x",)), shape=(3,)), r"takes \(C, H, W\)"),
    ],
)
def test_contradictions(bad, message):
    with pytest.raises(GraphError, match=message):
        infer_shapes(bad)


@pytest.mark.parametrize(("channels", "g", "slices"), [(8, 4, 2), (9, 4, 3), (3, 1, 3)])
def test_pointwise_slices_are_padded(channels, g, slices):
    weight = LatentWeight(np.zeros((5, slices, g), np.int32), "1x1")
    node = Node("c", Conv2d(channels, 5, (1, 1)), ("x",), weight)
    decoders = {"1x1": Decoder("1x1", np.eye(g, dtype=np.int32), 3)}
    assert infer_shapes(graph(node, shape=(channels, 4, 4), decoders=decoders))["c"] == (5, 4, 4)
