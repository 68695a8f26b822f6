"""Every convolution of the networks that are timed, at its real size, against float64."""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import LAYER

from lilnetx.bench.layers import layer_graph, layer_shapes, spot_check
from lilnetx.graph.cost import layer_stats
from lilnetx.graph.ir import Conv2d
from lilnetx.graph.zoo import ARCHITECTURES
from lilnetx.reference.ops import run as run_reference
from lilnetx.runtime import Session

SHAPES = [shape for network in ARCHITECTURES for shape in layer_shapes(network)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layer(shape):
    graph = layer_graph(shape, 0.19)
    x = np.random.default_rng(0).standard_normal((1, *graph.input_shape), dtype=np.float32)
    output = Session(graph, threads=1).run(x)
    assert output.shape == (1, shape.op.out_channels, *shape.out_size)
    assert spot_check(graph, x, output) <= LAYER["float32"]


@pytest.mark.parametrize("network", ARCHITECTURES)
def test_the_table_covers_a_network(network):
    convolutions = [n for n in ARCHITECTURES[network]().nodes if isinstance(n.op, Conv2d)]
    layers = layer_shapes(network)
    assert sum(layer.count for layer in layers) == len(convolutions)
    assert len({str(layer) for layer in layers}) == len(layers)
    assert [layer.first for layer in layers] == [True, *[False] * (len(layers) - 1)]


def test_densities_and_kinds():
    by_kind = {layer.kind: layer for layer in layer_shapes("mobilenet_v2")}
    assert set(by_kind) == {"stem", "depthwise", "1x1"}
    for kind, layer in by_kind.items():
        (stats,) = layer_stats(layer_graph(layer, 0.25))
        assert stats.density == pytest.approx(0.25 if kind == "1x1" else 1.0, abs=0.001)
    (stats,) = layer_stats(layer_graph(by_kind["1x1"], 0.5, slice_1x1=4))
    assert stats.slice_length == 4


def test_a_spot_check_sees_every_channel_and_pixel():
    (shape,) = [s for s in layer_shapes("resnet20") if s.name == "layer2.0.conv1"]
    graph = layer_graph(shape, 1.0)
    x = np.random.default_rng(0).standard_normal((1, *graph.input_shape), dtype=np.float32)
    (output,) = run_reference(graph, x)
    assert spot_check(graph, x, output) == 0
    moved = x.copy()
    moved[0, -1, -1, -1] += 1
    assert spot_check(graph, moved, output) > 1e-3
    wrong = output.copy()
    wrong[0, -1, 3, 4] += 1
    assert spot_check(graph, x, wrong) > 1e-3
