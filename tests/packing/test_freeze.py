"""Freezing: the integers, the weights and the outputs of the model, and nothing changed in it."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="freezes torch models")
from torch import nn  # noqa: E402
from torch.nn.utils import parametrize, prune  # noqa: E402

import lilnetx  # noqa: E402
from lilnetx.errors import PackError, UnsupportedOperatorError  # noqa: E402
from lilnetx.graph.ir import DenseWeight, LatentWeight  # noqa: E402
from lilnetx.graph.weights import dense_weight  # noqa: E402
from lilnetx.packing import freeze  # noqa: E402
from lilnetx.reference import run  # noqa: E402
from lilnetx.train.networks import build_network  # noqa: E402

SHAPE = (3, 13, 10)


def network():
    """Every kind of slice: 3x3, 1x1 of channels that 4 does not divide, depthwise, linear."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, 2, 1, groups=8),
        nn.Conv2d(8, 10, 1),
        nn.BatchNorm2d(10),
        nn.ReLU(),
        nn.Conv2d(10, 6, 1, 2),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 5),
    )


def compressed(model=None, slice_1x1=1, shrink=0.4, seed=0, exclude=()):
    """A model with integer latents of which many are zero, and batch norms that matter."""
    torch.manual_seed(seed)
    model = network() if model is None else model
    handle = lilnetx.compress(model, slice_1x1=slice_1x1, exclude=exclude)
    with torch.no_grad():
        for layer in handle.layers:
            layer.original.mul_(shrink)
            layer.original[torch.rand(layer.original.shape[:2]) < 0.3] = 0
        for decoder in {layer.parametrization.decoder for layer in handle.layers}:
            decoder.matrix.add_(torch.randn_like(decoder.matrix) * 0.1 * decoder.matrix.max())
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.2, 2)
                module.weight.uniform_(-1.5, 1.5)
                module.bias.normal_(0, 0.2)
    return model, handle


def relative_error(actual, expected):
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("slice_1x1", [1, 4])
def test_integers_weights_and_outputs_are_the_models(slice_1x1):
    model, handle = compressed(slice_1x1=slice_1x1)
    model.train()
    graph = freeze(model, SHAPE, side_bits=0, meta={"classes": ["a"]})
    assert model.training
    model.eval()
    assert {node.name for node in graph.nodes if node.weight} == {la.name for la in handle.layers}
    zeros = 0
    for layer in handle.layers:
        node = graph.node(layer.name)
        assert isinstance(node.weight, LatentWeight)
        assert node.weight.latents.dtype == np.int32
        np.testing.assert_array_equal(node.weight.latents, layer.integers().numpy())
        weight = dense_weight(graph, node, scaled=False)
        np.testing.assert_array_equal(weight, layer.module.weight.detach().numpy())
        zeros += int((~node.weight.latents.any(axis=2)).sum())
    assert zeros > 0
    x = np.random.default_rng(0).standard_normal((4, *SHAPE))
    with torch.no_grad():
        expected = model(torch.from_numpy(x).float()).numpy()
    assert relative_error(run(graph, x)[0], expected) < 1e-5
    assert graph.meta == {"classes": ["a"], "producer": f"lilnetx {lilnetx.__version__}"}
    assert not graph.synthetic


def test_the_networks_of_training():
    model, handle = compressed(build_network("resnet20", 1, 10, 4))
    graph = freeze(model, (1, 28, 28), side_bits=0)
    assert len(handle.layers) == 22
    for layer in handle.layers:
        np.testing.assert_array_equal(
            graph.node(layer.name).weight.latents, layer.integers().numpy()
        )
    x = np.random.default_rng(0).standard_normal((2, 1, 28, 28))
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(x).float()).numpy()
    assert relative_error(run(graph, x)[0], expected) < 1e-5


def test_the_model_stays_as_it_was():
    model, handle = compressed()
    model.train()
    state = copy.deepcopy(model.state_dict())
    areas = [layer.output_area for layer in handle.layers]
    freeze(model, SHAPE)
    assert [layer.output_area for layer in handle.layers] == areas
    for key, value in model.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, state[key]), key
    for layer in handle.layers:
        assert parametrize.is_parametrized(layer.module, "weight")
        assert layer.module.weight.requires_grad
    loss = model(torch.randn(2, *SHAPE)).square().mean() + handle.penalty()
    loss.backward()
    assert all(layer.original.grad is not None for layer in handle.layers)


def test_side_bits_cost_little_and_less_with_each_bit():
    model, _ = compressed()
    x = np.random.default_rng(0).standard_normal((8, *SHAPE))
    exact = run(freeze(model, SHAPE, side_bits=0), x)[0]
    errors = [
        relative_error(run(freeze(model, SHAPE, side_bits=bits), x)[0], exact)
        for bits in (4, 8, 12, 16, 20)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 1e-3
    assert errors[4] < 1e-5
    assert errors[0] > errors[4]


def test_filters_without_weights_have_no_scale():
    model, _ = compressed()
    norm = model[1]
    with torch.no_grad():
        model[0].parametrizations.weight.original[2] = 0
        norm.running_var[2] = 0  # what training leaves there: a scale of 316 times gamma
        norm.weight.fill_(1.5)
    x = np.random.default_rng(0).standard_normal((4, *SHAPE))
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(x).float()).numpy()
    graph = freeze(model, SHAPE, side_bits=12)
    scale = graph.node("0").scale
    assert scale[2] == 0
    alive = graph.node("0").weight.latents.any(axis=(1, 2))
    np.testing.assert_array_equal(scale > 0, alive)
    assert relative_error(run(graph, x)[0], expected) < 2e-3


def test_biases_below_zero_of_filters_without_weights_go_where_a_relu_follows():
    model, _ = compressed()
    with torch.no_grad():
        for layer in (model[0], model[4]):  # batch norm and ReLU; batch norm, ReLU
            layer.parametrizations.weight.original[1:3] = 0
        model[3].parametrizations.weight.original[1:3] = 0  # no ReLU
        model[3].bias[1:3] = torch.tensor([-0.5, 0.5])
        for norm in (model[1], model[5]):
            norm.running_mean[1:3] = 0
            norm.bias[1:3] = torch.tensor([-0.5, 0.5])
        for layer in (model[4],):
            layer.bias[1:3] = 0
    exact, graph = freeze(model, SHAPE, side_bits=0), freeze(model, SHAPE, side_bits=20)
    for name in ("0", "4"):
        assert exact.node(name).bias[1] == -0.5
        assert graph.node(name).bias[1] == 0
        assert graph.node(name).bias[2] == 0.5
        others = exact.node(name).bias[3:]
        np.testing.assert_allclose(graph.node(name).bias[3:], others, rtol=0, atol=1e-5)
    assert graph.node("3").bias[1] == -0.5
    x = np.random.default_rng(0).standard_normal((4, *SHAPE))
    assert relative_error(run(graph, x)[0], run(exact, x)[0]) < 1e-5


def test_a_plain_model_keeps_its_weights():
    torch.manual_seed(0)
    model = network().eval()
    graph = freeze(model, SHAPE, side_bits=0)
    assert not graph.decoders
    for node in graph.nodes:
        if node.weight is not None:
            assert isinstance(node.weight, DenseWeight)
            module = model.get_submodule(node.name)
            np.testing.assert_array_equal(node.weight.values, module.weight.detach().numpy())
    x = np.random.default_rng(0).standard_normal((4, *SHAPE))
    with torch.no_grad():
        assert relative_error(run(graph, x)[0], model(torch.from_numpy(x).float()).numpy()) < 1e-5


def test_layers_may_be_left_dense():
    model, handle = compressed(exclude=("0", "10"))
    graph = freeze(model, SHAPE)
    kinds = {node.name: type(node.weight) for node in graph.nodes if node.weight is not None}
    assert kinds["0"] is kinds["10"] is DenseWeight
    assert [name for name, kind in kinds.items() if kind is LatentWeight] == [
        layer.name for layer in handle.layers
    ]


def test_a_layer_called_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return self.conv(self.conv(x).relu())

    model, handle = compressed(Twice())
    graph = freeze(model, SHAPE)
    for name in ("conv", "conv_1"):
        latents = graph.node(name).weight.latents
        np.testing.assert_array_equal(latents, handle.layers[0].integers().numpy())


def test_a_layer_that_alters_its_weight_is_refused():
    class Doubled(nn.Conv2d):
        def forward(self, x):
            return self._conv_forward(x, self.weight * 2, self.bias)

    model, _ = compressed(nn.Sequential(nn.ReLU(), Doubled(3, 4, 3)))
    with pytest.raises(PackError, match=r"layer '1': .*differ .* in \d+ of \d+ places"):
        freeze(model, SHAPE)


def test_further_parametrizations_are_refused():
    class Absolute(nn.Module):
        def forward(self, weight):
            return weight.abs()

    model, _ = compressed()
    parametrize.register_parametrization(model[3], "weight", Absolute(), unsafe=True)
    with pytest.raises(PackError, match=r"layer '3'.*further parametrizations"):
        freeze(model, SHAPE)


def test_decoders_of_two_calls_are_refused():
    one, two = nn.Sequential(nn.Conv2d(3, 4, 3)), nn.Sequential(nn.Conv2d(4, 4, 3))
    model = nn.Sequential(compressed(one)[0], compressed(two, seed=1)[0])
    with pytest.raises(PackError, match="two different decoders called '3x3'"):
        freeze(model, SHAPE)


@pytest.mark.parametrize("what", ["weight", "bias", "running_var"])
def test_values_that_are_not_finite_are_refused(what):
    model, _ = compressed(exclude=("0",))
    with torch.no_grad():
        getattr(model[1] if what == "running_var" else model[0 if what == "weight" else 1], what)[
            1
        ] = math.nan
    with pytest.raises(PackError, match=r"layer '0'.*not finite"):
        freeze(model, SHAPE)


def test_latents_that_are_not_finite_are_refused():
    model, _ = compressed()
    with torch.no_grad():
        model[4].parametrizations.weight.original[0, 0, 0] = math.nan
    with pytest.raises(PackError, match="layer '4'"):
        freeze(model, SHAPE)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"meta": {"x": np.float32(1)}}, "meta.*JSON"),
        ({"meta": {"x": math.inf}}, "meta.*JSON"),
        ({"side_bits": 25}, "side_bits"),
        ({"side_bits": -1}, "side_bits"),
    ],
)
def test_wrong_arguments(more, message):
    with pytest.raises(PackError, match=message):
        freeze(network(), SHAPE, **more)


def test_unsupported_operators_come_through():
    with pytest.raises(UnsupportedOperatorError, match="layer '1'"):
        freeze(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Tanh()), SHAPE)


def test_pruned_models(tmp_path):
    torch.manual_seed(0)
    model = network()
    for layer in (model[0], model[4]):
        prune.ln_structured(layer, "weight", 0.5, n=2, dim=0)
    prune.l1_unstructured(model[10], "weight", 0.3)
    model.eval()
    graph = freeze(model, SHAPE, side_bits=0)
    assert {n.name for n in graph.nodes if n.weight is not None} == {"0", "3", "4", "7", "10"}
    weight = graph.node("0").weight.values
    assert (~weight.any(axis=(1, 2, 3))).sum() == 4
    x = np.random.default_rng(0).standard_normal((4, *SHAPE))
    with torch.no_grad():
        expected = model(torch.from_numpy(x).float()).numpy()
    assert relative_error(run(graph, x)[0], expected) < 1e-5
    assert prune.is_pruned(model[0])
    assert "weight_orig" in dict(model[0].named_parameters())
    lilnetx.pack(model, tmp_path / "pruned.lnx", input_shape=SHAPE)
