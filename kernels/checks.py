"""Checks that both launchers make of their arguments."""

from __future__ import annotations

import torch
from torch import Tensor

from lilnetx.errors import InputError

from .epilogue import ACTIVATIONS
from .gathered_slices import GatheredSlices
from .problem import ConvProblem, Pair

DTYPES = {
    torch.float32: "float32",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}
# CUDA's limit of the second and third grid dimension.
MAX_GRID = 65535


def pair(value: int | Pair) -> Pair:
    """A number for both directions, or two."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def problem_of(
    x: Tensor,
    slices: GatheredSlices,
    stride: int | Pair,
    padding: int | Pair,
    dilation: int | Pair,
    *,
    residual: bool = False,
) -> ConvProblem:
    """The convolution of these slices with this input.

    Raises:
        InputError: The input has the wrong shape or dtype, or a number is out of range.
    """
    if x.ndim != 4 or x.shape[1] != slices.in_channels:
        raise InputError(
            f"input has shape {tuple(x.shape)}, expected (N, {slices.in_channels}, H, W)"
        )
    if x.dtype not in DTYPES:
        names = ", ".join(str(dtype) for dtype in DTYPES)
        raise InputError(f"input is {x.dtype}, expected one of {names}")
    images, channels, height, width = x.shape
    problem = ConvProblem(
        images,
        channels,
        (height, width),
        slices.filters,
        slices.kernel,
        pair(stride),
        pair(padding),
        pair(dilation),
        slices.groups,
        slices.slice_channels,
        slices.channel.numel(),
        DTYPES[x.dtype],
        residual,
    )
    problem.check()
    if max(channels * height * width, slices.values.numel()) >= 2**31:
        raise InputError("an image or the slices hold 2**31 or more values")
    return problem


def check_epilogue(
    problem: ConvProblem,
    x: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    activation: str,
) -> None:
    """InputError where bias, residual or activation does not fit the convolution."""
    if activation not in ACTIVATIONS:
        raise InputError(f"activation is {activation!r}, expected one of {', '.join(ACTIVATIONS)}")
    shape = (problem.images, problem.filters, *problem.out_size)
    _check("bias", bias, (problem.filters,), torch.float32, x.device)
    _check("residual", residual, shape, x.dtype, x.device)


def _check(
    name: str,
    tensor: Tensor | None,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    if tensor is None:
        return
    found = (tuple(tensor.shape), tensor.dtype, tensor.device)
    if found != (shape, dtype, device):
        raise InputError(f"{name} is {found}, expected {(shape, dtype, device)}")


__all__ = ["DTYPES", "MAX_GRID", "check_epilogue", "pair", "problem_of"]
