"""Import from torch and export to torch and ONNX: one function, four ways to evaluate it."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="imports torch models")
import torch_networks  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from lilnetx.errors import InputError, UnsupportedOperatorError, UsageError  # noqa: E402
from lilnetx.graph.from_torch import from_torch  # noqa: E402
from lilnetx.graph.ir import AvgPool2d, Conv2d, DenseWeight, Flatten, Graph, MaxPool2d, Node, Relu  # noqa: E402
from lilnetx.graph.shapes import infer_shapes  # noqa: E402
from lilnetx.graph.to_onnx import to_onnx  # noqa: E402
from lilnetx.graph.to_torch import to_torch  # noqa: E402
from lilnetx.packing.synth import synth  # noqa: E402
from lilnetx.reference import run  # noqa: E402

TOLERANCE = 1e-5  # of the largest output: float32 against float64


def listed(outputs):
    return list(outputs) if isinstance(outputs, tuple | list) else [outputs]


def assert_close(actual, expected, tolerance=TOLERANCE):
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        a, e = np.asarray(a), np.asarray(e)
        assert a.shape == e.shape
        error = np.abs(a.astype(np.float64) - e).max() / np.abs(e).max()
        assert error < tolerance, f"relative error {error:.3g}"


def random_input(shape, batch=3):
    return np.random.default_rng(5).standard_normal((batch, *shape))


def run_onnx(model, x):
    onnxruntime = pytest.importorskip("onnxruntime", reason="runs ONNX models")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})


@pytest.mark.parametrize("name", torch_networks.NETWORKS)
def test_four_ways(name):
    network = torch_networks.build(name)
    graph = from_torch(network, network.shape)
    x = random_input(network.shape)
    with torch.no_grad():
        expected = listed(copy.deepcopy(network).double()(torch.from_numpy(x)))
        exported = listed(to_torch(graph)(torch.from_numpy(x).float()))
    assert len({round(float(e.abs().max()), 6) for e in expected} - {0.0}) == len(expected)
    reference = run(graph, x)
    assert_close(reference, expected)
    shapes = infer_shapes(graph)
    assert [shapes[name] for name in graph.outputs] == [tuple(e.shape[1:]) for e in expected]
    assert_close(exported, expected)
    pytest.importorskip("onnx", reason="builds ONNX models")
    assert_close(run_onnx(to_onnx(graph), x), expected)


# In the order of execution: torch_networks.Bottleneck adds its branch to the projection.
LAYERS = ("conv1", "conv2", "downsample.0", "conv3")


def test_names_are_module_paths():
    graph = from_torch(torch_networks.build("resnet-bottleneck"), torch_networks.ResNet.shape)
    weighted = [node.name for node in graph.nodes if node.weight is not None]
    assert weighted == [
        "conv1",
        *(f"layer{block}.{layer}" for block in ("1.0", "1.1", "2.0") for layer in LAYERS),
        "fc",
    ]
    names = [node.name for node in graph.nodes]
    assert {
        "relu",
        "maxpool",
        "avgpool",
        "layer1.0.relu",
        "layer1.0.relu_1",
        "layer1.0.add",
    } <= set(names)


def test_shared_modules_become_nodes_of_their_own():
    graph = from_torch(torch_networks.build("shared"), torch_networks.Shared.shape)
    convs = [node for node in graph.nodes if node.weight is not None]
    assert [node.name for node in convs] == ["conv", "conv_1", "conv_2"]
    assert [node.scale is None for node in convs] == [True, False, True]
    assert [n.name for n in graph.nodes if isinstance(n.op, Relu)] == ["relu", "relu_1", "relu_2"]


def test_the_model_is_left_untouched():
    network = torch_networks.build("resnet-basic").train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    one = from_torch(network, network.shape)
    assert network.training
    assert all(module.training for module in network.modules())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])
    two = from_torch(network.eval(), network.shape)
    x = random_input(network.shape)
    np.testing.assert_array_equal(run(one, x)[0], run(two, x)[0])


def test_values_changed_in_place():
    torch.manual_seed(0)
    network = torch_networks.InPlace().eval()

    x = random_input((2, 5, 5))
    graph = from_torch(network, (2, 5, 5))
    with torch.no_grad():
        expected = network.double()(torch.from_numpy(x))
    assert_close(run(graph, x), expected)


def test_computed_weights_and_half_precision():
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
        nn.ReLU(),
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 1)),
    ).eval()
    x = random_input((3, 6, 6))
    graph = from_torch(network, (3, 6, 6))
    assert [n.name for n in graph.nodes] == ["0", "1", "2"]
    with torch.no_grad():
        assert_close(run(graph, x), [network(torch.from_numpy(x).float())])
    graph = from_torch(nn.Conv2d(3, 4, 3).bfloat16(), (3, 6, 6))
    assert graph.nodes[0].weight.values.dtype == np.float32


def test_a_weight_computed_in_forward():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 3, 3, 3))
            self.register_buffer("gain", torch.tensor(0.5), persistent=False)

        def forward(self, x):
            return functional.conv2d(x, self.weight.tanh() * self.gain, padding=1)

    torch.manual_seed(2)
    network = nn.Sequential(Scaled())
    graph = from_torch(network, (3, 5, 5))
    assert graph.nodes[0].name == "0"
    x = random_input((3, 5, 5))
    with torch.no_grad():
        assert_close(run(graph, x), [network.double()(torch.from_numpy(x))])


def test_dead_branches_are_left_out():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.main, self.auxiliary = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 2, 1)

        def forward(self, x):
            self.auxiliary(x).relu()
            return self.main(x)

    assert [n.name for n in from_torch(Auxiliary(), (3, 4, 4)).nodes] == ["main"]


class Call(nn.Module):
    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *x):
        return self.function(self, *x)


CONV = {"conv": nn.Conv2d(3, 3, 1), "bn": nn.BatchNorm2d(3)}
SUPPORTED = {
    "gelu": nn.Sequential(nn.Sequential(nn.GELU())),
    "gelu-tanh": nn.GELU("tanh"),
    "leaky": nn.LeakyReLU(0.2),
    "clip": nn.Hardtanh(-1, 1),
    "floor": Call(lambda m, x: x.clamp(min=1)),
    "scalars": Call(lambda m, x: ((x + 1) * 2 - 0.5) / 3),
    "reversed": Call(lambda m, x: 1 - x + 2 / (x.sigmoid() + 1)),
    "alpha": Call(lambda m, x: torch.add(x, x.relu(), alpha=2)),
    "channels": Call(lambda m, x: x - torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1)),
    "broadcast": Call(lambda m, x: x * x.mean((2, 3), True).sigmoid()),
    "constants": Call(lambda m, x: x * torch.arange(8.0) + torch.ones(8, 1)),
    "transposed": nn.ConvTranspose2d(3, 4, 3, 2, 1, 1),
    "transposed-groups": nn.ConvTranspose2d(3, 6, 2, 2, groups=3, bias=False),
    "circular": nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"),
    "reflect": nn.Conv2d(3, 3, 3, padding=2, padding_mode="reflect"),
    "replicate": nn.Conv2d(3, 3, 3, padding=(1, 2), padding_mode="replicate"),
    "uneven-same": nn.Conv2d(3, 3, 2, padding="same"),
    "pads": Call(lambda m, x: functional.pad(x, (1, 2, 0, -1), value=0.5)),
    "linear-on-pixels": nn.Linear(8, 3),
    "adaptive": nn.AdaptiveAvgPool2d(3),
    "adaptive-max": nn.AdaptiveMaxPool2d((2, 5)),
    "max-dilation": nn.MaxPool2d(2, dilation=2),
    "softmax-2d": nn.Softmax(1),
    "mean": Call(lambda m, x: x.mean(1, True)),
    "reductions": Call(lambda m, x: x.sum(2) + x.amax(3) - x.amin((2,))),
    "split": Call(lambda m, x: torch.cat(x.split([1, 2], 1)[::-1], 1)),
    "chunk": Call(lambda m, x: next(a * b.sigmoid() for a, b in [x.chunk(2, 2)])),
    "slices": Call(lambda m, x: x[:, 1:, ::2, -3:] + x[:, :1, :4, 0:3]),
    "select": Call(lambda m, x: torch.stack([x[:, 2], x[:, 0]], 1)),
    "permute": Call(lambda m, x: x.permute(0, 2, 3, 1).flatten(1, 2).softmax(-1)),
    "matmul": Call(lambda m, x: x @ x.transpose(2, 3)),
    "nearest": nn.Upsample(scale_factor=2),
    "nearest-size": nn.Upsample((5, 12)),
    "nearest-exact": nn.Upsample((5, 12), mode="nearest-exact"),
    "bilinear": nn.Upsample(scale_factor=1.5, mode="bilinear"),
    "bilinear-corners": nn.Upsample((15, 11), mode="bilinear", align_corners=True),
    "pixel-shuffle": nn.Sequential(nn.Conv2d(3, 8, 1), nn.PixelShuffle(2)),
    "channel-shuffle": nn.Sequential(nn.Conv2d(3, 8, 1), nn.ChannelShuffle(4)),
    "conv1d": nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 4, 5, 2, 2), nn.MaxPool1d(3, 2)),
    "squeeze-and-excite": Call(
        lambda m, x: x * m.conv(x.mean((2, 3), keepdim=True)).sigmoid(), **CONV
    ),
    "bn-first": nn.BatchNorm2d(3),
    "bn-after-relu": nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)),
    "bn-of-read-value": Call(lambda m, x: next(m.bn(y) + y for y in [m.conv(x)]), **CONV),
    "bn-of-output": Call(lambda m, x: next((m.bn(y), y) for y in [m.conv(x)]), **CONV),
}


@pytest.mark.parametrize("name", SUPPORTED)
def test_operators(name):
    """From torch and back, and through ONNX and back."""
    network = torch_networks.randomise(copy.deepcopy(SUPPORTED[name]))
    graph = from_torch(network, (3, 8, 8))
    x = random_input((3, 8, 8))
    with torch.no_grad():
        expected = listed(network.double()(torch.from_numpy(x)))
        assert_close(listed(to_torch(graph)(torch.from_numpy(x).float())), expected)
    assert_close(run(graph, x), expected)
    pytest.importorskip("onnx", reason="builds ONNX models")
    from lilnetx.graph.from_onnx import from_onnx

    model = to_onnx(graph)
    assert_close(run_onnx(model, x), expected)
    assert_close(run(from_onnx(model), x), expected)


def test_several_inputs():
    network = Call(lambda m, x, y: m.conv(x) * y, **CONV).eval()
    graph = from_torch(network, [(3, 8, 8), (3, 1, 1)])
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, 8, 8)), rng.standard_normal((2, 3, 1, 1))
    names = list(graph.inputs)
    with torch.no_grad():
        expected = network.double()(torch.from_numpy(x), torch.from_numpy(y))
    network.float()
    assert_close(run(graph, dict(zip(names, (x, y), strict=True))), [expected])
    with pytest.raises(InputError, match="shape"):
        run(graph, dict(zip(names, (y, x), strict=True)))


UNSUPPORTED = {
    "tanh": (nn.Sequential(nn.Conv2d(3, 3, 1), nn.Tanh()), "layer '1'.*tanh"),
    "forward": (Call(lambda m, x: x.exp()), "own forward.*exp"),
    "two": (Call(lambda m, x: x.exp().relu().tanh()), r"exp.*\(and 1 more"),
    "divisor": (nn.AvgPool2d(2, divisor_override=3), "divisor_override"),
    "folded-batch": (Call(lambda m, x: x.reshape(-1, 64)), "the batch, must stay"),
    "moved-batch": (Call(lambda m, x: x.permute(1, 0, 2, 3)), "moves the batch axis"),
    "batch-mean": (Call(lambda m, x: x.mean(0, True)), "along the batch axis"),
    "dtype": (Call(lambda m, x: x.to(torch.float64)), "dtype"),
    "bn-batch-statistics": (
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
        "layer '1'",
    ),
    "control-flow": (Call(lambda m, x: x if x.sum() > 0 else x.relu()), "torch.export cannot"),
    "constant-output": (Call(lambda m, x: (x.relu(), torch.ones(2, 3))), "not depend on the input"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported(name):
    model, message = UNSUPPORTED[name]
    with pytest.raises(UnsupportedOperatorError, match=message):
        from_torch(model, (3, 8, 8))


def test_an_input_that_the_model_cannot_take(capfd):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(10, 2))
    with pytest.raises(InputError, match=r"Sequential on an input of \(2, 3, 8, 8\)"):
        from_torch(network, (3, 8, 8))
    with pytest.raises(InputError, match="missing 1 required positional argument"):
        from_torch(nn.Bilinear(3, 3, 3), (3,))
    assert capfd.readouterr().err == ""


POOLS = [
    ((3, 3), (2, 2), (1, 1), (7, 10)),
    ((2, 2), (3, 3), (1, 1), (5, 6)),
    ((5, 5), (4, 4), (2, 2), (6, 7)),
    ((4, 3), (3, 2), (0, 1), (4, 6)),
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "pixels"), POOLS)
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_pools_of_exports(kernel, stride, padding, pixels, ceil_mode):
    pytest.importorskip("onnx", reason="builds ONNX models")
    ops = [MaxPool2d(kernel, stride, padding, ceil_mode)]
    ops += [AvgPool2d(kernel, stride, padding, ceil_mode, count) for count in (False, True)]
    nodes = tuple(Node(f"p{i}", op, ("x",)) for i, op in enumerate(ops))
    graph = Graph("x", (2, *pixels), nodes, tuple(n.name for n in nodes))
    x = random_input((2, *pixels))
    expected = run(graph, x)
    assert_close(run_onnx(to_onnx(graph), x), expected)
    assert_close(to_torch(graph)(torch.from_numpy(x).float()), expected)
    assert_close(run(from_torch(to_torch(graph), graph.input_shape), x), expected)


def test_exports_of_latents_and_unusual_outputs():
    pytest.importorskip("onnx", reason="builds ONNX models")
    graph = synth("resnet20", density=0.3, slice_1x1=4, input_shape=(3, 19, 17))
    graph = Graph(
        graph.input_name,
        graph.input_shape,
        graph.nodes,
        ("fc", "layer2.0.add", "fc", "x"),
        graph.decoders,
        True,
        {"classes": ["a", "b"]},
    )
    x = random_input(graph.input_shape, batch=2)
    expected = run(graph, x)
    model = to_onnx(graph, opset=13)
    assert_close(run_onnx(model, x), expected)
    assert '"classes": ["a", "b"]' in model.metadata_props[0].value
    network = to_torch(graph)
    assert_close(network(torch.from_numpy(x).float()), expected)
    assert "layer1.0.conv1.weight" in network.state_dict()
    assert not any(p.requires_grad for p in network.parameters())


def test_a_layer_inside_a_layer_keeps_both_weights():
    def conv(name, source):
        weight = np.random.default_rng(len(name)).standard_normal((2, 2, 1, 1))
        return Node(name, Conv2d(2, 2, (1, 1)), (source,), DenseWeight(weight.astype(np.float32)))

    x = random_input((2, 3, 3))
    for names in [("a", "a.b", "a.b.c"), ("a.b.c", "a.b", "a")]:
        nodes = tuple(
            conv(name, source) for name, source in zip(names, ("x", *names[:2]), strict=True)
        )
        graph = Graph("x", (2, 3, 3), nodes, (names[-1],))
        assert_close([to_torch(graph)(torch.from_numpy(x).float())], run(graph, x))


def test_old_opset():
    pytest.importorskip("onnx", reason="builds ONNX models")
    graph = Graph("x", (2, 3, 3), (Node("f", Flatten(), ("x",)),), ("f",))
    with pytest.raises(UsageError, match="opset"):
        to_onnx(graph, opset=12)
