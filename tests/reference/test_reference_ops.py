"""The float64 reference against torch in float64, and against sums written out by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest

from lilnetx.errors import InputError
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
from lilnetx.graph.weights import dense_weight
from lilnetx.reference import run

TOLERANCE = 1e-12


def single(op, shape, weight=None, scale=None, bias=None, decoders=None) -> Graph:
    return Graph("x", shape, (Node("y", op, ("x",), weight, scale, bias),), ("y",), decoders or {})


def assert_close(actual, expected):
    assert actual.dtype == np.float64
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


CONVS = [
    (Conv2d(3, 5, (3, 3), padding=(1, 1)), (7, 9)),
    (Conv2d(4, 6, (3, 3), (2, 2), (1, 1)), (8, 11)),
    (Conv2d(4, 6, (1, 1)), (5, 1)),
    (Conv2d(4, 6, (1, 1), (2, 2)), (5, 8)),
    (Conv2d(3, 8, (7, 7), (2, 2), (3, 3)), (17, 13)),
    (Conv2d(6, 4, (3, 5), (1, 2), (2, 0), (2, 1), 2), (9, 12)),
    (Conv2d(6, 6, (3, 3), (1, 1), (1, 1), (1, 1), 6), (4, 4)),
    (Conv2d(6, 12, (1, 3), (3, 1), (0, 4), (1, 3), 3), (7, 6)),
    (Conv2d(1, 1, (4, 4)), (4, 4)),
    (Conv2d(2, 3, (2, 2), (3, 3), (5, 5)), (1, 1)),
]


@pytest.mark.parametrize(("op", "pixels"), CONVS)
@pytest.mark.parametrize("batch", [1, 3])
def test_conv_against_torch(op, pixels, batch):
    torch = pytest.importorskip("torch", reason="torch is the independent answer here")
    rng = np.random.default_rng(1)
    shape = (op.out_channels, op.in_channels // op.groups, *op.kernel)
    weight = rng.standard_normal(shape).astype(np.float32)
    scale = rng.uniform(0.5, 2, op.out_channels).astype(np.float32)
    bias = rng.standard_normal(op.out_channels).astype(np.float32)
    graph = single(op, (op.in_channels, *pixels), DenseWeight(weight), scale, bias)
    x = rng.standard_normal((batch, op.in_channels, *pixels))
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(x),
        torch.from_numpy((weight * scale[:, None, None, None]).astype(np.float64)),
        torch.from_numpy(bias.astype(np.float64)),
        op.stride,
        op.padding,
        op.dilation,
        op.groups,
    ).numpy()
    (actual,) = run(graph, x)
    assert_close(actual, expected)
    assert infer_shapes(graph)["y"] == actual.shape[1:]


def test_conv_by_hand():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    weight = np.array([[[[1, 2], [3, 4]]]], np.float32)
    (y,) = run(single(Conv2d(1, 1, (2, 2)), (1, 3, 3), DenseWeight(weight)), x)
    # Row 0: 0*1 + 1*2 + 3*3 + 4*4 = 27; each step right or down by one pixel adds 10 or 30.
    np.testing.assert_array_equal(y, [[[[27, 37], [57, 67]]]])


POOLS = [
    ((3, 3), (2, 2), (1, 1), (7, 10)),
    ((2, 2), (2, 2), (0, 0), (7, 5)),
    ((3, 2), (1, 3), (1, 0), (6, 6)),
    ((2, 2), (3, 3), (1, 1), (5, 6)),
    ((5, 5), (4, 4), (2, 2), (6, 7)),
    ((1, 1), (1, 1), (0, 0), (3, 3)),
    ((4, 4), (3, 3), (0, 0), (4, 5)),
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "pixels"), POOLS)
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_pools_against_torch(kernel, stride, padding, pixels, ceil_mode):
    torch = pytest.importorskip("torch", reason="torch is the independent answer here")
    functional = torch.nn.functional
    x = np.random.default_rng(2).standard_normal((2, 3, *pixels)) - 3  # all-negative windows too
    tensor = torch.from_numpy(x)
    graph = single(MaxPool2d(kernel, stride, padding, ceil_mode), (3, *pixels))
    expected = functional.max_pool2d(tensor, kernel, stride, padding, 1, ceil_mode).numpy()
    assert_close(run(graph, x)[0], expected)
    assert infer_shapes(graph)["y"] == expected.shape[1:]
    for count in (False, True):
        graph = single(AvgPool2d(kernel, stride, padding, ceil_mode, count), (3, *pixels))
        expected = functional.avg_pool2d(tensor, kernel, stride, padding, ceil_mode, count).numpy()
        assert_close(run(graph, x)[0], expected)


def test_linear_and_softmax():
    rng = np.random.default_rng(3)
    weight, bias = rng.standard_normal((4, 7)), rng.standard_normal(4)
    weight, bias = weight.astype(np.float32), bias.astype(np.float32)
    x = rng.standard_normal((5, 7)) * 50
    graph = single(Linear(7, 4), (7,), DenseWeight(weight), None, bias)
    logits = np.array([[row @ w + b for w, b in zip(weight, bias, strict=True)] for row in x])
    assert_close(run(graph, x)[0], logits)
    (y,) = run(single(Softmax(), (4,)), logits)
    assert_close(y.sum(axis=1), np.ones(5))
    exponentials = np.exp((logits - logits.max()).astype(np.longdouble))
    assert_close(y, (exponentials / exponentials.sum(1, keepdims=True)).astype(np.float64))


def test_network_with_latents_several_outputs_and_shared_values():
    rng = np.random.default_rng(4)
    decoder = Decoder("3x3", rng.integers(-99, 99, (9, 9)).astype(np.int32), 9)
    latents = rng.integers(-2, 3, (4, 4, 9)).astype(np.int32)
    scale = rng.uniform(-1, 1, 4).astype(np.float32)
    conv = Node(
        "c", Conv2d(4, 4, (3, 3), padding=(1, 1)), ("x",), LatentWeight(latents, "3x3"), scale
    )
    nodes = (
        conv,
        Node("r", Relu(), ("c",)),
        Node("a", Add(), ("r", "x")),
        Node("twice", Add(), ("a", "a")),
        Node("g", GlobalAvgPool(), ("twice",)),
        Node("f", Flatten(), ("g",)),
    )
    graph = Graph("x", (4, 5, 6), nodes, ("f", "r", "x"), {"3x3": decoder})
    x = rng.standard_normal((2, 4, 5, 6))
    pooled, relu, same = run(graph, x)
    dense = Graph(
        "x",
        (4, 5, 6),
        (Node("c", conv.op, ("x",), DenseWeight(dense_weight(graph, conv))),),
        ("c",),
    )
    expected = np.maximum(run(dense, x)[0], 0)
    assert_close(relu, expected)
    assert_close(pooled, 2 * (expected + x).mean(axis=(2, 3)))
    np.testing.assert_array_equal(same, x)


def test_wrong_input_shape():
    graph = single(Relu(), (3, 4, 4))
    for shape in [(3, 4, 4), (1, 3, 4, 5), (1, 3, 4), (1, 1, 3, 4, 4)]:
        with pytest.raises(InputError, match="expected"):
            run(graph, np.zeros(shape))


def test_a_large_convolution_is_not_hopelessly_slow():
    op = Conv2d(64, 64, (3, 3), padding=(1, 1))
    weight = np.full((64, 64, 3, 3), 0.01, np.float32)
    start = time.perf_counter()
    run(single(op, (64, 56, 56), DenseWeight(weight)), np.ones((1, 64, 56, 56)))
    assert time.perf_counter() - start < 5  # 0.1 GMAC; a scalar loop would take a minute
