"""The operator lilnetx::sparse_conv2d and networks with packed slices."""

from __future__ import annotations

import copy
import io

import pytest
from tolerances import LAYER

torch = pytest.importorskip("torch", reason="torch is not installed: lilnetx.nn needs it")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from lilnetx.errors import InputError  # noqa: E402
from lilnetx.nn import SparseConv2d, pack_slices, sparsify  # noqa: E402
from lilnetx.nn.packed_slices import pack_slices_of  # noqa: E402
from lilnetx.nn.sparse_op import runs_on_gpu, sparse_conv2d  # noqa: E402


def sparse_weight(filters, channels, *kernel, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(filters, channels, *kernel, generator=generator)
    weight *= (torch.rand(filters, channels, generator=generator) < 0.5)[..., None, None]
    return weight


def arguments(x, weight, bias, *, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    slices = pack_slices_of(weight, groups)
    return x, *slices, bias, weight.shape[2:], stride, padding, dilation, groups


def close(actual, expected, dtype="float32"):
    assert actual.shape == expected.shape
    error = (actual.double() - expected.double()).abs().max()
    assert error <= LAYER[dtype] * float(expected.abs().max())


SAMPLES = {
    "plain": ((2, 3, 8, 9), (4, 3, 3, 3), {}),
    "window": (
        (1, 3, 9, 9),
        (4, 3, 3, 2),
        {"stride": (2, 1), "padding": (1, 2), "dilation": (2, 1)},
    ),
    "groups": ((2, 6, 7, 7), (4, 3, 1, 1), {"groups": 2}),
    "one pixel": ((1, 5, 1, 1), (3, 5, 1, 1), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_opcheck(name):
    shape, size, more = SAMPLES[name]
    x, weight = torch.randn(shape), sparse_weight(*size)
    bias = None if name == "groups" else torch.randn(size[0])
    sample = arguments(x, weight, bias, **more)
    checks = torch.library.opcheck(sparse_conv2d, sample)
    assert set(checks.values()) == {"SUCCESS"}
    assert len(checks) == 4
    close(torch.ops.lilnetx.sparse_conv2d(*sample), functional.conv2d(x, weight, bias, **more))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_lower_precision_comes_in_and_goes_out(dtype):
    x, weight = torch.randn(1, 3, 6, 6).to(dtype), sparse_weight(4, 3, 3, 3)
    y = sparse_conv2d(*arguments(x, weight, None))
    assert y.dtype == dtype
    expected = functional.conv2d(x.double(), weight.double())
    close(y, expected, str(dtype).removeprefix("torch."))


def test_the_order_in_memory_stays():
    sample = arguments(torch.randn(2, 3, 6, 6), sparse_weight(4, 3, 3, 3), None)
    last = sample[0].to(memory_format=torch.channels_last)
    y = sparse_conv2d(last, *sample[1:])
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert sparse_conv2d(*sample).is_contiguous()
    assert torch.library.opcheck(sparse_conv2d, (last, *sample[1:]))["test_faketensor"] == "SUCCESS"


def test_layers_of_one_shape_are_told_apart():
    x = torch.randn(1, 3, 6, 6)
    for seed in (1, 2, 1):
        weight = sparse_weight(4, 3, 3, 3, seed=seed)
        close(sparse_conv2d(*arguments(x, weight, None)), functional.conv2d(x, weight))


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 3, 2, 8)])
def test_wrong_inputs(shape):
    sample = arguments(torch.randn(shape), sparse_weight(4, 3, 3, 3), None)
    with pytest.raises(InputError):
        sparse_conv2d(*sample)


def network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding="same", groups=2, padding_mode="circular"),
        nn.Conv2d(8, 4, 1, stride=2),
    ).eval()
    with torch.no_grad():
        for module in model:
            if isinstance(module, nn.Conv2d):
                module.weight *= (torch.rand(module.weight.shape[:2]) < 0.5)[..., None, None]
    return model.requires_grad_(False)


def calls_of(graph):
    return [str(node.target) for node in graph.nodes if node.op == "call_function"]


def test_export():
    dense = network()
    model = pack_slices(sparsify(dense))
    x = torch.randn(2, 3, 10, 10)
    program = torch.export.export(
        model, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},)
    )
    assert sum("lilnetx.sparse_conv2d" in name for name in calls_of(program.graph)) == 3
    assert not [name for name in calls_of(program.graph) if "aten.conv2d" in name]
    close(program.module()(x), dense(x))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    y = torch.randn(5, 3, 10, 10)
    close(torch.export.load(file).module()(y), dense(y))


def test_compile():
    dense = network()
    model = pack_slices(sparsify(dense))
    seen = []

    def backend(module, inputs):
        seen.extend(calls_of(module.graph))
        return module.forward

    compiled = torch.compile(model, backend=backend, fullgraph=True)
    x = torch.randn(2, 3, 10, 10)
    close(compiled(x), dense(x))
    assert sum("sparse_conv2d" in name for name in seen) == 3


def test_compile_by_inductor():
    conv = nn.Conv2d(3, 4, 3, padding=1).requires_grad_(False).eval()
    model = nn.Sequential(SparseConv2d.from_dense(conv).pack_slices(), nn.ReLU()).eval()
    x = torch.randn(2, 3, 10, 10)
    close(torch.compile(model, fullgraph=True)(x), conv(x).relu())


def test_autocast():
    model = pack_slices(sparsify(network()))
    x = torch.randn(1, 3, 8, 8)
    expected = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model(x)
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)(x)
    assert y.dtype == compiled.dtype == torch.bfloat16
    # Three layers, each of whose inputs is rounded.
    assert (y - expected).abs().max() <= 3 * LAYER["bfloat16"] * expected.abs().max()
    assert (compiled - expected).abs().max() <= 3 * LAYER["bfloat16"] * expected.abs().max()


def test_slices_move_and_are_no_state():
    sparse = SparseConv2d(3, 4, 3).pack_slices()
    assert set(sparse.state_dict()) == {"weight", "bias"}
    assert {name for name, _ in sparse.named_buffers()} == {
        "packed_filter_ptr", "packed_channel", "packed_values",
    }  # fmt: skip
    state = sparse._packed_state
    moved = sparse.to("meta")
    assert moved.packed_values.device.type == "meta"
    assert moved._packed_state == moved._weight_state()
    assert state is not None
    half = SparseConv2d(3, 4, 3).pack_slices().half()
    assert half._packed_state != half._weight_state()


@pytest.mark.parametrize("change", ["train", "load_state_dict"])
def test_what_drops_slices(change):
    sparse = SparseConv2d(3, 4, 3).eval().pack_slices()
    if change == "train":
        sparse.train()
    else:
        sparse.load_state_dict(sparse.state_dict())
    assert list(sparse.buffers()) == []


def test_a_changed_weight_is_packed_again():
    sparse = SparseConv2d(3, 4, 3).eval().requires_grad_(False).pack_slices()
    x = torch.randn(1, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sparse(x)
        sparse.weight.zero_()
        sparse.bias.zero_()
        assert not sparse(x).any()
        assert sparse.packed_channel.numel() == 0


def test_copies_and_pickles():
    sparse = SparseConv2d(3, 4, 3).eval().requires_grad_(False).pack_slices()
    file = io.BytesIO()
    torch.save(sparse, file)
    file.seek(0)
    for other in (copy.deepcopy(sparse), torch.load(file, weights_only=False)):
        assert torch.equal(other.packed_values, sparse.packed_values)
        assert set(other.state_dict()) == {"weight", "bias"}
        with torch.autocast("cpu", dtype=torch.bfloat16):
            other.weight.zero_()
            assert torch.equal(other(torch.ones(1, 3, 5, 5))[0, :, 0, 0], other.bias.bfloat16())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_no_gpu_means_the_dense_path_there():
    assert not runs_on_gpu()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_on_a_gpu(dtype):
    dense = network().cuda().to(getattr(torch, dtype))
    model = sparsify(dense)
    x = torch.randn(2, 3, 10, 10).cuda().to(getattr(torch, dtype))
    y = model(x)
    assert model[0].packed_values.is_cuda
    expected = network().double()(x.double().cpu())
    bound = 6 * LAYER[dtype] * expected.abs().max()
    assert (y.double().cpu() - expected).abs().max() <= bound
    compiled = torch.compile(pack_slices(model), fullgraph=True)(x)
    assert (compiled.double().cpu() - expected).abs().max() <= bound
    with torch.autocast("cuda", dtype=torch.float16):
        assert model.float()(x.float()).dtype == torch.float16


def test_inference_mode():
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        sparse = SparseConv2d(3, 4, 3).eval().pack_slices()
        x = torch.ones(1, 3, 5, 5)
        assert sparse(x).any()
        sparse.weight.zero_()
        sparse.bias.zero_()
        assert not sparse(x).any()


def test_gradients_take_the_dense_path():
    sparse = SparseConv2d(3, 4, 3).eval().pack_slices()
    x = torch.ones(1, 3, 8, 8, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sparse(x).float().sum().backward()
    assert x.grad is not None
    assert sparse.weight.grad is not None
