"""Convolutions with packed slices for a device: what a backend has to provide, and Triton's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from lilnetx.graph.ir import Conv2d
from lilnetx.runtime.packed import PackedSlices


class Convolution(Protocol):
    """A layer on a device."""

    def __call__(self, x: Tensor, residual: Tensor | None, activation: str) -> Tensor:
        """Convolution, then bias, residual and activation.

        Args:
            x: Shape ``(N, C, H, W)``, in any order in memory.
            residual: Added to the output: its shape, dtype and device.
            activation: As in :data:`lilnetx.runtime.fuse.ACTIVATIONS`, or ``"none"``.
        """
        ...

    def describe(self, x: Tensor, residual: bool) -> tuple[str, str]:
        """The kernel that a call with this input takes, and why."""
        ...

    def tune(self, x: Tensor, residual: Tensor | None, activation: str) -> None:
        """Chooses the kernel for such calls by measuring."""
        ...


Maker = Callable[[Conv2d, PackedSlices, "Tensor | None", torch.device], Convolution]


class TritonConvolution:
    """By Triton's kernels, or torch's dense convolution where the plan finds that faster."""

    # What may be planned.
    forms = ("gathered", "union", "dense")

    def __init__(
        self,
        op: Conv2d,
        slices: PackedSlices,
        bias: Tensor | None,
        device: torch.device,
        precision: str = "tf32x3",
    ) -> None:
        from lilnetx.kernels import GatheredSlices, SparseConv

        shape = slices.shape
        channel = torch.from_numpy(slices.channel.astype("int32"))
        gathered = GatheredSlices(
            torch.from_numpy(slices.filter_ptr.astype("int32")),
            channel.to(torch.int16) if shape.channels < 2**15 else channel,
            torch.from_numpy(slices.values),
            op.kernel,
            shape.channels_per_slice,
            shape.channels,
            shape.groups,
        )
        self._layer = SparseConv(
            gathered.to(device),
            bias,
            stride=op.stride,
            padding=op.padding,
            dilation=op.dilation,
            precision=precision,
            forms=self.forms,
        )

    def __call__(self, x: Tensor, residual: Tensor | None, activation: str) -> Tensor:
        """See :class:`Convolution`."""
        result: Tensor = self._layer(x, residual, activation)
        return result

    def describe(self, x: Tensor, residual: bool) -> tuple[str, str]:
        """See :class:`Convolution`."""
        plan = self._layer.plan(x, residual=residual)
        form = {"gathered": "gconv", "union": "uconv", "dense": "conv"}[plan.chosen.form]
        owner = "torch" if plan.chosen.form == "dense" else "triton"
        return f"{form}__{owner}", plan.reason

    def predicted_us(self, x: Tensor, residual: bool) -> float:
        """What the cost model expects of a call with this input, in microseconds."""
        return float(self._layer.plan(x, residual=residual).chosen.estimate.total)

    def place(self, x: Tensor) -> Tensor:
        """The input in the order in memory that its kernel reads."""
        result: Tensor = self._layer.place(x)
        return result

    def tune(self, x: Tensor, residual: Tensor | None, activation: str) -> None:
        """See :class:`Convolution`."""
        from triton.testing import do_bench

        self._layer.tune(x, do_bench, residual=residual, activation=activation)


__all__ = ["Convolution", "Maker", "TritonConvolution"]
