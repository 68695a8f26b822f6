"""Networks without the channels that change nothing: what goes, what stays, same outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cases import random_decoder
from random_networks import residual_network
from tolerances import LAYER, NETWORK

from lilnetx.graph.dead_channels import remove_dead_channels
from lilnetx.graph.ir import (
    Add,
    AvgPool2d,
    Conv2d,
    DenseWeight,
    Flatten,
    GlobalAvgPool,
    Graph,
    HardSigmoid,
    HardSwish,
    LatentWeight,
    Linear,
    MaxPool2d,
    Node,
    Relu,
    Relu6,
    Sigmoid,
    Silu,
    Softmax,
)
from lilnetx.graph.shapes import infer_shapes
from lilnetx.reference import run
from lilnetx.runtime import Session
from lilnetx.runtime.packed import pack_graph


def removed(graph):
    small, weights, removal = remove_dead_channels(graph, infer_shapes(graph), pack_graph(graph))
    shapes = infer_shapes(small)
    for name in (graph.input_name, *graph.outputs):
        assert shapes[name] == infer_shapes(graph)[name]
    for name, weight in weights.items():
        node = small.node(name)
        channels = node.op.in_channels if isinstance(node.op, Conv2d) else node.op.in_features
        filters = node.op.out_channels if isinstance(node.op, Conv2d) else node.op.out_features
        assert (weight.shape[0], weight.shape[5]) == (filters, channels)
    again = remove_dead_channels(small, shapes, weights)[2]
    assert (again.removed_channels, again.removed_weights) == (0, 0)
    return small, removal


def assert_same_outputs(graph, bound=NETWORK["float32"], threads=1):
    x = np.random.default_rng(0).normal(size=(2, *graph.input_shape)).astype(np.float32)
    found = Session(graph, threads=threads).run(x)
    found = found if isinstance(found, tuple) else (found,)
    for actual, expected in zip(found, run(graph, x), strict=True):
        assert np.isfinite(expected).all()
        assert np.abs(actual - expected).max() <= bound * max(np.abs(expected).max(), 1e-3)


def conv(name, source, channels, filters, kernel=1, *, dead=(), unread=(), bias=None, **more):
    """A convolution of random floats without some filters, and without some channels."""
    rng = np.random.default_rng(len(name) + 7 * channels + filters)
    op = Conv2d(channels, filters, (kernel, kernel), **more)
    shape = (filters, channels // op.groups, kernel, kernel)
    values = rng.uniform(0.5, 1.0, shape).astype(np.float32) * rng.choice([-1, 1], shape)
    values[list(dead)] = 0
    values[:, list(unread)] = 0
    bias = rng.normal(size=filters) if bias is None else np.array(bias)
    weight = DenseWeight(values.astype(np.float32))
    return Node(name, op, (source,), weight, None, bias.astype(np.float32))


def network(*nodes, outputs=("out",), channels=3, size=(8, 9)):
    return Graph("x", (channels, *size), nodes, outputs)


def kept(graph, name):
    op = graph.node(name).op
    return op.out_channels if isinstance(op, Conv2d) else op.out_features


def test_a_zero_channel_is_removed_from_producer_and_reader():
    graph = network(
        conv("a", "x", 3, 4, 3, padding=(1, 1), dead=[1], bias=[1, -2, 0.5, 0]),
        Node("r", Relu(), ("a",)),
        conv("out", "r", 4, 5, 3, padding=(1, 1)),
    )
    small, removal = removed(graph)
    assert (kept(small, "a"), small.node("out").op.in_channels) == (3, 3)
    assert (removal.channels, removal.removed_channels) == (9, 1)
    assert removal.removed_weights == 5 * 9
    assert np.array_equal(small.node("out").bias, graph.node("out").bias)
    assert_same_outputs(graph, LAYER["float32"])


@pytest.mark.parametrize(
    ("kernel", "padding", "left"), [(1, 0, 3), (3, 0, 3), (3, 1, 4)], ids=["1x1", "3x3", "padded"]
)
def test_constants_move_into_biases_where_there_is_no_padding(kernel, padding, left):
    graph = network(
        conv("a", "x", 3, 4, dead=[2], bias=[0, 1, 1.5, -1]),
        Node("r", Relu(), ("a",)),
        conv("out", "r", 4, 5, kernel, padding=(padding, padding), stride=(2, 2)),
    )
    small, _ = removed(graph)
    assert kept(small, "a") == left
    if left == 3:
        taps = graph.node("out").weight.values[:, 2].sum(axis=(1, 2), dtype=np.float64)
        expected = graph.node("out").bias + 1.5 * taps
        assert np.array_equal(small.node("out").bias, expected.astype(np.float32))
    assert_same_outputs(graph, LAYER["float32"])


def test_channels_that_nothing_reads_are_removed_all_the_way():
    graph = network(
        conv("a", "x", 3, 6),
        conv("b", "a", 6, 4),  # reads all of a
        conv("c", "a", 6, 4, 3, unread=[0, 1]),
        conv("d", "c", 4, 5, unread=[3]),
        conv("out", "d", 5, 2, unread=[0, 4]),
    )
    small, removal = removed(graph)
    assert [node.name for node in small.nodes] == ["a", "c", "d", "out"]
    assert [kept(small, name) for name in ("a", "c", "d", "out")] == [4, 3, 3, 2]
    assert removal.removed_channels == 2 + 1 + 2
    assert_same_outputs(graph)


def test_channels_of_a_residual_sum_go_only_where_all_sides_agree():
    def graph(unread, dead):
        return network(
            conv("a", "x", 3, 4, dead=dead, bias=[0, 0, 0, 0]),
            conv("b", "a", 4, 4, 3, padding=(1, 1), dead=dead, bias=[0, 0, 0, 0]),
            Node("sum", Add(), ("b", "a")),
            Node("r", Relu(), ("sum",)),
            conv("out", "r", 4, 2, unread=unread),
        )

    small, _ = removed(graph([1], []))  # b still reads channel 1 of a
    assert [kept(small, name) for name in ("a", "b")] == [4, 4]
    small, _ = removed(graph([], [1]))
    assert [kept(small, name) for name in ("a", "b")] == [3, 3]
    for case in (graph([1], []), graph([], [1]), graph([0], [1])):
        assert_same_outputs(case)


def test_one_dead_side_of_a_sum_keeps_its_channel():
    graph = network(
        conv("a", "x", 3, 4, dead=[2], bias=[1, 1, 0, 1]),
        conv("b", "x", 3, 4, bias=[0, 0, 0, 0]),
        Node("sum", Add(), ("a", "b")),
        conv("out", "sum", 4, 2),
    )
    small, removal = removed(graph)
    assert (kept(small, "a"), kept(small, "b"), removal.removed_channels) == (4, 4, 0)
    assert_same_outputs(graph, LAYER["float32"])


def test_outputs_and_inputs_stay_whole():
    graph = network(
        conv("a", "x", 3, 4, dead=[0, 1], bias=[0, -1, 2, 3], unread=[1]),
        Node("r", Relu(), ("a",)),
        conv("out", "r", 4, 3, dead=[1]),
        outputs=("out", "a"),
    )
    small, removal = removed(graph)
    assert (kept(small, "a"), kept(small, "out")) == (4, 3)
    # The slices that read zeros are gone all the same.
    assert removal.removed_weights == 2 * 2
    assert_same_outputs(graph, LAYER["float32"])


def test_the_classifier_sees_flattened_channels():
    rng = np.random.default_rng(0)
    fc = DenseWeight(rng.normal(size=(5, 4 * 12)).astype(np.float32))
    graph = network(
        conv("a", "x", 3, 4, dead=[0, 3], bias=[2, 1, 1, -1]),
        Node("r", Relu(), ("a",)),
        Node("p", MaxPool2d((2, 2), (2, 2)), ("r",)),
        Node("f", Flatten(), ("p",)),
        Node("fc", Linear(48, 5), ("f",), fc),
        Node("out", Softmax(), ("fc",)),
        size=(6, 8),
    )
    small, _ = removed(graph)
    assert (kept(small, "a"), small.node("fc").op.in_features) == (2, 24)
    expected = 2 * fc.values[:, :12].sum(axis=1, dtype=np.float64)
    assert np.array_equal(small.node("fc").bias, expected.astype(np.float32))
    assert_same_outputs(graph, LAYER["float32"])


@pytest.mark.parametrize("op", [Relu6(), HardSwish(), Silu(), HardSigmoid(), Sigmoid()], ids=str)
def test_constants_pass_through_activations(op):
    graph = network(
        conv("a", "x", 3, 7, dead=[0, 1, 2, 4, 6], bias=[0, -5, 7, 1, 1.25, 2, -1]),
        Node("r", op, ("a",)),
        conv("out", "r", 7, 3),
    )
    assert kept(removed(graph)[0], "a") == 2
    assert_same_outputs(graph, LAYER["float32"])
    # Padding is zero, and so must be what is left out beside it.
    padded = replace(graph, nodes=(*graph.nodes[:2], conv("out", "r", 7, 3, 3, padding=(1, 1))))
    zeros = {Relu6: 3, HardSwish: 2, Silu: 1, HardSigmoid: 1, Sigmoid: 0}[type(op)]
    assert kept(removed(padded)[0], "a") == 7 - zeros
    assert_same_outputs(padded, LAYER["float32"])


@pytest.mark.parametrize(
    ("pool", "left"),
    [
        (AvgPool2d((3, 3), (2, 2), (1, 1)), 4),
        (AvgPool2d((3, 3), (2, 2), (1, 1), count_include_pad=False), 3),
        (AvgPool2d((2, 2), (2, 2), ceil_mode=True), 3),
        (MaxPool2d((3, 3), (2, 2), (1, 1)), 3),
        (GlobalAvgPool(), 3),
    ],
    ids=str,
)
def test_pools_pass_constants_on(pool, left):
    graph = network(
        conv("a", "x", 3, 4, dead=[1], bias=[1, 2, 3, 4]),
        Node("p", pool, ("a",)),
        conv("out", "p", 4, 2),
    )
    assert kept(removed(graph)[0], "a") == left
    assert_same_outputs(graph, LAYER["float32"])


def test_depthwise_convolutions_lose_channels_and_other_groups_do_not():
    graph = network(
        conv("a", "x", 3, 6, dead=[4], bias=[1, 1, 1, 1, 0, 1]),
        conv("dw", "a", 6, 6, 3, groups=6, padding=(1, 1), dead=[0], bias=[-1, 1, 1, 1, 0, 1]),
        Node("r", Relu(), ("dw",)),
        conv("b", "r", 6, 6, dead=[5], bias=[1, 1, 1, 1, 1, 0]),
        conv("g", "b", 6, 4, 3, groups=2),
        conv("out", "g", 4, 2, unread=[1]),
    )
    small, _ = removed(graph)
    assert [kept(small, name) for name in ("a", "dw", "b", "g")] == [4, 4, 6, 4]
    assert small.node("dw").op.groups == 4
    assert_same_outputs(graph)


def test_a_layer_of_zeros_keeps_one_channel():
    graph = network(
        conv("a", "x", 3, 4, 3, padding=(1, 1), dead=[0, 1, 2, 3], bias=[0] * 4),
        conv("b", "a", 4, 5, 3, padding=(1, 1)),
        conv("out", "b", 5, 2),
    )
    small, _ = removed(graph)
    # All of b is constant, and joins the bias of the output.
    assert (kept(small, "a"), kept(small, "b"), kept(small, "out")) == (1, 1, 2)
    assert_same_outputs(graph, LAYER["float32"])


def test_filters_whose_scale_is_zero_are_dead():
    rng = np.random.default_rng(0)
    latents = rng.integers(1, 4, (4, 3, 1)).astype(np.int32)
    scale = np.array([1, 0, 2, 1], np.float32)
    a = Node("a", Conv2d(3, 4, (1, 1)), ("x",), LatentWeight(latents, "d"), scale)
    graph = replace(
        network(a, conv("out", "a", 4, 2, 3, padding=(1, 1))),
        decoders={"d": random_decoder(1, rng)},
    )
    assert kept(removed(graph)[0], "a") == 3
    assert_same_outputs(graph, LAYER["float32"])


def planted(seed):
    """A residual network with dead filters, unread channels, and biases of every sign."""
    rng = np.random.default_rng(seed)
    graph = residual_network(seed)
    share = rng.uniform(0.1, 0.7)
    nodes = []
    for node in graph.nodes:
        if isinstance(node.weight, LatentWeight):
            latents = node.weight.latents.copy()
            latents[rng.random(latents.shape[0]) < share] = 0
            latents[:, rng.random(latents.shape[1]) < share / 2] = 0
            latents[..., rng.random(latents.shape[2]) < 0.2] = 0
            bias = rng.normal(size=latents.shape[0]) * rng.integers(0, 2, latents.shape[0])
            weight = LatentWeight(latents, node.weight.decoder)
            node = replace(node, weight=weight, bias=bias.astype(np.float32))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize("seed", range(12))
def test_random_networks(seed):
    graph = planted(seed)
    # With fewer outputs more can go.
    graphs = [graph, replace(graph, outputs=("fc2",))]
    for each in graphs:
        assert_same_outputs(each, threads=1 + seed % 2)
    counts = [removed(each)[1].removed_channels for each in graphs]
    assert 0 < counts[0] <= counts[1]


def test_the_pass_changes_nothing_that_it_was_given():
    graph = planted(3)
    weights = pack_graph(graph)
    before = {name: weight.unpack(None) for name, weight in weights.items()}
    biases = [None if node.bias is None else node.bias.copy() for node in graph.nodes]
    remove_dead_channels(graph, infer_shapes(graph), weights)
    for name, weight in weights.items():
        for a, b in zip(before[name], weight.unpack(None), strict=True):
            assert np.array_equal(a, b)
    for node, bias in zip(graph.nodes, biases, strict=True):
        assert (node.bias is None) == (bias is None)
        assert bias is None or np.array_equal(node.bias, bias)


def test_the_plan_says_what_was_removed():
    session = Session(planted(0), threads=1)
    removal = session.plan.removal
    assert removal is not None
    assert removal.removed_channels > 0
    words = f"without {removal.removed_channels} of {removal.channels} channels"
    assert words in str(session.plan)


def test_nothing_to_remove_leaves_the_weights_as_they_are():
    graph = network(conv("a", "x", 3, 4), conv("out", "a", 4, 2))
    weights = pack_graph(graph)
    small, same, removal = remove_dead_channels(graph, infer_shapes(graph), weights)
    assert all(same[name] is weights[name] for name in weights)
    assert small == graph
    assert (removal.channels, removal.removed_channels, removal.removed_weights) == (6, 0, 0)
