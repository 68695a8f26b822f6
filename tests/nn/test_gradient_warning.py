"""The one warning of ``SparseConv2d``: dense only because the parameters require gradients."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from lilnetx.nn import pack_slices, sparse_conv2d, sparsify

IMAGES = torch.ones(1, 3, 9, 9)


def network() -> nn.Module:
    return sparsify(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)).eval())


def warnings_of(call) -> list[str]:
    """What a fresh process would warn of."""
    sparse_conv2d._warn_of_gradients.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in caught if "SparseConv2d" in str(w.message)]


def under_autocast(model: nn.Module) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(IMAGES)


@pytest.mark.parametrize(
    "call",
    [
        lambda: network()(IMAGES),
        lambda: [network()(IMAGES) for _ in range(2)],
        lambda: under_autocast(pack_slices(network())),
    ],
    ids=["plain", "twice", "packed, autocast"],
)
def test_it_is_given_once_and_says_what_to_do(call):
    (message,) = warnings_of(call)
    assert "torch.inference_mode() or torch.no_grad()" in message


def without_gradients(context) -> None:
    model = network()
    with context():
        model(IMAGES)
    assert model[0]._sessions, "the sparse kernels did not run"


def compiled(model: nn.Module, **options) -> None:
    found = torch.compile(model, backend="eager", **options)(IMAGES)
    assert torch.allclose(found, model.requires_grad_(False)(IMAGES), atol=1e-5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: without_gradients(torch.no_grad),
        lambda: without_gradients(torch.inference_mode),
        lambda: network().requires_grad_(False)(IMAGES),
        lambda: network().train()(IMAGES),
        lambda: network()(IMAGES.clone().requires_grad_()),
        lambda: network().double()(IMAGES.double()),
        lambda: under_autocast(network()),
        lambda: torch.export.export(network(), (IMAGES,)),
        lambda: torch.jit.trace(network(), IMAGES),
        lambda: torch.fx.symbolic_trace(network())(IMAGES),
        lambda: compiled(network()),
        lambda: compiled(network(), fullgraph=True),
        lambda: compiled(pack_slices(network()), fullgraph=True),
    ],
    ids=[
        "no_grad",
        "inference_mode",
        "frozen",
        "training",
        "gradient of the input",
        "float64",
        "autocast",
        "export",
        "jit",
        "fx",
        "compile",
        "compile, one graph",
        "compile, packed",
    ],
)
def test_it_is_not_given_where_it_is_not_due(call):
    assert warnings_of(call) == []
