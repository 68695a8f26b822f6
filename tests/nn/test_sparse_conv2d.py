"""``SparseConv2d`` and ``sparsify`` against ``torch.nn.Conv2d``."""

from __future__ import annotations

import copy
import io
import threading
import warnings

import pytest
import torch
from tolerances import LAYER
from torch import nn
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import parametrize, prune, spectral_norm, weight_norm

from lilnetx.graph.torch_program import copy_model
from lilnetx.nn import SparseConv2d, sparsify


def make_sparse(conv: nn.Conv2d, density: float = 0.5) -> nn.Conv2d:
    with torch.no_grad():
        keep = torch.rand(conv.weight.shape[:2]) < density
        conv.weight.mul_(keep[..., None, None])
    return conv


def assert_same(actual: torch.Tensor, expected: torch.Tensor):
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    error = (actual - expected).abs().max()
    assert error <= LAYER["float32"] * max(float(expected.abs().max()), 1e-3)


ARGUMENTS = [
    ((3, 5, 3), {}, (9, 11)),
    ((3, 5, 3), {"padding": 1}, (14, 14)),
    ((6, 4, 3), {"padding": 1, "stride": 2, "groups": 2}, (15, 12)),
    ((6, 4, 1), {"bias": False}, (7, 7)),
    ((4, 8, (3, 5)), {"padding": "same"}, (12, 10)),
    ((4, 3, (2, 4)), {"padding": "same"}, (12, 10)),
    ((4, 3, (2, 3)), {"padding": "same", "dilation": (3, 2)}, (12, 10)),
    ((4, 3, 3), {"padding": "valid"}, (6, 6)),
    ((4, 3, 3), {"padding": (2, 1), "padding_mode": "reflect"}, (6, 7)),
    ((4, 3, 4), {"padding": "same", "padding_mode": "circular"}, (6, 7)),
    ((4, 3, 3), {"padding": 1, "padding_mode": "replicate", "stride": (2, 1)}, (6, 7)),
    ((8, 8, 5), {"padding": 2, "groups": 8}, (9, 9)),
]


@pytest.mark.parametrize(("args", "kwargs", "size"), ARGUMENTS, ids=str)
@pytest.mark.parametrize("density", [0.0, 0.4, 1.0])
def test_results_are_those_of_conv2d(args, kwargs, size, density):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch: padding='same' may copy
        conv = make_sparse(nn.Conv2d(*args, **kwargs), density)
        sparse = SparseConv2d(*args, **kwargs)
        sparse.load_state_dict(conv.state_dict())
        x = torch.randn(2, args[0], *size)
        with torch.no_grad():
            assert_same(sparse(x), conv(x))
            assert len(sparse._sessions) == 1, "the sparse kernels did not run"
            assert_same(sparse(x[0]), conv(x[0]))
            channels_last = x.to(memory_format=torch.channels_last)
            assert_same(sparse(channels_last), conv(x))


def test_state_dict_is_that_of_conv2d():
    conv, sparse = nn.Conv2d(3, 4, 3), SparseConv2d(3, 4, 3)
    assert {k: v.shape for k, v in conv.state_dict().items()} == {
        k: v.shape for k, v in sparse.state_dict().items()
    }
    conv.load_state_dict(sparse.state_dict())


def test_gradients_are_those_of_conv2d():
    conv = make_sparse(nn.Conv2d(3, 4, 3, padding=1))
    sparse = SparseConv2d.from_dense(conv)
    x, y = (torch.ones(1, 3, 8, 8, requires_grad=True) for _ in range(2))
    conv(x).square().sum().backward()
    sparse(y).square().sum().backward()
    assert torch.equal(x.grad, y.grad)
    assert torch.equal(conv.weight.grad, sparse.weight.grad)
    assert torch.equal(conv.bias.grad, sparse.bias.grad)
    assert not sparse._sessions


def test_frozen_parameters_run_sparse_without_no_grad():
    sparse = SparseConv2d(3, 4, 3).requires_grad_(False)
    sparse(torch.randn(1, 3, 8, 8))
    assert len(sparse._sessions) == 1


@pytest.mark.parametrize(
    "change", ["in place", "new tensor", "bias", "state_dict", "data", "numpy", "bias data"]
)
def test_changed_parameters_are_packed_again(change):
    conv = make_sparse(nn.Conv2d(3, 4, 3))
    sparse = SparseConv2d.from_dense(conv)
    x = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        sparse(x)
        state = {k: v + 1 for k, v in conv.state_dict().items()}
        for module in (conv, sparse):
            if change == "in place":
                module.weight.mul_(2)
            elif change == "new tensor":
                module.weight = nn.Parameter(torch.full_like(module.weight, 0.25))
            elif change == "bias":
                module.bias.add_(1)
            elif change == "data":
                module.weight.data.mul_(2)
            elif change == "numpy":
                module.weight.detach().numpy()[0, 1] = 1
            elif change == "bias data":
                module.bias.data.add_(1)
            else:
                module.load_state_dict(state)
        assert_same(sparse(x), conv(x))


def test_plans_of_many_sizes():
    conv = make_sparse(nn.Conv2d(3, 4, 3))
    sparse = SparseConv2d.from_dense(conv)
    with torch.no_grad():
        for size in (*range(3, 15), 3):
            x = torch.randn(1, 3, size, 9)
            assert_same(sparse(x), conv(x))
    assert len(sparse._sessions) == 8


def test_other_dtypes_take_the_dense_path():
    sparse = SparseConv2d(3, 4, 3).double()
    with torch.no_grad():
        assert sparse(torch.randn(1, 3, 8, 8).double()).dtype == torch.float64
    assert not sparse._sessions
    half = SparseConv2d(3, 4, 3)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert half(torch.randn(1, 3, 8, 8)).dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (8, 8), (1, 3, 2, 8)], ids=str)
def test_wrong_inputs_fail_as_in_conv2d(shape):
    with torch.no_grad(), pytest.raises(RuntimeError):
        SparseConv2d(3, 4, 3)(torch.randn(shape))


def test_inference_mode():
    with torch.inference_mode():
        sparse = SparseConv2d(3, 4, 3)
        conv = nn.Conv2d(3, 4, 3)
        conv.load_state_dict(sparse.state_dict())
        x = torch.randn(1, 3, 8, 8)
        assert_same(sparse(x), conv(x))
        sparse.weight.zero_()
        conv.weight.zero_()
        assert_same(sparse(x), conv(x))


def test_from_dense_copies():
    conv = nn.Conv2d(3, 4, 3).eval()
    conv.weight.requires_grad_(False)
    sparse = SparseConv2d.from_dense(conv)
    assert not sparse.training
    assert not sparse.weight.requires_grad
    assert sparse.bias.requires_grad
    assert sparse.weight.data_ptr() != conv.weight.data_ptr()
    assert torch.equal(sparse.weight, conv.weight)
    assert SparseConv2d.from_dense(conv.half()).weight.dtype == torch.float16


def test_copies_and_pickles():
    sparse = SparseConv2d(3, 4, 3)
    x = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        expected = sparse(x)
        assert torch.equal(copy.deepcopy(sparse)(x), expected)
        file = io.BytesIO()
        torch.save(sparse, file)
        file.seek(0)
        assert torch.equal(torch.load(file, weights_only=False)(x), expected)


def test_export_sees_a_convolution():
    model = nn.Sequential(SparseConv2d(3, 4, 3), nn.ReLU()).eval()
    program = torch.export.export(model, (torch.randn(1, 3, 8, 8),))
    assert any("conv2d" in str(node.target) for node in program.graph.nodes)


def test_unchanged_parameters_are_packed_once():
    sparse = SparseConv2d(3, 4, 3)
    x = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        sparse.weight[0] = -0.0
        sparse.weight[1] = torch.nan
        sparse(x)
        (session,) = sparse._sessions.values()
        sparse(x)
        assert list(sparse._sessions.values()) == [session]


def dense_call(how, model, x):
    """What some machinery that must see torch's convolution makes of a model."""
    if how == "jit":
        return torch.jit.trace(model, torch.zeros_like(x))(x)
    if how == "fx":
        return torch.fx.symbolic_trace(model)(x)
    if how == "make_fx":
        return make_fx(model)(torch.zeros_like(x))(x)
    if how == "vmap":
        return torch.vmap(model)(x[:, None])[:, 0]
    if how == "vmap of weights":
        weights = {k: v.detach()[None] for k, v in model.named_parameters()}
        call = lambda w: torch.func.functional_call(model, w, (x,))  # noqa: E731
        return torch.vmap(call)(weights)[0]
    if how == "jvp":
        return torch.func.jvp(model, (x,), (torch.ones_like(x),))[1]
    assert how == "dual"
    with forward_ad.dual_level():
        output = model(forward_ad.make_dual(x, torch.ones_like(x)))
        return forward_ad.unpack_dual(output).tangent


@pytest.mark.parametrize("how", ["jit", "fx", "make_fx", "vmap", "vmap of weights", "jvp", "dual"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_follows_operators_sees_a_convolution(how):
    conv = nn.Sequential(make_sparse(nn.Conv2d(3, 4, 3)), nn.ReLU()).requires_grad_(False)
    sparse = sparsify(conv)
    x = torch.randn(2, 3, 8, 8)
    assert_same(dense_call(how, sparse, x), dense_call(how, conv, x))


class Doubled(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * 2


def network() -> nn.Sequential:
    shared = nn.Conv2d(4, 4, 3, padding=1)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2),
        nn.BatchNorm2d(4),
        nn.Sequential(shared, nn.ReLU(), shared),
        nn.Conv2d(4, 4, 1, groups=2),
    )


def test_sparsify_swaps_every_convolution():
    model = network().eval()
    parametrize.register_parametrization(model[3], "weight", Doubled())
    sparse = sparsify(model)
    x = torch.randn(2, 3, 15, 15)
    with torch.no_grad():
        assert_same(sparse(x), model(x))
    kinds = [type(m) for m in sparse.modules()]
    assert kinds.count(SparseConv2d) == 3
    assert nn.Conv2d not in kinds
    assert sparse[2][0] is sparse[2][2]
    assert type(model[0]) is nn.Conv2d
    assert not any(m.training for m in sparse.modules())
    assert "weight" in dict(sparse[3].named_parameters())


def test_sparsify_in_place_and_on_a_convolution():
    model = network()
    assert sparsify(model, inplace=True) is model
    assert type(model[0]) is SparseConv2d
    assert model[0].training
    conv = nn.Conv2d(3, 4, 3)
    assert type(sparsify(conv)) is SparseConv2d
    assert type(conv) is nn.Conv2d


def prune_filters(conv):
    prune.ln_structured(conv, "weight", 0.5, n=2, dim=0)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("change", [prune_filters, weight_norm, spectral_norm])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_sparsify_takes_weights_that_hooks_compute(change, inplace):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(6, 2)).eval()
    change(model[0])
    change(model[2])
    with torch.no_grad():  # what the hook computed before is out of date
        for parameter in model[0].parameters():
            parameter.mul_(1.5)
    model(torch.randn(2, 3, 8, 8))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    kept = copy_model(model)
    sparse = sparsify(model, inplace=inplace)
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert_same(sparse(x), kept(x))
    assert set(dict(sparse[0].named_parameters())) == {"weight", "bias"}
    assert sparse[0].weight.requires_grad
    # The hook of the layer that is not swapped still follows its parameters, those of the copy.
    before = sparse[2].weight.detach().clone()
    with torch.no_grad():
        for name, parameter in sparse[2].named_parameters():
            if name in ("weight_orig", "weight_g"):
                parameter.mul_(3)
        if change is not spectral_norm:  # which divides by the norm
            sparse(x)
            assert torch.allclose(sparse[2].weight, before * 3)
        if not inplace:
            assert_same(model(x), kept(x))


def test_sparsify_copies_cached_results():
    model = network()
    model.cache = {"features": [model[0].weight * 2]}
    copied = sparsify(model).cache["features"][0]
    assert torch.equal(copied, model.cache["features"][0])
    assert copied is not model.cache["features"][0]


def test_sparsify_drops_hooks_of_convolutions_only():
    model = network()
    calls = []
    for module in model.modules():
        module.register_forward_hook(lambda module, *_: calls.append(type(module)))
    sparsify(model)(torch.randn(2, 3, 15, 15))
    assert calls == [nn.BatchNorm2d, nn.ReLU, nn.Sequential, nn.Sequential]


def test_forward_from_several_threads():
    conv = make_sparse(nn.Conv2d(8, 8, 3, padding=1))
    sparse = SparseConv2d.from_dense(conv)
    inputs = [torch.randn(1, 8, 6 + i, 9) for i in range(12)]
    with torch.no_grad():
        expected = [conv(x) for x in inputs]
    failures = []

    def work() -> None:
        with torch.no_grad():
            for x, e in zip(inputs, expected, strict=True):
                if not torch.allclose(sparse(x), e, atol=1e-5):
                    failures.append(x.shape)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert not failures
