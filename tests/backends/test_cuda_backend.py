"""What the CUDA backend hands to the extension, on a stand-in that computes from the pointers."""

from __future__ import annotations

import ctypes
import dataclasses
import math

import kernels_under_test
import numpy as np
import pytest
from cases import CASES, ConvCase, conv_graph
from tolerances import LAYER

import lilnetx
from lilnetx.errors import DeviceError, InputError
from lilnetx.graph.activations import evaluate_activation
from lilnetx.graph.shapes import conv_output
from lilnetx.reference import run
from lilnetx.runtime.fuse import ACTIVATIONS
from lilnetx.runtime.packed import pack_weight, unpack_slices

torch = pytest.importorskip("torch", reason="torch is not installed: devices need it")
kernels_under_test.load()

from lilnetx.backends import cuda, cuda_weights  # noqa: E402

OPS = {name: op for op, name in ACTIVATIONS.items()}


def at(address, dtype, *shape):
    """The memory that a pointer points to."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype).reshape(shape)


def out_size(conv):
    """Height and width of the output of a convolution as the extension is told of it."""
    kh, kw, sh, sw, ph, pw, dh, dw = conv["window"]
    height, width = conv["input_shape"][2:]
    return conv_output(height, kh, sh, ph, dh), conv_output(width, kw, sw, pw, dw)


def check_geometry(conv):
    """Refuses what csrc/cuda/host.cu does."""
    for name, (height, width) in (("input", conv["input_shape"][2:]), ("output", out_size(conv))):
        if height > 1 and conv[f"{name}_strides"][2] < width:
            raise ValueError("rows overlap, or a plane has 2^31 elements or more")
        assert conv[name], "null"
        if conv["input_shape"][0] * height * width > 2**30:
            raise ValueError("more than 2^30 pixels in all images")


class FakeExtension:
    """Computes both forms of a float32 convolution from its raw arguments, and counts them."""

    def __init__(self, fits=True):
        self.fits = fits
        self.calls = []
        self.arranged = None
        self.decoded = 0

    @staticmethod
    def longest_first(filter_ptr):
        return np.argsort(-np.diff(filter_ptr.astype(np.int64)), kind="stable").astype(np.uint32)

    @staticmethod
    def filter_blocks(shape, filter_ptr, channel):
        assert filter_ptr.dtype == channel.dtype == np.uint32
        blocks = -(-shape[0] // 32)
        order = np.full(blocks * 32, 2**32 - 1, np.uint32)
        order[: shape[0]] = np.arange(shape[0])
        union = -(-shape[5] // 16) * 16
        return (
            order,
            np.arange(shape[0], dtype=np.uint32),
            np.arange(blocks + 1, dtype=np.uint32) * union,
            np.tile(np.arange(union, dtype=np.int32), blocks),
            channel.copy(),
        )

    @staticmethod
    def CudaConv(**fields):  # noqa: N802
        assert fields["stream"] == 0
        return fields

    def cuda_blocks_fit(self, conv, precision):
        check_geometry(conv)
        return self.fits

    @staticmethod
    def cuda_fragment_bytes(precision, union_channels, taps):
        assert precision == "float32"
        return union_channels * 32 * taps * 8

    def cuda_decode(
        self, *, filters, length, filter_ptr, latents, matrix, exponent, scale, values, stream
    ):
        assert stream == 0
        self.decoded += 1
        count = np.diff(at(filter_ptr, np.uint32, filters + 1).astype(np.int64))
        slices = int(count.sum())
        exact = at(latents, np.int16, slices, length).astype(np.int64)
        exact = exact @ at(matrix, np.int32, length, length)
        weights = exact.astype(np.float32) * np.float32(2.0**-exponent)
        if scale:
            weights *= at(scale, np.float32, filters).repeat(count)[:, None]
        at(values, np.float32, slices, length)[:] = weights

    def cuda_arrange(self, **fields):
        self.arranged = fields

    def cuda_conv_lists(self, conv, *, slices, order, **weight):
        filters = conv["filters"]
        assert sorted(at(order, np.uint32, filters)) == list(range(filters))
        self._compute("lists", conv, slices, **weight)

    def cuda_conv_blocks(self, conv, *, precision, fragments, blocks, block_ptr, **rest):
        made = self.arranged
        assert (precision, fragments) == (made["precision"], made["fragments"])
        assert len(at(block_ptr, np.uint32, blocks + 1)) == -(-conv["filters"] // 32) + 1
        slices = int(at(made["filter_ptr"], np.uint32, conv["filters"] + 1)[-1])
        names = ("slice_channels", "filter_ptr", "channel", "values")
        self._compute("blocks", conv, slices, **{name: made[name] for name in names})

    def _compute(self, form, conv, slices, *, slice_channels, filter_ptr, channel, values):
        check_geometry(conv)
        self.calls.append(form)
        n, c, h, w = conv["input_shape"]
        kh, kw, *rest = conv["window"]
        stride, padding, dilation = rest[:2], rest[2:4], rest[4:]
        filters, per_group = conv["filters"], c // conv["groups"]
        weight = np.zeros((filters, per_group + slice_channels, kh * kw))
        row = np.repeat(np.arange(filters), np.diff(at(filter_ptr, np.uint32, filters + 1)))
        first = at(channel, np.uint32, slices) % per_group
        all_values = at(values, np.float32, slices, slice_channels, kh * kw)
        for i in range(slice_channels):
            weight[row, first + i] = all_values[:, i]
        x = torch.from_numpy(at(conv["input"], np.float32, n, c, h, w).astype(np.float64))
        assert conv["input_strides"] == (c * h * w, h * w, w)
        y = torch.nn.functional.conv2d(
            x,
            torch.from_numpy(weight[:, :per_group]).reshape(filters, per_group, kh, kw),
            None, stride, padding, dilation, conv["groups"],
        ).numpy()  # fmt: skip
        shape = y.shape
        assert shape[2:] == out_size(conv)
        assert conv["output_strides"] == (math.prod(shape[1:]), math.prod(shape[2:]), shape[3])
        if conv["bias"]:
            y = y + at(conv["bias"], np.float32, filters)[:, None, None]
        if conv["residual"]:
            y = y + at(conv["residual"], np.float32, *shape)
        if conv["activation"] != "none":
            y = evaluate_activation(OPS[conv["activation"]](), y)
        at(conv["output"], np.float32, *shape)[:] = y


def use(extension, monkeypatch):
    """Puts an extension in the place of the built one, and a GPU beside it."""
    for module in (cuda, cuda_weights):
        monkeypatch.setattr(module, "_core", extension)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (8, 0))


SOME = [
    CASES[0],
    ConvCase(8, 40, (6, 5), (1, 1), g=4, residual=True, activation="relu"),
    ConvCase(6, 4, (9, 8), (3, 2), (2, 1), (1, 0), (1, 2), groups=2, bias=False, activation="silu"),
    ConvCase(5, 3, (4, 4), padding=(1, 1), density=0.0, residual=True),
    # Outputs that are wider than the input.
    ConvCase(8, 5, (4, 3), (1, 1), padding=(1, 1), g=4),
    ConvCase(4, 6, (5, 4), padding=(2, 2), residual=True),
    ConvCase(3, 4, (4, 6), (2, 2), padding=(1, 1)),
]


@pytest.mark.parametrize("form", ["gconv", "uconv", None])
@pytest.mark.parametrize("case", SOME, ids=str)
def test_a_layer(case, form, monkeypatch):
    extension = FakeExtension()
    use(extension, monkeypatch)
    graph = conv_graph(case)
    x = np.random.default_rng(0).standard_normal((2, *graph.input_shape), dtype=np.float32)
    node = graph.node("conv")
    bias = None if node.bias is None else torch.from_numpy(node.bias)
    layer = cuda.CudaConvolution(
        node.op,
        unpack_slices(pack_weight(graph, node), node.scale),
        bias,
        torch.device("cpu"),
        form=form,
    )
    assert extension.decoded == 1
    residual = None
    if case.residual:
        side = run(dataclasses.replace(graph, outputs=("side",)), x)[0]
        residual = torch.from_numpy(side.astype(np.float32))
        residual = residual.contiguous(memory_format=torch.channels_last)  # put right on the way
    y = layer(torch.from_numpy(x), residual, case.activation)
    expected = run(graph, x)[0]
    assert np.abs(y.numpy() - expected).max() <= LAYER["float32"] * np.abs(expected).max()
    kernel, reason = layer.describe(torch.from_numpy(x), case.residual)
    assert extension.calls == ["blocks" if kernel == "uconv__cuda" else "lists"]
    assert form is None or kernel == f"{form}__cuda"
    assert "us" in reason


def small_layer(extension, monkeypatch, form=None):
    """The first case of the table, and an input for it."""
    use(extension, monkeypatch)
    graph = conv_graph(CASES[0])
    node = graph.node("conv")
    slices = unpack_slices(pack_weight(graph, node), node.scale)
    layer = cuda.CudaConvolution(node.op, slices, None, torch.device("cpu"), form=form)
    return layer, torch.ones(1, *graph.input_shape)


def test_windows_that_do_not_fit_take_lists(monkeypatch):
    layer, x = small_layer(FakeExtension(fits=False), monkeypatch, form="uconv")
    assert layer.describe(x, False) == (
        "gconv__cuda",
        "the window is too large for form (b)",
    )
    layer(x, None, "none")
    assert cuda._core.calls == ["lists"]


def test_weights_that_are_floats_go_to_the_device_as_they_are(monkeypatch):
    use(FakeExtension(), monkeypatch)
    graph = conv_graph(CASES[0])
    node = graph.node("conv")
    packed = unpack_slices(pack_weight(graph, node), node.scale)
    device = torch.device("cpu")
    x = torch.ones(1, *graph.input_shape)
    floats = dataclasses.replace(packed, source=None)
    outputs = [
        cuda.CudaConvolution(node.op, slices, None, device, form="gconv")(x, None, "none")
        for slices in (packed, floats)
    ]
    assert cuda._core.decoded == 1
    assert torch.equal(*outputs)


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (ValueError, InputError, r"cannot do a 3x3 convolution of \d+ to \d+ channels: bad; use"),
        (RuntimeError, DeviceError, r"failed at a 3x3 convolution of .* channels: bad; look at"),
    ],
)
@pytest.mark.parametrize(
    "name",
    ["cuda_decode", "cuda_blocks_fit", "cuda_conv_lists", "cuda_arrange", "cuda_conv_blocks"],
)
def test_what_the_extension_refuses(name, raised, expected, message, monkeypatch):
    extension = FakeExtension()

    def refuse(*_, **__):
        raise raised("bad")

    monkeypatch.setattr(extension, name, refuse)
    form = "gconv" if name == "cuda_conv_lists" else "uconv"

    def run():
        layer, x = small_layer(extension, monkeypatch, form)
        layer(x, None, "none")

    with pytest.raises(expected, match=message):
        run()


def test_too_many_pixels(monkeypatch):
    layer, x = small_layer(FakeExtension(), monkeypatch)
    many = x[:, :, :1, :1].expand(5, -1, 2**14, 2**14)  # takes no memory
    with pytest.raises(InputError, match=r"more than 2\^30 pixels.*; use a smaller batch"):
        layer.describe(many, False)


@pytest.mark.skipif(lilnetx._core.cuda_built, reason="this build has CUDA kernels")
def test_a_build_without_kernels(monkeypatch):
    with pytest.raises(DeviceError, match="has no CUDA kernels"):
        small_layer(lilnetx._core, monkeypatch)
