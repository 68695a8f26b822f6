"""Synthetic networks: exact densities, activations of order 1, reproducible."""

from __future__ import annotations

import numpy as np
import pytest

from lilnetx.errors import GraphError, UsageError
from lilnetx.graph.cost import layer_stats
from lilnetx.graph.ir import Conv2d, LatentWeight, Linear
from lilnetx.graph.shapes import infer_shapes
from lilnetx.graph.weights import dense_weight
from lilnetx.packing.synth import synth
from lilnetx.reference.ops import run_node


@pytest.mark.parametrize("slice_1x1", [1, 4])
@pytest.mark.parametrize("density", [0.0, 0.07, 0.5, 1.0])
def test_density_is_exact(density, slice_1x1):
    graph = synth("resnet20", density=density, slice_1x1=slice_1x1)
    assert graph.synthetic
    for row, node in zip(layer_stats(graph), weighted(graph), strict=True):
        whole = node.name in ("conv1", "fc")
        assert row.slices - row.zero_slices == round((1.0 if whole else density) * row.slices)
        if row.kernel == (1, 1):
            assert row.slice_length == slice_1x1
        # Decoding turns no nonzero slice into zeros, so the runtime sees the same density.
        latents = node.weight.latents
        weight = dense_weight(graph, node)
        if row.kernel == (3, 3):
            np.testing.assert_array_equal(latents.any(axis=2), weight.any(axis=(2, 3)))


def weighted(graph):
    return [node for node in graph.nodes if isinstance(node.op, Conv2d | Linear)]


def test_channels_that_do_not_exist_are_zero():
    graph = synth("resnet20", density=0.9, slice_1x1=7)
    fc = graph.node("fc").weight
    assert isinstance(fc, LatentWeight)
    assert fc.latents.shape == (10, 10, 7)
    assert not fc.latents[:, -1, 1:].any()
    assert fc.latents[:, -1, 0].all()


@pytest.mark.parametrize(
    ("architecture", "density", "shape"),
    [
        ("resnet20", 0.02, None),
        ("resnet20", 1.0, None),
        ("resnet18", 0.19, (3, 64, 64)),
        ("resnet50", 0.19, (3, 48, 48)),
        ("resnet50", 0.02, (1, 33, 47)),
        ("vgg16_bn", 0.19, (3, 32, 32)),
        ("mobilenet_v2", 0.19, (3, 96, 64)),
        ("mobilenet_v2", 1.0, (3, 32, 32)),
    ],
)
def test_activations_stay_of_order_one(architecture, density, shape):
    graph = synth(architecture, density=density, seed=3, input_shape=shape)
    rng = np.random.default_rng(0)
    values = {graph.input_name: rng.standard_normal((1, *graph.input_shape))}
    for node in graph.nodes:
        values[node.name] = run_node(graph, node, [values[name] for name in node.inputs])
        power = np.sqrt((values[node.name] ** 2).mean())
        assert 0.03 < power < 12, f"{node.name}: root mean square {power:.3g}"


def test_seeds():
    one, same, other = (synth("resnet20", density=0.3, seed=s) for s in (1, 1, 2))
    for a, b, c in zip(weighted(one), weighted(same), weighted(other), strict=True):
        np.testing.assert_array_equal(a.weight.latents, b.weight.latents)
        np.testing.assert_array_equal(a.scale, b.scale)
        np.testing.assert_array_equal(a.bias, b.bias)
        assert (a.weight.latents != c.weight.latents).any()
    assert one.meta["seed"] == 1
    assert one.meta["density"] == 0.3
    assert one.meta["architecture"] == "resnet20"


def test_resnet50_is_the_v1_5_form():
    graph = synth("resnet50", density=0.1)
    assert infer_shapes(graph)["layer4.2.relu_2"] == (2048, 7, 7)
    assert graph.node("layer2.0.conv1").op.stride == (1, 1)
    assert graph.node("layer2.0.conv2").op.stride == (2, 2)
    assert graph.node("layer2.0.downsample.0").op.stride == (2, 2)


def test_vgg_has_torchvisions_form():
    graph = synth("vgg16_bn", density=0.1, input_shape=(3, 32, 32))
    convolutions = [node.name for node in weighted(graph) if isinstance(node.op, Conv2d)]
    places = (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)  # of torchvision's vgg16_bn
    assert convolutions == [f"features.{i}" for i in places]
    assert [row.name for row in layer_stats(graph) if row.op == "Linear"] == [
        "classifier.0",
        "classifier.3",
        "classifier.6",
    ]
    # Linear layers but the last are as sparse as the rest.
    sparse = {row.name for row in layer_stats(graph) if row.zero_slices}
    assert sparse == {node.name for node in weighted(graph)} - {"features.0", "classifier.6"}


def test_mobilenet_has_torchvisions_form():
    graph = synth("mobilenet_v2", density=0.1)
    shapes = infer_shapes(graph)
    assert shapes["features.1.conv.1"] == (16, 112, 112)
    assert shapes["features.7.conv.1.2"] == (192, 14, 14)
    assert shapes["features.18.2"] == (1280, 7, 7)
    additions = [node.name for node in graph.nodes if node.name.endswith(".add")]
    assert additions == [f"features.{i}.add" for i in (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)]
    assert graph.node("features.2.conv.1.0").op.groups == 96


def test_depthwise_layers_stay_dense():
    graph = synth("mobilenet_v2", density=0.1, input_shape=(3, 32, 32))
    for row, node in zip(layer_stats(graph), weighted(graph), strict=True):
        depthwise = isinstance(node.op, Conv2d) and node.op.groups > 1
        dense = depthwise or node.name in ("features.0.0", "classifier.1")
        assert row.density == pytest.approx(1.0 if dense else 0.1, abs=0.005), row.name


@pytest.mark.parametrize(
    "wrong",
    [
        {"architecture": "vgg"},
        {"density": -0.1},
        {"density": 1.1},
        {"density": float("nan")},
        {"slice_1x1": 0},
    ],
)
def test_wrong_arguments(wrong):
    with pytest.raises(UsageError, match="expected"):
        synth(**{"architecture": "resnet20", "density": 0.5, **wrong})


def test_wrong_input_shape():
    with pytest.raises(GraphError):
        synth("resnet20", density=0.5, input_shape=(3, 32))
