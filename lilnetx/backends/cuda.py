"""Convolutions by the extension's CUDA kernels, on torch's memory and stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lilnetx import _core
from lilnetx.graph.ir import Conv2d
from lilnetx.graph.shapes import conv_output
from lilnetx.runtime.packed import PackedSlices

# How form (b) multiplies, by the activations' dtype; float32 keeps its accuracy.
_PRECISIONS = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
# Filters and channels of a block of form (b) (lnx/filter_blocks.h).
_BLOCK_FILTERS, _BLOCK_CHANNELS = 32, 16


@dataclass(frozen=True)
class _Lists:
    """Form (a): the packed slices as they are."""

    filter_ptr: Tensor
    channel: Tensor
    values: Tensor
    order: Tensor


@dataclass(frozen=True)
class _Blocks:
    """Form (b): blocks of filters with their matrices."""

    order: Tensor
    block_ptr: Tensor
    channel: Tensor
    fragments: Tensor
    blocks: int


class CudaConvolution:
    """A layer by the CUDA kernels; which form, the cost model says.

    Args:
        op: The convolution.
        slices: Its slices.
        bias: float32, shape ``(F,)``, on the device, or None.
        device: The GPU.
        form: ``"gconv"`` for form (a), ``"uconv"`` for form (b) where it can do the layer, or None
            for what is predicted to be faster.
    """

    def __init__(
        self,
        op: Conv2d,
        slices: PackedSlices,
        bias: Tensor | None,
        device: torch.device,
        form: str | None = None,
    ) -> None:
        self._form = form
        self._op = op
        self._slices = slices
        self._bias = bias
        filter_ptr = slices.filter_ptr.astype(np.uint32)
        channel = slices.channel.astype(np.uint32)
        pointers = _to(filter_ptr, device)
        self._lists = _Lists(
            pointers,
            _to(channel, device),
            _upload_values(slices, pointers),
            _to(_core.longest_first(filter_ptr), device),
        )
        self._plan = _core.filter_blocks(slices.shape.as_tuple(), filter_ptr, channel)
        self._blocks: dict[torch.dtype, _Blocks] = {}
        self._chosen: dict[object, tuple[str, str]] = {}

    def __call__(self, x: Tensor, residual: Tensor | None, activation: str) -> Tensor:
        """See :class:`~.convolutions.Convolution`."""
        x = x.contiguous()
        form, _ = self.describe(x, residual is not None)
        return self._run(form.partition("__")[0], x, residual, activation)

    def describe(self, x: Tensor, residual: bool) -> tuple[str, str]:
        """See :class:`~.convolutions.Convolution`."""
        key = (x.shape, x.dtype, residual)
        if key not in self._chosen:
            self._chosen[key] = self._choose(x, residual)
        return self._chosen[key]

    def tune(self, x: Tensor, residual: Tensor | None, activation: str) -> None:
        """See :class:`~.convolutions.Convolution`."""
        from triton.testing import do_bench

        x = x.contiguous()
        times = {
            form: do_bench(lambda form=form: self._run(form, x, residual, activation))
            for form in ("gconv", "uconv")
            if form == "gconv" or self._fits(x)
        }
        best = min(times, key=lambda form: times[form])
        text = ", ".join(f"{form} {1e3 * ms:.1f} us" for form, ms in times.items())
        key = (x.shape, x.dtype, residual is not None)
        self._chosen[key] = (f"{best}__cuda", f"{text} (measured)")

    def _choose(self, x: Tensor, residual: bool) -> tuple[str, str]:
        from lilnetx.kernels.configs import GatheredConfig, UnionConfig
        from lilnetx.kernels.cost import gathered_cost, union_cost
        from lilnetx.kernels.devices import device_of
        from lilnetx.kernels.problem import ConvProblem

        op = self._op
        problem = ConvProblem(
            x.shape[0],
            op.in_channels,
            (x.shape[2], x.shape[3]),
            op.out_channels,
            op.kernel,
            op.stride,
            op.padding,
            op.dilation,
            op.groups,
            self._slices.shape.channels_per_slice,
            len(self._slices.channel),
            str(x.dtype).removeprefix("torch."),
            residual,
        )
        major, minor = torch.cuda.get_device_capability(x.device)
        device = device_of(f"sm_{major}{minor}")
        lists = gathered_cost(problem, GatheredConfig(512, 4, 1), device, 1).total
        if not self._fits(x):
            return "gconv__cuda", "the window is too large for form (b)"
        blocks = union_cost(
            problem,
            UnionConfig(128, _BLOCK_FILTERS, _BLOCK_CHANNELS, 4, 2),
            device,
            len(self._plan[2]) - 1,
            len(self._plan[3]),
        ).total
        text = f"gconv {lists:.1f} us, uconv {blocks:.1f} us (predicted)"
        form = self._form or ("uconv" if blocks < lists else "gconv")
        return f"{form}__cuda", text

    def _fits(self, x: Tensor) -> bool:
        """Whether form (b) has a tile for this input; there is no output yet, nor need for one."""
        conv = self._describe_call(x, x.data_ptr(), None, "none")
        return _core.cuda_blocks_fit(conv, _PRECISIONS[x.dtype])

    def _run(self, form: str, x: Tensor, residual: Tensor | None, activation: str) -> Tensor:
        out = torch.empty(self._out_shape(x), dtype=x.dtype, device=x.device)
        if residual is not None:
            residual = residual.contiguous()
        conv = self._describe_call(x, out.data_ptr(), residual, activation)
        if form == "gconv":
            _core.cuda_conv_lists(
                conv,
                slices=len(self._slices.channel),
                slice_channels=self._slices.shape.channels_per_slice,
                filter_ptr=self._lists.filter_ptr.data_ptr(),
                channel=self._lists.channel.data_ptr(),
                values=self._lists.values.data_ptr(),
                order=self._lists.order.data_ptr(),
            )
            return out
        blocks = self._arranged(x.dtype)
        _core.cuda_conv_blocks(
            conv,
            precision=_PRECISIONS[x.dtype],
            tile_runs=0,
            blocks=blocks.blocks,
            order=blocks.order.data_ptr(),
            block_ptr=blocks.block_ptr.data_ptr(),
            channel=blocks.channel.data_ptr(),
            fragments=blocks.fragments.data_ptr(),
        )
        return out

    def _out_shape(self, x: Tensor) -> tuple[int, int, int, int]:
        op = self._op
        height, width = (
            conv_output(x.shape[2 + i], op.kernel[i], op.stride[i], op.padding[i], op.dilation[i])
            for i in (0, 1)
        )
        return x.shape[0], op.out_channels, height, width

    def _describe_call(
        self, x: Tensor, out: int, residual: Tensor | None, activation: str
    ) -> _core.CudaConv:
        """The convolution for the extension; ``out`` is the output's address."""
        op = self._op
        n, c, h, w = x.shape
        return _core.CudaConv(
            dtype=_PRECISIONS[x.dtype],
            input_shape=(n, c, h, w),
            filters=op.out_channels,
            groups=op.groups,
            window=(*op.kernel, *op.stride, *op.padding, *op.dilation),
            input=x.data_ptr(),
            input_strides=_strides((n, c, h, w)),
            output=out,
            output_strides=_strides(self._out_shape(x)),
            residual=0 if residual is None else residual.data_ptr(),
            bias=0 if self._bias is None else self._bias.data_ptr(),
            activation=activation,
            stream=torch.cuda.current_stream(x.device).cuda_stream if x.is_cuda else 0,
        )

    def _arranged(self, dtype: torch.dtype) -> _Blocks:
        """The matrices of form (b), made on the device at the first use of a dtype."""
        if dtype in self._blocks:
            return self._blocks[dtype]
        op, precision = self._op, _PRECISIONS[dtype]
        order, position, block_ptr, channel, slot = self._plan
        device = self._lists.values.device
        taps = op.kernel[0] * op.kernel[1]
        size = _core.cuda_fragment_bytes(precision, len(channel), taps)
        fragments = torch.zeros(max(size, 16), dtype=torch.uint8, device=device)
        places = [_to(array, device) for array in (position, slot, block_ptr)]
        stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
        _core.cuda_arrange(
            precision=precision,
            filters=op.out_channels,
            channels=op.in_channels,
            groups=op.groups,
            taps=taps,
            slice_channels=self._slices.shape.channels_per_slice,
            filter_ptr=self._lists.filter_ptr.data_ptr(),
            channel=self._lists.channel.data_ptr(),
            values=self._lists.values.data_ptr(),
            position=places[0].data_ptr(),
            slot=places[1].data_ptr(),
            block_ptr=places[2].data_ptr(),
            fragments=fragments.data_ptr(),
            stream=stream,
        )
        blocks = _Blocks(
            _to(order, device), places[2], _to(channel, device), fragments, len(block_ptr) - 1
        )
        self._blocks[dtype] = blocks
        return blocks


def _upload_values(slices: PackedSlices, filter_ptr: Tensor) -> Tensor:
    """The slices' weights as float32 on the device; only integers go there where there are some.

    Args:
        slices: The weights.
        filter_ptr: Their pointers, on the device.

    Returns:
        All values, then zeros up to a multiple of 4: the kernels read 16 bytes at a time.
    """
    device, size = filter_ptr.device, slices.values.size
    values = torch.zeros(-(-size // 4) * 4, dtype=torch.float32, device=device)
    packed, scale = slices.source or (None, None)
    integers = None if packed is None else packed.integers()
    if integers is None:
        values[:size] = torch.from_numpy(slices.values.reshape(-1)).to(device)
        return values
    latents, matrix, exponent = integers
    read = [torch.from_numpy(array).to(device) for array in (latents, matrix)]
    factors = None if scale is None else torch.from_numpy(scale).to(device)
    _core.cuda_decode(
        filters=slices.shape.filters,
        length=slices.shape.length,
        filter_ptr=filter_ptr.data_ptr(),
        latents=read[0].data_ptr(),
        matrix=read[1].data_ptr(),
        exponent=exponent,
        scale=0 if factors is None else factors.data_ptr(),
        values=values.data_ptr(),
        stream=torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0,
    )
    return values


def _to(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """A copy on the device; unsigned integers keep their bits."""
    return torch.from_numpy(array.view(np.int32).copy()).to(device)


def _strides(shape: tuple[int, int, int, int]) -> tuple[int, int, int]:
    """Of images, channels and rows; those of axes of size 1 as if they were larger."""
    _, channels, height, width = shape
    return channels * height * width, height * width, width


__all__ = ["CudaConvolution"]
