"""Launcher of form (a): a convolution whose filters read only the channels of their slices."""

from __future__ import annotations

import torch
import triton
from torch import Tensor
from torch.nn import functional

from lilnetx.errors import InputError

from .arguments import gathered_arguments
from .checks import MAX_GRID, check_epilogue, problem_of
from .configs import GatheredConfig, gathered_configs
from .gathered_kernel import gathered_kernel
from .gathered_slices import GatheredSlices
from .problem import Pair


def gathered_conv(
    x: Tensor,
    slices: GatheredSlices,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    activation: str = "none",
    config: GatheredConfig | None = None,
) -> Tensor:
    """Convolution with packed slices, then bias, residual and activation, in this order.

    Sums are float32 whatever the input's dtype.

    Args:
        x: float32, float16 or bfloat16, shape ``(N, C, H, W)``. Where the batch is its innermost
            dimension in memory, ``(C, H, W, N)``, so it is in the output; anything else is made
            contiguous where it is not.
        slices: The layer's slices, on the device of ``x``.
        stride: Vertical and horizontal, in pixels.
        padding: Zeros at top and bottom, left and right, in pixels.
        dilation: Distance of taps, in pixels.
        bias: float32, shape ``(F,)``.
        residual: Added to the output: its shape, dtype and device.
        activation: One of :data:`~lilnetx.kernels.epilogue.ACTIVATIONS`.
        config: Block sizes; None for a middling choice.

    Returns:
        The dtype and device of ``x``, shape ``(N, F, Ho, Wo)``; in memory ``(N, F, Ho, Wo)`` or
        ``(F, Ho, Wo, N)``, as the input.

    Raises:
        InputError: A tensor has the wrong shape, dtype or device, or a number is out of range.
    """
    problem = problem_of(x, slices, stride, padding, dilation, residual=residual is not None)
    check_epilogue(problem, x, bias, residual, activation)
    for name in ("filter_ptr", "channel", "values"):
        if getattr(slices, name).device != x.device:
            raise InputError(f"the slices are not on the input's device, {x.device}")
    batch_last = is_batch_last(x)
    outer, inner = (1, problem.images) if batch_last else (problem.images, 1)
    if max(problem.filters, outer) > MAX_GRID:
        raise InputError(
            f"{outer} images of {problem.filters} filters: expected at most {MAX_GRID} of either"
        )
    if not problem.gathered_fits(inner):
        raise InputError(
            f"a plane of {inner} images of {problem.size[0]}×{problem.size[1]} pixels, with its "
            "padding, has too many values to count in 32 bits: use a smaller batch"
        )
    out = _empty(x, (problem.images, problem.filters, *problem.out_size), batch_last)
    if out.numel() == 0:
        return out
    x = _padded(x, *problem.padding, batch_last)
    if residual is not None and residual.stride() != out.stride():
        residual = torch.empty_like(out).copy_(residual)
    if config is None:
        config = gathered_configs(problem, inner)[-1]
    integers, constants = gathered_arguments(
        problem, config, inner, has_bias=bias is not None, activation=activation
    )
    grid = (triton.cdiv(problem.pixels * inner, config.block), problem.filters, outer)
    gathered_kernel[grid](
        x,
        slices.filter_ptr,
        slices.channel,
        slices.values,
        out if bias is None else bias.contiguous(),
        out if residual is None else residual,
        out,
        **integers,
        **constants,
        num_warps=config.warps,
    )
    return out


def is_batch_last(x: Tensor) -> bool:
    """Whether ``(N, C, H, W)`` lies in memory as ``(C, H, W, N)``, and not as planes too."""
    return not x.is_contiguous() and x.permute(1, 2, 3, 0).is_contiguous()


def to_batch_last(x: Tensor) -> Tensor:
    """``(N, C, H, W)`` with memory ``(C, H, W, N)``."""
    return x.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)


def _empty(x: Tensor, shape: tuple[int, ...], batch_last: bool) -> Tensor:
    if not batch_last:
        return torch.empty(shape, dtype=x.dtype, device=x.device)
    n, *rest = shape
    return torch.empty((*rest, n), dtype=x.dtype, device=x.device).permute(3, 0, 1, 2)


def _padded(x: Tensor, ph: int, pw: int, batch_last: bool) -> Tensor:
    """The input with its padding around it, so that the kernel tests no taps."""
    if batch_last:
        if ph == pw == 0:
            return x
        memory = functional.pad(x.permute(1, 2, 3, 0), (0, 0, pw, pw, ph, ph))
        return memory.permute(3, 0, 1, 2)
    x = x.contiguous()
    return functional.pad(x, (pw, pw, ph, ph)) if ph or pw else x


__all__ = ["gathered_conv", "is_batch_last", "to_batch_last"]
