"""Convolutions by the extension's CUDA kernels, on torch's memory and stream."""

from __future__ import annotations

import torch
from torch import Tensor

from lilnetx import _core
from lilnetx.backends.cuda_errors import ask
from lilnetx.backends.cuda_weights import PRECISIONS, CudaWeights, stream_of
from lilnetx.graph.ir import Conv2d
from lilnetx.graph.shapes import conv_output
from lilnetx.runtime.packed import PackedSlices

# Filters and channels of a block of form (b) (lnx/filter_blocks.h).
_BLOCK_FILTERS, _BLOCK_CHANNELS = 32, 16


class CudaConvolution:
    """A layer by the CUDA kernels; which form, the cost model says.

    Args:
        op: The convolution.
        slices: Its slices.
        bias: float32, shape ``(F,)``, on the device, or None.
        device: The GPU.
        form: ``"gconv"`` for form (a), ``"uconv"`` for form (b) where it can do the layer, or None
            for what is predicted to be faster.

    Raises:
        InputError: The layer, or an input in a call, has a size beyond what the kernels take.
        DeviceError: CUDA refused, here or in a call.
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
        window = "x".join(map(str, op.kernel))
        self._name = f"a {window} convolution of {op.in_channels} to {op.out_channels} channels"
        self._weights = CudaWeights(self._name, op, slices, device)
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
            self._weights.blocks,
            self._weights.union_channels,
        ).total
        text = f"gconv {lists:.1f} us, uconv {blocks:.1f} us (predicted)"
        form = self._form or ("uconv" if blocks < lists else "gconv")
        return f"{form}__cuda", text

    def _fits(self, x: Tensor) -> bool:
        """Whether form (b) has a tile for this input; there is no output yet, nor need for one."""
        conv = self._describe_call(x, x.data_ptr(), None, "none")
        return ask(self._name, _core.cuda_blocks_fit, conv, PRECISIONS[x.dtype])

    def _run(self, form: str, x: Tensor, residual: Tensor | None, activation: str) -> Tensor:
        out = torch.empty(self._out_shape(x), dtype=x.dtype, device=x.device)
        if residual is not None:
            residual = residual.contiguous()
        conv = self._describe_call(x, out.data_ptr(), residual, activation)
        if form == "gconv":
            lists = self._weights.lists
            ask(
                self._name,
                _core.cuda_conv_lists,
                conv,
                slices=len(self._slices.channel),
                slice_channels=self._slices.shape.channels_per_slice,
                filter_ptr=lists.filter_ptr.data_ptr(),
                channel=lists.channel.data_ptr(),
                values=lists.values.data_ptr(),
                order=lists.order.data_ptr(),
            )
            return out
        blocks = self._weights.arranged(x.dtype)
        ask(
            self._name,
            _core.cuda_conv_blocks,
            conv,
            precision=PRECISIONS[x.dtype],
            tile_runs=0,
            blocks=self._weights.blocks,
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
            dtype=PRECISIONS[x.dtype],
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
            stream=stream_of(x.device),
        )


def _strides(shape: tuple[int, int, int, int]) -> tuple[int, int, int]:
    """Of images, channels and rows; those of axes of size 1 as if they were larger."""
    _, channels, height, width = shape
    return channels * height * width, height * width, width


__all__ = ["CudaConvolution"]
