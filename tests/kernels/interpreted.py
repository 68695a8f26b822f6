"""Triton kernels in the interpreter, on CPU tensors; run by test_triton.py in its own process."""

from __future__ import annotations

import dataclasses
import mmap

import kernels_under_test
import numpy as np
import pytest
import torch
from tolerances import LAYER
from torch.nn import functional

from lilnetx.errors import InputError

KERNELS = kernels_under_test.load()
ARGUMENTS = kernels_under_test.submodule("arguments")
CONFIGS = kernels_under_test.submodule("configs")
KERNEL = kernels_under_test.submodule("gathered_kernel")
PROBLEM = kernels_under_test.submodule("problem")
UNIONS = kernels_under_test.submodule("unions")
LAUNCH = kernels_under_test.submodule("gathered_launch")
SPARSE = kernels_under_test.submodule("sparse_conv")
PLAN = kernels_under_test.submodule("plan")

# channels, filters, (height, width), then what differs from a 3x3 kernel of density 0.5.
CASES = [
    (4, 3, (7, 9), {"padding": (1, 1), "residual": True, "activation": "relu"}),
    (5, 7, (1, 1), {"padding": (1, 1), "activation": "relu"}),
    (6, 4, (9, 12), {"kernel": (3, 5), "stride": (1, 2), "padding": (2, 0), "dilation": (2, 1)}),
    (6, 9, (10, 4), {"groups": 3, "kernel": (1, 3), "padding": (0, 4), "dilation": (1, 3)}),
    (7, 5, (6, 6), {"kernel": (1, 1), "g": 4, "residual": True}),
    (8, 5, (13, 11), {"kernel": (1, 1), "g": 4, "stride": (2, 2), "activation": "silu"}),
    (10, 6, (5, 5), {"kernel": (1, 1), "g": 4, "groups": 2, "padding": (1, 0)}),
    (4, 4, (9, 9), {"padding": (1, 1), "density": 0.0}),
    (4, 4, (9, 9), {"density": 0.0, "bias": False, "activation": "relu"}),
    (8, 20, (4, 4), {"padding": (1, 1), "images": 3}),
    (3, 2, (5, 6), {"images": 0}),
    (8, 17, (5, 5), {"kernel": (1, 1), "images": 8}),
]
# Memory that is only promised, and may be more than there is (Linux; Python names it from 3.13 on).
NORESERVE = 0x4000
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def make(channels, filters, size, dtype, *, kernel=(3, 3), density=0.5, g=1, groups=1, images=2,
         bias=True, residual=False, activation="none", **geometry):  # fmt: skip
    """Tensors and arguments of a case."""
    generator = torch.Generator().manual_seed(channels * 1000 + filters)
    weight = torch.randn(filters, channels // groups, *kernel, generator=generator)
    slices = -(-(channels // groups) // g)
    alive = torch.rand(filters, slices, generator=generator) < density
    weight *= alive.repeat_interleave(g, 1)[:, : channels // groups, None, None]
    x = torch.randn(images, channels, *size, generator=generator).to(dtype)
    vector = torch.randn(filters, generator=generator) if bias else None
    arguments = {**geometry, "bias": vector, "activation": activation}
    expected = functional.conv2d(x.double(), weight.double(), None, groups=groups, **geometry)
    if residual:
        arguments["residual"] = torch.randn(expected.shape, generator=generator).to(dtype)
    if vector is not None:
        expected = expected + vector.double()[:, None, None]
    if residual:
        expected = expected + arguments["residual"].double()
    expected = {"none": lambda y: y, "relu": torch.relu, "silu": functional.silu}[activation](
        expected
    )
    packed = KERNELS.gather_slices(weight, groups=groups, slice_channels=g)
    assert packed.channel.numel() == int(alive.sum())
    return x, packed, arguments, expected


def union(x, packed, arguments, config=None):
    config = config or CONFIGS.UnionConfig(16, 32, 16, 4, 2)
    run = UNIONS.run_lengths(packed.in_channels // packed.groups, x.element_size())[0]
    blocks = UNIONS.make_blocks(packed.channels_read(), packed.groups, config.filters, run)
    weights = KERNELS.union_weights(packed, blocks, config.channels, x.dtype)
    return KERNELS.union_conv(x, packed, weights, config, **arguments)


def check(actual, expected, dtype):
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    if actual.numel():
        error = (actual.double() - expected).abs().max() / expected.abs().max().clamp(min=1e-30)
        assert error <= LAYER[str(dtype).removeprefix("torch.")]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["planes", "batch_last", "channels_last"])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_against_float64(case, layout, dtype):
    channels, filters, size, more = CASES[case]
    x, packed, arguments, expected = make(channels, filters, size, dtype, **more)
    if layout == "channels_last":
        actual = union(x, packed, arguments)
        assert actual.is_contiguous(memory_format=torch.channels_last)
    elif layout == "batch_last":
        actual = KERNELS.gathered_conv(LAUNCH.to_batch_last(x), packed, **arguments)
        assert actual.permute(1, 2, 3, 0).is_contiguous()
    else:
        actual = KERNELS.gathered_conv(x, packed, **arguments)
        assert actual.is_contiguous()
    check(actual, expected, dtype)


@pytest.mark.parametrize("config", ["blocks of 16", "blocks of 128", "out of order"])
def test_blocks_of_filters(config):
    """Blocks that are not full, of several images, with filters in another order."""
    x, packed, arguments, expected = make(
        32, 70, (5, 6), torch.float32, padding=(1, 1), residual=True
    )
    if config == "out of order":
        weight = packed.dense_weight()
        weight[::2, 16:], weight[1::2, :16] = 0, 0
        packed = KERNELS.gather_slices(weight)
        plain = functional.conv2d(x.double(), weight.double(), arguments["bias"].double(), 1, 1)
        expected = plain + arguments["residual"].double()
    size = 128 if config == "blocks of 128" else 16
    actual = union(x, packed, arguments, CONFIGS.UnionConfig(64, size, 32, 4, 2))
    check(actual, expected, torch.float32)
    if config == "out of order":
        blocks = UNIONS.make_blocks(packed.channels_read(), 1, 16, 4)
        assert not blocks.ordered
        assert blocks.union_channels <= 6 * 16


def test_inputs_in_other_memory_orders():
    x, packed, arguments, expected = make(4, 3, (7, 9), torch.float32, residual=True)
    arguments["residual"] = arguments["residual"].to(memory_format=torch.channels_last)
    actual = KERNELS.gathered_conv(x.to(memory_format=torch.channels_last), packed, **arguments)
    check(actual, expected, torch.float32)
    check(union(x, packed, arguments), expected, torch.float32)


def test_wide_channel_indices():
    weight = torch.zeros(2, 40000, 1, 1)
    weight[1, 39999] = 2.0
    packed = KERNELS.gather_slices(weight)
    assert packed.channel.dtype == torch.int32
    x = torch.zeros(1, 40000, 1, 2)
    x[0, 39999] = torch.tensor([3.0, -1.0])
    assert KERNELS.gathered_conv(x, packed).flatten().tolist() == [0, 0, 6, -2]


def test_missing_channels_of_a_slice_are_not_read():
    packed = KERNELS.gather_slices(torch.ones(2, 3, 1, 1), groups=2, slice_channels=4)
    x = torch.ones(1, 6, 1, 1)
    x[0, 3] = torch.inf  # of the second group: the first must not see it, not even times zero
    assert KERNELS.gathered_conv(x, packed).flatten().tolist() == [3, torch.inf]
    assert union(x, packed, {}).flatten().tolist() == [3, torch.inf]


def test_nan_passes_through_activations():
    packed = KERNELS.gather_slices(torch.ones(1, 1, 1, 1))
    x = torch.tensor([torch.nan, -1.0, 8.0]).reshape(1, 1, 1, 3)
    for name, last in (("relu", 8), ("relu6", 6), ("hardsigmoid", 1)):
        out = KERNELS.gathered_conv(x, packed, activation=name).flatten()
        assert out[0].isnan()
        assert out[1:].tolist() == pytest.approx([1 / 3 if name == "hardsigmoid" else 0, last])


@pytest.mark.parametrize("images", [1, 8])
@pytest.mark.parametrize("form", ["gathered", "union", "dense"])
def test_a_planned_layer(form, images):
    x, packed, arguments, expected = make(
        8, 9, (6, 6), torch.float32, images=images, padding=(1, 1), residual=True, activation="relu"
    )
    residual, activation = arguments.pop("residual"), arguments.pop("activation")
    layer = KERNELS.SparseConv(packed, arguments.pop("bias"), forms=(form,), **arguments)
    check(layer(x, residual, activation), expected, torch.float32)
    plan = layer.plan(x, residual=True)
    assert plan.chosen.form == form
    assert f"{form} " in plan.reason
    assert "(predicted)" in plan.reason
    assert layer.plan(x, residual=True) is plan
    assert layer.plan(x[:, :, :5], residual=True) is not plan
    with pytest.raises(InputError, match="residual"):
        layer(x, residual[:, :1])


def test_tuning_measures_few_and_takes_the_fastest():
    x, packed, arguments, expected = make(8, 9, (6, 6), torch.float32, padding=(1, 1))
    del arguments["activation"]
    layer = KERNELS.SparseConv(packed, arguments.pop("bias"), **arguments)
    measured = []

    def measure(call):
        check(call(), expected, torch.float32)
        measured.append(call)
        return 0.5 if len(measured) == 3 else 1.0

    plan = layer.tune(x, measure)
    assert 3 <= len(measured) <= 13
    assert "500.0 us" in plan.reason
    assert "(measured)" in plan.reason
    assert layer.plan(x) is plan
    check(layer(x), expected, torch.float32)


SLICES = KERNELS.gather_slices(torch.ones(2, 3, 3, 3))
IMAGE = torch.ones(1, 3, 5, 5)


@pytest.mark.parametrize("form", ["gathered", "union"])
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
        ({"activation": "tanh"}, "tanh"),
    ],
)
def test_wrong_arguments(form, change, message):
    arguments = {"x": IMAGE, **change}
    x = arguments.pop("x")
    if form == "union":
        blocks = UNIONS.make_blocks(SLICES.channels_read(), 1, 16, 1)
        weights = KERNELS.union_weights(SLICES, blocks, 16, torch.float32)
        config = CONFIGS.UnionConfig(16, 16, 16, 1, 2)
        with pytest.raises(InputError, match=message):
            KERNELS.union_conv(x, SLICES, weights, config, **arguments)
    else:
        with pytest.raises(InputError, match=message):
            KERNELS.gathered_conv(x, SLICES, **arguments)


def test_wrong_devices_and_sizes():
    with pytest.raises(InputError, match="device"):
        KERNELS.gathered_conv(IMAGE, SLICES.to("meta"))
    with pytest.raises(InputError, match="at most 65535"):
        KERNELS.gathered_conv(torch.ones(65536, 3, 3, 3), SLICES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": torch.float16}, "weights are torch.float16"),
        ({"filters": 32}, "blocks of 16 filters"),
        ({"precision": "tf16"}, "tf16"),
    ],
)
def test_wrong_union_weights(change, message):
    blocks = UNIONS.make_blocks(SLICES.channels_read(), 1, 16, 1)
    weights = KERNELS.union_weights(SLICES, blocks, 16, change.get("dtype", torch.float32))
    config = CONFIGS.UnionConfig(16, change.get("filters", 16), 16, 1, 2)
    more = {"precision": change["precision"]} if "precision" in change else {}
    with pytest.raises(InputError, match=message):
        KERNELS.union_conv(IMAGE, SLICES, weights, config, **more)


def test_blocks_hold_whole_runs():
    blocks = UNIONS.make_blocks(np.ones((4, 8), bool), 1, 16, 8)
    slices = KERNELS.gather_slices(torch.ones(4, 8, 1, 1))
    with pytest.raises(InputError, match="hold runs of 8"):
        KERNELS.union_weights(slices, blocks, 4, torch.half)


@pytest.mark.parametrize(
    ("shape", "more"),
    [((2, 3, 3), {}), ((3, 3, 3, 3), {"groups": 2}), ((2, 3, 3, 3), {"slice_channels": 4})],
)
def test_wrong_weights(shape, more):
    with pytest.raises(InputError):
        KERNELS.gather_slices(torch.ones(shape), **more)


@pytest.mark.parametrize("more", [{}, {"groups": 2}, {"slice_channels": 4, "groups": 2}])
def test_packed_slices_are_the_weight(more):
    size = 1 if "slice_channels" in more else 3
    weight = torch.randn(4, 6, size, size)
    weight[1, :4], weight[2] = 0, 0
    packed = KERNELS.gather_slices(weight, **more)
    assert torch.equal(packed.dense_weight(), weight)
    expected = (weight != 0).flatten(2).any(2).numpy()
    assert (packed.channels_read() >= expected).all()
    if "slice_channels" not in more:
        assert (packed.channels_read() == expected).all()


def far_apart(step):
    """float16 tensors of shape (8,) whose addresses lie so many elements apart; all zeros."""
    # As much lies before the first one, where offsets that are cut to 32 bits would point to.
    half = 2 * 2 * step
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NORESERVE
    memory = mmap.mmap(-1, 2 * half + mmap.PAGESIZE, flags=flags)
    return [
        torch.frombuffer(memory, dtype=torch.float16, count=8, offset=half + 2 * step * i)
        for i in range(3)
    ]


def test_planes_further_apart_than_32_bits_count():
    """As with a batch of 2**30 values a plane; memory that nothing touches costs nothing."""
    step = 2**30
    x, out = far_apart(step), far_apart(step)
    for i, plane in enumerate(x):
        plane[:] = torch.arange(8.0) + 10 * i
    weight = torch.tensor([[0, 0, 1.0], [0, 1, 0], [1, 0, 1]])
    packed = KERNELS.gather_slices(weight[..., None, None])
    problem = PROBLEM.ConvProblem(8, 3, (1, 1), 3, (1, 1), slices=4, dtype="float16")
    integers, constants = ARGUMENTS.gathered_arguments(
        problem, CONFIGS.GatheredConfig(32, 1, 1), 8, has_bias=False, activation="none"
    )
    integers |= {"x_plane": step, "out_plane": step}
    constants["WIDE"] = True
    KERNEL.gathered_kernel[(1, 3, 1)](
        x[0], packed.filter_ptr, packed.channel, packed.values, out[0], out[0], out[0],
        **integers, **constants,
    )  # fmt: skip
    expected = [x[2], x[1], x[0] + x[2]]
    for actual, plane in zip(out, expected, strict=True):
        assert actual.tolist() == plane.tolist()


@pytest.mark.parametrize(
    ("form", "shape", "message"),
    [
        ("gathered", (2**16, 3, 2**8, 2**7), "a plane of 65536 images of 256×128 pixels"),
        ("union", (2**17, 3, 2**8 + 2, 2**7 + 2), "131072 images of 256×128 pixels are too many"),
    ],
)
def test_batches_too_large_to_count(form, shape, message):
    """Of shapes alone: tensors without memory."""
    n, c, h, w = shape
    slices = SLICES.to("meta")
    if form == "gathered":
        x = torch.empty(c, h, w, n, device="meta").permute(3, 0, 1, 2)
        with pytest.raises(InputError, match=f"{message}.*use a smaller batch"):
            KERNELS.gathered_conv(x, slices, padding=1)
        return
    blocks = UNIONS.make_blocks(SLICES.channels_read(), 1, 16, 1)
    weights = KERNELS.union_weights(SLICES, blocks, 16, torch.float32)
    moved = {name: getattr(weights, name).to("meta") for name in ("weights", "order")}
    config = CONFIGS.UnionConfig(16, 16, 16, 1, 2)
    x = torch.empty(shape, device="meta")
    with pytest.raises(InputError, match=f"{message}.*use a smaller batch"):
        KERNELS.union_conv(x, slices, dataclasses.replace(weights, **moved), config)
