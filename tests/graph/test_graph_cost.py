"""Layer statistics against counts done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lilnetx.graph.cost import layer_stats
from lilnetx.graph.ir import (
    Conv2d,
    Decoder,
    DenseWeight,
    Flatten,
    Graph,
    LatentWeight,
    Linear,
    Node,
)
from lilnetx.graph.zoo import mobilenet_v2, resnet18, resnet20, resnet50, vgg16_bn


def only(op, shape, weight, decoders=None):
    (stats,) = layer_stats(
        Graph("x", shape, (Node("y", op, ("x",), weight),), ("y",), decoders or {})
    )
    return stats


def test_grouped_convolution():
    latents = np.zeros((6, 2, 9), np.int32)
    latents[0, 0, 4] = 1
    latents[5, 1] = -2
    decoders = {"3x3": Decoder("3x3", np.eye(9, dtype=np.int32), 0)}
    op = Conv2d(4, 6, (3, 3), (2, 2), (1, 1), groups=2)
    stats = only(op, (4, 7, 9), LatentWeight(latents, "3x3"), decoders)
    assert (stats.name, stats.op, stats.kernel, stats.slice_length) == ("y", "Conv2d", (3, 3), 9)
    assert (stats.slices, stats.zero_slices) == (12, 10)
    assert stats.density == pytest.approx(2 / 12)
    assert stats.parameters == 108
    assert stats.macs == 108 * 4 * 5
    assert stats.macs_left == 2 * 9 * 4 * 5


def test_padded_pointwise_slices_do_not_count_missing_channels():
    latents = np.zeros((3, 2, 4), np.int32)
    latents[0] = 1
    latents[1, 1, 0] = 1
    decoders = {"1x1g4": Decoder("1x1g4", np.eye(4, dtype=np.int32), 0)}
    stats = only(Linear(6, 3), (6,), LatentWeight(latents, "1x1g4"), decoders)
    assert (stats.op, stats.slices, stats.zero_slices, stats.slice_length) == ("Linear", 6, 3, 4)
    assert (stats.parameters, stats.macs, stats.macs_left) == (18, 18, 6 + 2)


def test_dense_weights():
    values = np.ones((2, 3, 3, 3), np.float32)
    values[1, 2] = 0
    stats = only(Conv2d(3, 2, (3, 3)), (3, 5, 5), DenseWeight(values))
    assert (stats.slices, stats.zero_slices, stats.macs, stats.macs_left) == (6, 1, 486, 405)
    stats = only(Conv2d(3, 2, (1, 1)), (3, 5, 5), DenseWeight(values[:, :, :1, :1]))
    assert (stats.slice_length, stats.slices, stats.zero_slices) == (1, 6, 1)


@pytest.mark.parametrize(
    ("build", "parameters", "macs", "layers"),
    [
        # Published weight counts of torchvision's networks, less batch norm and biases.
        (resnet50, 25_557_032 - 53_120 - 1000, 4_089_184_256, 54),
        (resnet18, 11_689_512 - 9_600 - 1000, 1_814_073_344, 21),
        (resnet20, 270_896, 40_813_184, 22),
        # These convolutions have biases, 4,224 in all.
        (vgg16_bn, 138_365_992 - 8_448 - 4_224 - 2 * 4096 - 1000, 15_470_264_320, 16),
        (mobilenet_v2, 3_504_872 - 34_112 - 1000, 300_774_272, 53),
    ],
)
def test_known_networks(build, parameters, macs, layers):
    graph = build()
    nodes = []
    for node in graph.nodes:
        op = node.op
        if isinstance(op, Conv2d):
            shape = (op.out_channels, op.in_channels // op.groups, *op.kernel)
            node = Node(node.name, op, node.inputs, DenseWeight(np.zeros(shape, np.float32)))
        elif isinstance(op, Linear):
            shape = (op.out_features, op.in_features)
            node = Node(node.name, op, node.inputs, DenseWeight(np.ones(shape, np.float32)))
        nodes.append(node)
    stats = layer_stats(Graph("x", graph.input_shape, tuple(nodes), graph.outputs))
    assert len(stats) == layers
    assert sum(s.parameters for s in stats) == parameters
    assert sum(s.macs for s in stats) == macs
    linear = [node.name for node in nodes if isinstance(node.op, Linear)]
    assert [s.name for s in stats if s.macs_left] == linear


def test_layers_without_weights_have_no_row():
    assert layer_stats(Graph("x", (3, 2, 2), (Node("f", Flatten(), ("x",)),), ("f",))) == []
