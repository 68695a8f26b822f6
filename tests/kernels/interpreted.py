"""Triton kernels in the interpreter, on CPU tensors; run by test_triton.py in its own process."""

from __future__ import annotations

import dataclasses

import cases
import kernels_under_test
import numpy as np
import pytest
import torch
from torch.nn import functional

from lilnetx.errors import InputError
from lilnetx.graph.weights import dense_weight
from lilnetx.reference import run

KERNELS = kernels_under_test.load()

# channels, filters, (height, width), then what differs from a 3x3 kernel of density 0.5.
CASES = [
    (4, 3, (7, 9), {"padding": (1, 1)}),
    (4, 3, (7, 9), {"padding": (1, 1), "residual": True, "relu": True}),
    (1, 1, (3, 3), {"density": 1.0}),
    (5, 7, (1, 1), {"padding": (1, 1), "relu": True}),
    (2, 2, (17, 19), {"kernel": (7, 7), "stride": (2, 2), "padding": (3, 3), "density": 1.0}),
    (6, 4, (9, 12), {"kernel": (3, 5), "stride": (1, 2), "padding": (2, 0), "dilation": (2, 1)}),
    (6, 6, (8, 5), {"groups": 6, "padding": (1, 1)}),
    (6, 9, (10, 4), {"groups": 3, "kernel": (1, 3), "padding": (0, 4), "dilation": (1, 3)}),
    (7, 5, (6, 6), {"kernel": (1, 1), "bias": False}),
    (7, 5, (6, 6), {"kernel": (1, 1), "g": 4, "residual": True}),
    (8, 5, (13, 11), {"kernel": (1, 1), "g": 4, "stride": (2, 2), "relu": True}),
    (10, 6, (5, 5), {"kernel": (1, 1), "g": 4, "groups": 2, "padding": (1, 0)}),
    (4, 4, (18, 18), {"padding": (1, 1), "density": 0.0}),
    (4, 4, (18, 18), {"padding": (1, 1), "density": 0.0, "bias": False, "relu": True}),
    (3, 2, (16, 16), {"padding": (1, 1), "images": 3}),
    (3, 2, (17, 16), {"padding": (1, 1), "images": 0}),
    (2, 2, (4, 5), {"kernel": (4, 5), "images": 2}),
]
TOLERANCES = {torch.float32: 1e-5, torch.float16: 2e-3}  # of the largest output


def make(channels, filters, size, dtype, *, kernel=(3, 3), density=0.5, g=1, groups=1, images=2,
         bias=True, residual=False, relu=False, **geometry):  # fmt: skip
    """Tensors and arguments of a case."""
    generator = torch.Generator().manual_seed(channels * 1000 + filters)
    weight = torch.randn(filters, channels // groups, *kernel, generator=generator)
    slices = -(-(channels // groups) // g)
    alive = torch.rand(filters, slices, generator=generator) < density
    weight *= alive.repeat_interleave(g, 1)[:, : channels // groups, None, None]
    x = torch.randn(images, channels, *size, generator=generator).to(dtype)
    vector = torch.randn(filters, generator=generator) if bias else None
    arguments = {**geometry, "bias": vector, "relu": relu}
    plain = functional.conv2d(x.double(), weight.double(), None, groups=groups, **geometry)
    if residual:
        arguments["residual"] = torch.randn(plain.shape, generator=generator).to(dtype)
    expected = plain
    if vector is not None:
        expected = expected + vector.double()[:, None, None]
    if residual:
        expected = expected + arguments["residual"].double()
    packed = KERNELS.gather_slices(weight, groups=groups, slice_channels=g)
    return x, packed, alive, arguments, expected.relu() if relu else expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_against_float64(case, dtype):
    channels, filters, size, more = CASES[case]
    x, packed, alive, arguments, expected = make(channels, filters, size, dtype, **more)
    assert packed.channel.numel() == int(alive.sum())
    actual = KERNELS.gathered_conv(x, packed, **arguments)
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    assert actual.is_contiguous()
    if actual.numel():
        error = (actual.double() - expected).abs().max() / expected.abs().max().clamp(min=1e-30)
        assert error < TOLERANCES[dtype]


def interpreter_steps(case):
    """Taps that the interpreter evaluates one by one, all programs together."""
    blocks = -(-case.size[0] * case.size[1] // 256)
    taps = case.kernel[0] * case.kernel[1] * case.channels // case.groups
    return blocks * case.filters * taps * case.density


# The larger cases are about CPU caches, and would take a minute here.
TABLE = [
    case
    for case in cases.CASES
    if case.activation in ("none", "relu") and interpreter_steps(case) <= 550
]


def test_the_table_is_mostly_there():
    fitting = [case for case in cases.CASES if case.activation in ("none", "relu")]
    assert len(TABLE) > 0.7 * len(fitting)


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_the_table_of_all_backends(case):
    graph = cases.conv_graph(case)
    x = np.random.default_rng(0).standard_normal((1, *graph.input_shape)).astype(np.float32)
    node = graph.node("conv")
    residual = None
    if case.residual:
        side = dataclasses.replace(graph, outputs=("side",))
        residual = torch.from_numpy(run(side, x)[0]).float()
    actual = KERNELS.gathered_conv(
        torch.from_numpy(x),
        KERNELS.gather_slices(
            torch.from_numpy(dense_weight(graph, node)), groups=case.groups, slice_channels=case.g
        ),
        stride=case.stride,
        padding=case.padding,
        dilation=case.dilation,
        bias=None if node.bias is None else torch.from_numpy(node.bias),
        residual=residual,
        relu=case.activation == "relu",
    )
    expected = run(graph, x)[0]
    assert actual.shape == expected.shape
    error = np.abs(actual.numpy() - expected).max() / max(np.abs(expected).max(), 1e-30)
    assert error < TOLERANCES[torch.float32]


def test_inputs_in_other_memory_orders():
    x, packed, _, arguments, expected = make(4, 3, (7, 9), torch.float32, residual=True)
    arguments["residual"] = arguments["residual"].to(memory_format=torch.channels_last)
    actual = KERNELS.gathered_conv(x.to(memory_format=torch.channels_last), packed, **arguments)
    torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-5)


def test_wide_channel_indices():
    weight = torch.zeros(2, 40000, 1, 1)
    weight[1, 39999] = 2.0
    packed = KERNELS.gather_slices(weight)
    assert packed.channel.dtype == torch.int32
    x = torch.zeros(1, 40000, 1, 2)
    x[0, 39999] = torch.tensor([3.0, -1.0])
    out = KERNELS.gathered_conv(x, packed)
    assert out.flatten().tolist() == [0, 0, 6, -2]


def test_missing_channels_of_a_slice_are_not_read():
    weight = torch.ones(2, 3, 1, 1)
    packed = KERNELS.gather_slices(weight, groups=2, slice_channels=4)
    x = torch.ones(1, 6, 1, 1)
    x[0, 3] = torch.inf  # of the second group: the first must not see it, not even times zero
    out = KERNELS.gathered_conv(x, packed)
    assert out.flatten().tolist() == [3, torch.inf]


SLICES = KERNELS.gather_slices(torch.ones(2, 3, 3, 3))
IMAGE = torch.ones(1, 3, 5, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.ones(1, 4, 5, 5)}, r"expected \(N, 3, H, W\)"),
        ({"x": torch.ones(3, 5, 5)}, "expected"),
        ({"x": IMAGE.double()}, "float64"),
        ({"x": torch.ones(1, 3, 2, 5)}, "leaves no pixel"),
        ({"stride": 0}, "positive"),
        ({"padding": (0, -1)}, "not negative"),
        ({"dilation": 0}, "positive"),
        ({"bias": torch.ones(3)}, "bias"),
        ({"bias": torch.ones(2).half()}, "bias"),
        ({"residual": torch.ones(1, 2, 5, 5)}, "residual"),
        ({"slices": SLICES.to("meta")}, "device"),
        ({"x": torch.ones(65536, 3, 3, 3)}, "at most 65535"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"x": IMAGE, "slices": SLICES, **change}
    with pytest.raises(InputError, match=message):
        KERNELS.gathered_conv(arguments.pop("x"), arguments.pop("slices"), **arguments)


@pytest.mark.parametrize(
    ("shape", "more"),
    [((2, 3, 3), {}), ((3, 3, 3, 3), {"groups": 2}), ((2, 3, 3, 3), {"slice_channels": 4})],
)
def test_wrong_weights(shape, more):
    with pytest.raises(InputError):
        KERNELS.gather_slices(torch.ones(shape), **more)
