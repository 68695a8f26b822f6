"""What the planner decides: fusion, layouts, memory, kernels. Nothing is run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cases import CASES, ConvCase, conv_graph, conv_node, random_decoder
from random_networks import residual_network

from lilnetx.graph.ir import Add, Conv2d, DenseWeight, Graph, Linear, Node, Relu
from lilnetx.graph.shapes import infer_shapes
from lilnetx.graph.weights import decode_slices, dense_weight
from lilnetx.runtime.arena import lifetimes, place
from lilnetx.runtime.fuse import fuse
from lilnetx.runtime.isa import available_isas
from lilnetx.runtime.layout import plane_layouts
from lilnetx.runtime.packed import pack_weight, unpack_slices
from lilnetx.runtime.plan import make_plan


def chain(*nodes: Node, outputs: tuple[str, ...] = ("out",)) -> Graph:
    rng = np.random.default_rng(0)
    case = ConvCase(4, 4, (9, 9), padding=(1, 1))
    real = tuple(
        conv_node(n.name, n.inputs[0], case, "d", rng) if isinstance(n.op, Conv2d) else n
        for n in nodes
    )
    return Graph("x", (4, 9, 9), real, outputs, {"d": random_decoder(9, rng)})


CONV = Conv2d(4, 4, (3, 3))


def fused(graph: Graph) -> list[tuple[str, str | None, str, str]]:
    return [(s.node.name, s.residual, s.activation, s.output) for s in fuse(graph)]


def test_addition_and_relu_join_the_convolution_before_them():
    graph = chain(
        Node("a", CONV, ("x",)),
        Node("b", CONV, ("a",)),
        Node("sum", Add(), ("a", "b")),
        Node("out", Relu(), ("sum",)),
    )
    assert fused(graph) == [("a", None, "none", "a"), ("b", "a", "relu", "out")]


def test_the_later_of_two_convolutions_takes_the_addition():
    graph = chain(Node("a", CONV, ("x",)), Node("b", CONV, ("x",)), Node("out", Add(), ("a", "b")))
    assert fused(graph) == [("a", None, "none", "a"), ("b", "a", "none", "out")]


def test_values_that_others_read_are_not_fused_away():
    graph = chain(
        Node("a", CONV, ("x",)),
        Node("r", Relu(), ("a",)),
        Node("out", Add(), ("a", "r")),
        outputs=("out", "r"),
    )
    assert fused(graph) == [
        ("a", None, "none", "a"),
        ("r", None, "relu", "r"),
        ("out", None, "none", "out"),
    ]


def test_an_output_before_relu_stays():
    graph = chain(Node("a", CONV, ("x",)), Node("out", Relu(), ("a",)), outputs=("out", "a"))
    assert fused(graph) == [("a", None, "none", "a"), ("out", None, "relu", "out")]


def test_adding_a_value_to_itself_is_not_a_residual():
    graph = chain(Node("a", CONV, ("x",)), Node("out", Add(), ("a", "a")))
    assert fused(graph) == [("a", None, "none", "a"), ("out", None, "none", "out")]


def test_nodes_without_readers_are_left_out():
    graph = chain(Node("out", CONV, ("x",)), Node("unused", CONV, ("out",)))
    assert fused(graph) == [("out", None, "none", "out")]


@pytest.mark.parametrize("case", [c for c in CASES if c.residual], ids=str)
def test_case_table_fuses_its_epilogues(case):
    steps = fuse(conv_graph(case))
    last = steps[-1]
    assert (last.node.name, last.residual, last.activation) == ("conv", "side", case.activation)


@pytest.mark.parametrize("seed", range(6))
def test_values_alive_together_do_not_overlap(seed):
    graph = residual_network(seed)
    shapes, steps = infer_shapes(graph), fuse(graph)
    layouts = plane_layouts(steps, shapes)
    images, size = place(steps, shapes, layouts, [graph.input_name], graph.outputs)
    lives = lifetimes(steps, [graph.input_name], graph.outputs)
    assert set(images) == set(lives)
    spans = {n: (i.offset, i.offset + i.channels * i.channel_stride) for n, i in images.items()}
    for a, b in itertools.combinations(images, 2):
        together = lives[a][0] <= lives[b][1] and lives[b][0] <= lives[a][1]
        disjoint = spans[a][1] <= spans[b][0] or spans[b][1] <= spans[a][0]
        # Only a sum may take the place of its residual, all of it, at that value's last use.
        in_place = spans[a] == spans[b] and any(
            {step.residual, step.output} == {a, b} and i == min(lives[a][1], lives[b][1])
            for i, step in enumerate(steps)
        )
        assert disjoint or not together or in_place
        # What shares memory has its zeros at the same places.
        if not disjoint:
            assert images[a].row_stride == images[b].row_stride
            assert images[a].channel_stride == images[b].channel_stride
            assert (images[a].offset - images[b].offset) % images[a].channel_stride == 0
    assert all(begin > 0 and end < size for begin, end in spans.values())
    total = sum(end - begin for begin, end in spans.values())
    assert size < total, "no memory is shared"


def test_plan_prints_kernels_and_reasons():
    graph = residual_network(0)
    plan = make_plan(graph, "portable")
    text = str(plan)
    assert "b0.conv2" in text
    assert "lnx_f32_gconv3x3s1rows_add_relu_" in text
    assert "__portable" in text
    assert all(step.reason for step in plan.steps)
    assert make_plan(graph, "portable") == plan


@pytest.mark.parametrize(
    ("case", "kernel"),
    [
        (ConvCase(3, 4, (28, 28), padding=(1, 1)), "rows3x3"),
        (ConvCase(3, 40, (28, 28), stride=(2, 2), padding=(1, 1)), "rows3x3s2"),
        (ConvCase(3, 4, (28, 28), stride=(2, 2), padding=(1, 1)), "direct3x3s2"),
        (ConvCase(64, 8, (14, 14), (1, 1), density=0.2), "flat"),
        (ConvCase(64, 8, (14, 14), (1, 1), density=1.0), "flat_blocked"),
        (ConvCase(64, 8, (14, 14), (5, 5), padding=(2, 2), density=0.2), "rows5x5"),
        (ConvCase(64, 8, (14, 14), (5, 3), padding=(2, 1), density=0.2), "flat"),
        (ConvCase(8, 8, (14, 14), padding=(1, 1), density=0.0), "flat"),
        (ConvCase(8, 8, (14, 14), padding=(1, 1), groups=8, density=1.0), "rows3x3"),
        (ConvCase(8, 8, (28, 28), (5, 5), padding=(2, 2), groups=8, density=1.0), "rows5x5"),
        (
            ConvCase(8, 8, (33, 33), (5, 5), (2, 2), (2, 2), groups=8, density=1.0),
            "rows5x5s2",
        ),
        (ConvCase(8, 8, (14, 14), padding=(2, 2), dilation=(2, 2), groups=8, density=1.0), "flat"),
        (ConvCase(8, 8, (14, 14), padding=(1, 1), groups=4), "rows3x3"),
    ],
    ids=str,
)
@pytest.mark.parametrize("isa", available_isas())
def test_choice_of_kernel(case, kernel, isa):
    plan = make_plan(conv_graph(case), isa)
    choices = [step.choice for step in plan.steps if step.name == "conv"]
    assert [c.kernel for c in choices if c] == [kernel]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_packed_slices_are_the_dense_weight(case):
    graph = conv_graph(case)
    node = graph.node("conv")
    packed = unpack_slices(pack_weight(graph, node), node.scale)
    s = packed.shape
    per_group, filters_per_group = s.channels // s.groups, s.filters // s.groups
    dense = np.zeros((s.filters, s.slices, s.length), np.float32)
    for f in range(s.filters):
        for k in range(packed.filter_ptr[f], packed.filter_ptr[f + 1]):
            channel = int(packed.channel[k]) - f // filters_per_group * per_group
            dense[f, channel // s.channels_per_slice] = packed.values[k]
    latents = node.weight.latents
    expected = decode_slices(latents, graph.decoders["d"]) * node.scale[:, None, None]
    assert np.array_equal(dense, expected)
    assert packed.density == latents.any(axis=2).mean()


def test_zero_slices_of_dense_weights_are_left_out():
    values = np.zeros((3, 5, 3, 3), np.float32)
    values[0, 1, 2, 2], values[2, 4, 0, 0] = 2.0, 3.0
    graph = Graph(
        "x",
        (5, 6, 6),
        (
            Node(
                "c", Conv2d(5, 3, (3, 3)), ("x",), DenseWeight(values), np.full(3, 0.5, np.float32)
            ),
        ),
        ("c",),
    )
    node = graph.node("c")
    packed = unpack_slices(pack_weight(graph, node), node.scale)
    assert packed.filter_ptr.tolist() == [0, 1, 1, 2]
    assert packed.channel.tolist() == [1, 4]
    dense = dense_weight(graph, graph.node("c")).reshape(3, 5, 9)
    assert np.array_equal(packed.values, dense[[0, 2], [1, 4]])


def test_linear_streams_or_skips_by_density():
    plans = []
    for density in (0.01, 0.5):
        rng = np.random.default_rng(0)
        w = (rng.random((20, 300)) < density).astype(np.float32)
        node = Node("fc", Linear(300, 20), ("x",), DenseWeight(w))
        plans.append(make_plan(Graph("x", (300,), (node,), ("fc",)), "portable").steps[1])
    assert [step.dense for step in plans] == [False, True]


def test_many_groups_need_few_blocks():
    # A table of filters by blocks would otherwise grow with the square of the groups.
    groups = 1 << 17
    case = ConvCase(groups, groups, (1, 1), (1, 1), groups=groups, density=1.0)
    (step,) = [s for s in make_plan(conv_graph(case), "portable").steps if s.choice]
    assert -(-groups // step.choice.block_channels) == 2
