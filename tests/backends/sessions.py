"""Sessions on Triton's interpreter, on the CPU; run by test_backends.py in its own process."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import types
import weakref
from pathlib import Path

import kernels_under_test
import numpy as np
import pytest
import torch
from cases import CASES, conv_graph
from tolerances import LAYER, NETWORK

kernels_under_test.load()

from lilnetx import Session, write_lnx  # noqa: E402
from lilnetx.backends.convolutions import TritonConvolution  # noqa: E402
from lilnetx.backends.network import DeviceNetwork  # noqa: E402
from lilnetx.backends.session import DeviceSession  # noqa: E402
from lilnetx.bench import BenchmarkOptions, run_benchmark  # noqa: E402
from lilnetx.bench.layers import LayerShape  # noqa: E402
from lilnetx.errors import InputError  # noqa: E402
from lilnetx.graph import ir  # noqa: E402
from lilnetx.graph.ir import Add, Graph, Node  # noqa: E402
from lilnetx.graph.to_torch import to_torch  # noqa: E402
from lilnetx.nn.packed_slices import BUFFERS  # noqa: E402
from lilnetx.packing.synth import synth  # noqa: E402
from lilnetx.reference import run  # noqa: E402


def error_of(actual, expected):
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


@pytest.fixture(autouse=True)
def sparse_forms(monkeypatch):
    """Small layers would be planned dense."""
    monkeypatch.setattr(TritonConvolution, "forms", ("union",))


@pytest.fixture(scope="module")
def network():
    return synth("resnet20", density=0.3, seed=1, input_shape=(3, 4, 4), slice_1x1=4)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_network(network, dtype, tmp_path):
    path = tmp_path / "network.lnx"
    meta = {"classes": ["a", "b"], "input": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    write_lnx(dataclasses.replace(network, meta=meta), path)
    session = Session(path, device="triton", dtype=dtype)
    assert session.meta == meta
    assert session.classes == ("a", "b")
    assert session.normalisation == ((0.5,) * 3, (0.25,) * 3)
    assert type(session) is DeviceSession
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 4), dtype=np.float32)
    y = session.run(x)
    assert y.dtype == np.float32
    # Twenty layers, of which each adds the rounding of its output.
    bound = NETWORK["float32"] if dtype == "float32" else 5 * LAYER[dtype]
    assert error_of(y, run(network, x)[0]) <= bound
    assert session.run(x[:0]).shape == (0, 10)
    assert session.output_shapes == ((10,),)
    assert session.graph.outputs == network.outputs
    assert session.weight_bytes > 0


def test_plan_and_profile():
    graph = conv_graph(next(case for case in CASES if case.residual))
    session = Session(graph, device="triton")
    plan = session.plan_for(1)
    convolutions = [step for step in plan.steps if step.op == "Conv2d"]
    assert {step.kernel for step in convolutions} == {"uconv__triton"}
    assert all("us" in step.reason and step.density is not None for step in convolutions)
    assert len(convolutions) == 2
    assert f"{len(plan.steps)} steps, batch 1" in str(plan)
    x = np.zeros((1, *graph.input_shape), np.float32)
    rows = session.profile(x, repeats=1)
    assert [row.name for row in rows] == [step.name for step in plan.steps]
    assert min(row.ms for row in rows) >= 0
    with pytest.raises(InputError):
        session.profile(x[:0])


@pytest.mark.parametrize("case", [c for c in CASES if c.residual and c.activation == "relu"][:2])
@pytest.mark.parametrize("form", ["gathered", "union", "dense"])
def test_fused_ends(case, form, monkeypatch):
    monkeypatch.setattr(TritonConvolution, "forms", (form,))
    graph = conv_graph(case)
    x = np.random.default_rng(0).standard_normal((1, *graph.input_shape), dtype=np.float32)
    y = Session(graph, device="triton").run(x)
    assert error_of(y, run(graph, x)[0]) <= LAYER["float32"]


def test_several_outputs_and_values_read_twice():
    graph = conv_graph(CASES[0])
    graph = dataclasses.replace(
        graph,
        nodes=(
            *graph.nodes,
            Node("twice", Add(), ("conv", "conv")),
            Node("relu", ir.Relu(), ("twice",)),
            Node("pooled", ir.MaxPool2d((1, 1), (1, 1)), ("relu",)),
        ),
        outputs=("conv", "pooled", "conv"),
    )
    x = np.random.default_rng(0).standard_normal((3, *graph.input_shape), dtype=np.float32)
    outputs = Session(graph, device="triton").run(x)
    assert isinstance(outputs, tuple)
    for actual, expected in zip(outputs, run(graph, x), strict=True):
        assert error_of(actual, expected) <= LAYER["float32"]


def test_operators_of_every_kind():
    """All that is no convolution goes to torch: constants, several inputs, transposed ones."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 3, 2, 2)).astype(np.float32)
    values = ir.DenseWeight(rng.standard_normal((4, 1, 1)).astype(np.float32))
    scale = rng.standard_normal(4).astype(np.float32)
    nodes = (
        Node("up", ir.ConvTranspose2d(3, 4, (2, 2), (2, 2)), ("x",), ir.DenseWeight(weight)),
        Node("affine", ir.ChannelAffine(4), ("up",), None, scale, scale),
        Node("one", ir.Constant((4, 1, 1)), (), values),
        Node("product", ir.Mul(), ("affine", "one")),
        Node("joined", ir.Concat(0), ("product", "z")),
        Node("leaky", ir.LeakyRelu(0.1), ("joined",)),
    )
    graph = Graph("x", (3, 2, 3), nodes, ("leaky",), more_inputs={"z": (1, 4, 6)})
    x, z = (rng.standard_normal((2, *s), dtype=np.float32) for s in graph.inputs.values())
    y = Session(graph, device="triton").run({"x": x, "z": z})
    assert error_of(y, run(graph, {"x": x, "z": z})[0]) <= LAYER["float32"]


def test_dead_channels_are_gone(network):
    """What is removed from the graph is removed from the device's weights too."""
    seen = []
    original = DeviceNetwork.__init__

    def spy(self, graph, weights, *rest):
        seen.append(weights)
        original(self, graph, weights, *rest)

    sparse = synth("resnet20", density=0.02, seed=1, input_shape=(3, 4, 4))
    x = np.random.default_rng(0).standard_normal((1, 3, 4, 4), dtype=np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DeviceNetwork, "__init__", spy)
        y = Session(sparse, device="triton").run(x)
    convolutions = [n for n in sparse.nodes if isinstance(n.op, ir.Conv2d)]
    filters = {name: weight.shape[0] for name, weight in seen[0].items()}
    assert any(filters[n.name] < n.op.out_channels for n in convolutions if n.name in filters)
    assert error_of(y, to_torch(sparse)(torch.from_numpy(x)).numpy()) <= NETWORK["float32"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "int8"}, "int8"),
        ({"threads": 2}, "CPU"),
        ({"isa": "avx2"}, "CPU"),
        ({"device": "tpu"}, "tpu"),
    ],
)
def test_arguments_without_meaning(network, arguments, message):
    with pytest.raises(InputError, match=message):
        Session(network, **{"device": "triton", **arguments})


def test_what_holds_no_network(network):
    with pytest.raises(InputError, match=r"found dict, expected the path of a \.lnx file"):
        Session({}, device="triton")


def test_a_benchmark(tmp_path):
    path = tmp_path / "layer.lnx"
    write_lnx(conv_graph(CASES[0]), path)
    options = BenchmarkOptions(
        device="triton", dtype="float16", seconds=0.01, min_rounds=1, loads=1
    )
    report = run_benchmark(path, options)
    assert report.isa == "triton (interpreter)"
    assert [row.name for row in report.contenders] == ["lilnetx"]
    assert report.contenders[0].precision == "fp16"
    assert [layer.kernel for layer in report.layers] == ["uconv__triton"]
    assert "us" in report.layers[0].reason


@pytest.fixture
def gpu(monkeypatch):
    """The benchmarks of gpu-check, on a clock that stands for the GPU's."""
    benchmarks = Path(__file__).resolve().parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(str(benchmarks))
    import gpu.layers
    import gpu.networks
    import gpu.self_check
    import gpu.timing

    monkeypatch.setattr(gpu.timing, "_CALLS_A_ROUND", 2)
    monkeypatch.setattr(gpu.timing, "_WARM_UP_CALLS", 1)
    properties = types.SimpleNamespace(L2_cache_size=1000)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    clock = gpu.self_check.FakeGpu()
    marks = itertools.count()
    monkeypatch.setattr(clock, "mark", lambda: next(marks))
    for module in (gpu.layers, gpu.networks):
        alternate = functools.partial(module.alternate, min_rounds=1)
        short = lambda *args, alternate=alternate, **_: alternate(*args, seconds=0.0)  # noqa: E731
        monkeypatch.setattr(module, "alternate", short)
    return gpu, clock


@pytest.mark.parametrize("precision", [0, 2])
def test_layers_of_gpu_check(gpu, precision):
    gpu, clock = gpu
    op = ir.Conv2d(8, 16, (1, 1))
    job = gpu.layers.LayerJob(
        LayerShape("small", "layer", 3, op, (4, 4), False),
        2,
        gpu.layers.PRECISIONS[precision],
    )
    failed = []
    rows = list(gpu.layers.measure(job, clock, ("triton",), torch.device("cpu"), failed))
    assert failed == []
    assert [row["contender"] for row in rows] == [
        "triton gathered", "triton union", "cudnn contiguous", "cudnn channels_last",
    ]  # fmt: skip
    for row in rows:
        assert row["median_ms"] == 1.0
        assert row["dense_equivalent_tflops"] == pytest.approx(2e-9 * 2 * 16 * 8 * 16)
        assert 0 < row["useful_tflops"] < row["dense_equivalent_tflops"]
        assert (row["predicted_ms"] is not None) == row["contender"].startswith("triton")


@pytest.mark.parametrize("contender", ["lilnetx triton", "torch eager"])
def test_networks_of_gpu_check(gpu, contender):
    gpu, clock = gpu
    network = conv_graph(next(case for case in CASES if case.residual))
    job = gpu.networks.NetworkJob(contender, 1, gpu.networks.PRECISIONS[0])
    row = gpu.networks.measure(job, network, clock, torch.device("cpu"))
    assert row["median_ms"] == 1.0
    assert row["relative_error"] <= 1e-4
    assert row["kernel"] == ("cudnn" if contender == "torch eager" else "2 uconv__triton")


def test_wrong_results_are_not_timed(gpu, network):
    gpu, clock = gpu
    job = gpu.networks.NetworkJob("torch eager", 1, gpu.networks.PRECISIONS[0])
    broken = dataclasses.replace(job.precision, tolerance=1e-12)
    with pytest.raises(ArithmeticError, match="relative error"):
        gpu.networks.measure(
            dataclasses.replace(job, precision=broken), network, clock, torch.device("cpu")
        )


def test_a_failure_does_not_cost_the_others(gpu, monkeypatch, capsys):
    gpu, clock = gpu
    shape = LayerShape("small", "layer", 3, ir.Conv2d(4, 8, (1, 1)), (3, 3), False)
    all_jobs = [gpu.layers.LayerJob(shape, batch, gpu.layers.PRECISIONS[0]) for batch in (1, 0, 2)]
    monkeypatch.setattr(gpu.layers, "jobs", lambda: all_jobs)

    def broken(*_):
        raise RuntimeError("a driver's words\nand more of them")

    monkeypatch.setattr(TritonConvolution, "predicted_us", broken)
    deadline = types.SimpleNamespace(left=1.0)
    outcome = gpu.layers.run(clock, ("triton",), torch.device("cpu"), deadline)
    good = [row for row in outcome.rows if row["batch"]]
    assert [row["contender"] for row in good] == ["cudnn contiguous", "cudnn channels_last"] * 2
    assert sum("RuntimeError: a driver's words" in line for line in outcome.failed) >= 4
    assert "and more of them" in capsys.readouterr().err
    deadline.left = -1.0
    late = gpu.layers.run(clock, ("triton",), torch.device("cpu"), deadline)
    assert (late.rows, late.not_run) == ([], [str(job) for job in all_jobs])


def test_wrong_inputs(network):
    session = Session(network, device="triton")
    with pytest.raises(InputError, match="shape"):
        session.run(np.zeros((1, 3, 9, 8), np.float32))
    with pytest.raises(InputError, match="float64"):
        session.run(np.zeros((1, 3, 4, 4)))


def test_the_operator_by_triton():
    """What the operator does for CUDA tensors, in the interpreter."""
    from lilnetx.nn import SparseConv2d
    from lilnetx.nn.sparse_op import _layers, by_triton

    torch.manual_seed(0)
    sparse = SparseConv2d(4, 6, 3, padding=1, groups=2).requires_grad_(False).eval()
    sparse.weight[:, 0] = 0
    sparse.pack_slices()
    buffers = [sparse.packed_filter_ptr, sparse.packed_channel, sparse.packed_values]
    window = (sparse.kernel_size, sparse.stride, sparse.padding, sparse.dilation, sparse.groups)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(2, 4, 5, 6).contiguous(memory_format=memory_format)
        y = by_triton(x, *buffers, sparse.bias, *window)
        assert y.is_contiguous(memory_format=memory_format)
        expected = torch.nn.functional.conv2d(
            x.double(), sparse.weight.double(), sparse.bias.double(), padding=1, groups=2
        )
        assert error_of(y.numpy(), expected.numpy()) <= LAYER["float32"]
    layer = _layers[buffers[2]][1]
    by_triton(x, *buffers, sparse.bias, *window)
    assert _layers[buffers[2]][1] is layer
    sparse.bias.zero_()
    sparse.packed_values.zero_()
    assert not by_triton(x, *buffers, sparse.bias, *window).any()


@pytest.mark.parametrize("inference", [False, True])
def test_the_operator_lets_go_of_layers(inference):
    """What was packed before is freed, with what was planned for it."""
    from lilnetx.nn import SparseConv2d
    from lilnetx.nn.sparse_op import _layers, by_triton

    kept = len(_layers)
    old = []
    with torch.inference_mode(inference), torch.no_grad():
        sparse = SparseConv2d(4, 6, 1).eval()
        x = torch.randn(1, 4, 2, 2)
        for _ in range(3):
            buffers = [getattr(sparse.pack_slices(), name) for name in BUFFERS]
            by_triton(x, *buffers, sparse.bias, (1, 1), (1, 1), (0, 0), (1, 1), 1)
            old += [weakref.ref(tensor) for tensor in (*buffers, _layers[buffers[2]][1])]
            del buffers
        assert len(_layers) == kept + 1
        assert [reference() is None for reference in old] == [True] * 8 + [False] * 4
        del sparse
    assert len(_layers) == kept
    assert all(reference() is None for reference in old)
