"""Launcher of form (b): a convolution by blocks of filters over the union of their channels."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from lilnetx.errors import InputError

from .arguments import union_arguments
from .checks import MAX_GRID, check_epilogue, problem_of
from .configs import UnionConfig
from .gathered_slices import GatheredSlices
from .problem import Pair
from .union_kernel import union_kernel
from .union_layout import UnionWeights

PRECISIONS = ("tf32x3", "tf32", "ieee")


def union_conv(
    x: Tensor,
    slices: GatheredSlices,
    weights: UnionWeights,
    config: UnionConfig,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    activation: str = "none",
    precision: str = "tf32x3",
) -> Tensor:
    """Convolution with packed slices, then bias, residual and activation, in this order.

    Sums are float32; weights are rounded to the input's dtype. As in a dense convolution, an
    infinity in a channel of a block's union makes NaN of filters that have no slice of it.

    Args:
        x: float32, float16 or bfloat16, shape ``(N, C, H, W)``; made channels-last where it is not.
        slices: The layer's slices: their shape only, the weights are in ``weights``.
        weights: The layer's weights in the dtype and on the device of ``x``.
        config: Block sizes, those of ``weights``.
        stride: Vertical and horizontal, in pixels.
        padding: Zeros at top and bottom, left and right, in pixels.
        dilation: Distance of taps, in pixels.
        bias: float32, shape ``(F,)``.
        residual: Added to the output: its shape, dtype and device.
        activation: One of :data:`~lilnetx.kernels.epilogue.ACTIVATIONS`.
        precision: Of float32 products: ``"tf32x3"`` (three TF32 products, float32's accuracy),
            ``"tf32"`` (10 bits) or ``"ieee"`` (no tensor cores).

    Returns:
        The dtype and device of ``x``, shape ``(N, F, Ho, Wo)``, channels-last in memory.

    Raises:
        InputError: A tensor has the wrong shape, dtype or device, or a number is out of range.
    """
    problem = problem_of(x, slices, stride, padding, dilation, residual=residual is not None)
    check_epilogue(problem, x, bias, residual, activation)
    if (weights.weights.dtype, weights.weights.device) != (x.dtype, x.device):
        raise InputError(
            f"weights are {weights.weights.dtype} on {weights.weights.device}, the input is "
            f"{x.dtype} on {x.device}"
        )
    if (config.filters, config.channels) != (weights.filters_block, weights.channels_block):
        raise InputError(
            f"{config} does not fit weights in blocks of {weights.filters_block} filters and "
            f"{weights.channels_block} channels"
        )
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
    blocks = weights.order.shape[0]
    if blocks > MAX_GRID:
        raise InputError(f"{blocks} blocks of filters: expected at most {MAX_GRID}")
    if not problem.union_fits:
        raise InputError(
            f"{problem.images} images of {problem.out_size[0]}×{problem.out_size[1]} pixels are "
            "too many to count in 32 bits: use a smaller batch"
        )
    shape = (problem.images, *problem.out_size, problem.filters)
    out = torch.empty(shape, dtype=x.dtype, device=x.device)
    if out.numel() == 0:
        return out.permute(0, 3, 1, 2)
    integers, constants = union_arguments(
        problem,
        config,
        weights.run_length,
        weights.ordered,
        precision,
        has_bias=bias is not None,
        activation=activation,
    )
    # The interpreter's products of bfloat16 are wrong.
    interpreted = not isinstance(union_kernel, triton.JITFunction)
    constants["UPCAST"] = interpreted and x.dtype == torch.bfloat16
    grid = (triton.cdiv(problem.images * problem.pixels, config.pixels), blocks)
    union_kernel[grid](
        x.permute(0, 2, 3, 1).contiguous(),
        weights.block_ptr,
        weights.run,
        weights.weights,
        weights.order,
        out if bias is None else bias.contiguous(),
        out if residual is None else residual.permute(0, 2, 3, 1).contiguous(),
        out,
        **integers,
        **constants,
        num_warps=config.warps,
        num_stages=config.stages,
    )
    return out.permute(0, 3, 1, 2)


__all__ = ["PRECISIONS", "union_conv"]
