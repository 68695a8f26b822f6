"""A layer on a device: plans a form for each input, keeps the weights for it, and runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from .checks import check_epilogue, pair, problem_of
from .configs import GatheredConfig, UnionConfig
from .devices import A100, Device, device_of
from .gathered_launch import gathered_conv, is_batch_last, to_batch_last
from .gathered_slices import GatheredSlices
from .plan import FORMS, Candidate, ConvPlan, candidates, make_plan, worth_measuring
from .problem import Pair
from .union_launch import union_conv
from .union_layout import UnionWeights, union_weights

# By the names of epilogue.ACTIVATIONS.
_TORCH_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": torch.relu,
    "relu6": functional.relu6,
    "hardswish": functional.hardswish,
    "silu": functional.silu,
    "hardsigmoid": functional.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "gelu": functional.gelu,
    "gelutanh": partial(functional.gelu, approximate="tanh"),
}


class SparseConv:
    """A convolution with packed slices.

    The first call with an input's shape, dtype and order in memory plans it: by the cost model, or
    by :meth:`tune`. Later calls only launch kernels.

    Args:
        slices: The layer's slices, on the device where it runs.
        bias: float32, shape ``(F,)``, on the same device, or None.
        stride: Vertical and horizontal, in pixels.
        padding: Zeros at top and bottom, left and right, in pixels.
        dilation: Distance of taps, in pixels.
        precision: Of float32 products in form (b), see :func:`~.union_launch.union_conv`.
        forms: What may be planned.
    """

    def __init__(
        self,
        slices: GatheredSlices,
        bias: Tensor | None = None,
        *,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        precision: str = "tf32x3",
        forms: tuple[str, ...] = FORMS,
    ) -> None:
        self.slices = slices
        self.bias = bias
        self.precision = precision
        self.forms = forms
        self._geometry = (pair(stride), pair(padding), pair(dilation))
        self._device = _describe(slices.values.device)
        self._channels = slices.channels_read()
        self._plans: dict[object, ConvPlan] = {}
        self._unions: dict[object, UnionWeights] = {}
        self._dense: dict[torch.dtype, tuple[Tensor, Tensor | None]] = {}

    def plan(self, x: Tensor, *, residual: bool = False) -> ConvPlan:
        """How a call with this input is computed."""
        layout = layout_of(x)
        key = (tuple(x.shape), x.dtype, layout, residual)
        if key not in self._plans:
            problem = problem_of(x, self.slices, *self._geometry, residual=residual)
            self._plans[key] = make_plan(
                problem,
                self._channels,
                self._device,
                precision=self.precision,
                forms=self.forms,
                layout=layout,
            )
        return self._plans[key]

    def __call__(
        self, x: Tensor, residual: Tensor | None = None, activation: str = "none"
    ) -> Tensor:
        """Convolution, then bias, residual and activation.

        Args:
            x: float32, float16 or bfloat16, shape ``(N, C, H, W)``, in any order in memory.
            residual: Added to the output: its shape, dtype and device.
            activation: One of :data:`~lilnetx.kernels.epilogue.ACTIVATIONS`.

        Returns:
            The dtype and device of ``x``, shape ``(N, F, Ho, Wo)``; its order in memory is that of
            the plan's form.

        Raises:
            InputError: A tensor has the wrong shape, dtype or device.
        """
        plan = self.plan(x, residual=residual is not None)
        check_epilogue(plan.problem, x, self.bias, residual, activation)
        return self.run(plan.chosen, x, residual, activation)

    def place(self, x: Tensor) -> Tensor:
        """The input in the order that its plan reads, as a layer before might leave it."""
        layout = self.plan(x).chosen.layout
        if layout == "batch_last":
            return to_batch_last(x)
        last = layout == "channels_last"
        return x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)

    def run(
        self, candidate: Candidate, x: Tensor, residual: Tensor | None, activation: str
    ) -> Tensor:
        """The same in one particular way."""
        stride, padding, dilation = self._geometry
        config = candidate.config
        if isinstance(config, GatheredConfig):
            x = to_batch_last(x) if candidate.layout == "batch_last" else x.contiguous()
            return gathered_conv(
                x,
                self.slices,
                stride=stride,
                padding=padding,
                dilation=dilation,
                bias=self.bias,
                residual=residual,
                activation=activation,
                config=config,
            )
        if isinstance(config, UnionConfig):
            return union_conv(
                x,
                self.slices,
                self._union(candidate, config, x.dtype),
                config,
                stride=stride,
                padding=padding,
                dilation=dilation,
                bias=self.bias,
                residual=residual,
                activation=activation,
                precision=self.precision,
            )
        weight, bias = self._dense_of(x.dtype)
        # Torch lets cuDNN round float32 to TF32 unless told otherwise.
        cudnn = torch.backends.cudnn
        with cudnn.flags(
            enabled=cudnn.enabled,
            benchmark=cudnn.benchmark,
            deterministic=cudnn.deterministic,
            allow_tf32=self.precision == "tf32",
        ):
            y = functional.conv2d(x, weight, bias, stride, padding, dilation, self.slices.groups)
        return _TORCH_ACTIVATIONS[activation](y if residual is None else y + residual)

    def tune(
        self,
        x: Tensor,
        measure: Callable[[Callable[[], object]], float],
        *,
        residual: Tensor | None = None,
        activation: str = "none",
    ) -> ConvPlan:
        """Plans a call by measuring the ways that the cost model finds close to the best.

        Args:
            x: The input.
            measure: Gives the milliseconds of a call, as ``triton.testing.do_bench`` does.
            residual: As for a call.
            activation: As for a call.
        """
        plan = self.plan(x, residual=residual is not None)
        found = [
            candidate
            for form in self.forms
            for candidate in worth_measuring(
                candidates(plan.problem, self._channels, self._device, form, self.precision)
            )
        ]
        times = []
        for candidate in found:
            ms = measure(lambda c=candidate: self.run(c, x, residual, activation))  # type: ignore[misc]
            times.append((ms, candidate))
        best = min(times, key=lambda pair: pair[0])
        text = ", ".join(
            f"{form} {min(ms for ms, c in times if c.form == form) * 1e3:.1f} us"
            for form in dict.fromkeys(c.form for _, c in times)
        )
        key = (tuple(x.shape), x.dtype, layout_of(x), residual is not None)
        self._plans[key] = replace(plan, chosen=best[1], reason=f"{text} (measured)")
        return self._plans[key]

    def _union(self, candidate: Candidate, config: UnionConfig, dtype: torch.dtype) -> UnionWeights:
        assert candidate.blocks is not None
        key = (config.filters, config.channels, dtype)
        if key not in self._unions:
            self._unions[key] = union_weights(self.slices, candidate.blocks, config.channels, dtype)
        return self._unions[key]

    def _dense_of(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        if dtype not in self._dense:
            bias = None if self.bias is None else self.bias.to(dtype)
            self._dense[dtype] = (self.slices.dense_weight().to(dtype), bias)
        return self._dense[dtype]


def layout_of(x: Tensor) -> str:
    """Order in memory of ``(N, C, H, W)``, by the names of :class:`~.plan.Candidate`."""
    if x.is_contiguous():
        return "planes"
    if x.is_contiguous(memory_format=torch.channels_last):
        return "channels_last"
    return "batch_last" if is_batch_last(x) else "planes"


def _describe(device: torch.device) -> Device:
    if device.type != "cuda":
        return A100  # the interpreter: plans as for a GPU
    major, minor = torch.cuda.get_device_capability(device)
    return device_of(f"sm_{major}{minor}")


__all__ = ["SparseConv", "layout_of"]
