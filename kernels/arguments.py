"""What a launch tells its kernel beside tensors; compiling ahead of time says the same."""

from __future__ import annotations

import math

from .configs import GatheredConfig, UnionConfig
from .problem import ConvProblem


def gathered_arguments(
    problem: ConvProblem, config: GatheredConfig, inner: int, *, has_bias: bool, activation: str
) -> tuple[dict[str, int], dict[str, object]]:
    """The kernel's integers and its constants, by name.

    Args:
        problem: What is to be computed.
        config: Block sizes.
        inner: Images that lie innermost; 1 for planes of pixels.
        has_bias: Whether there is a bias.
        activation: Of the output.
    """
    out_height, out_width = problem.out_size
    height, width = (problem.size[i] + 2 * problem.padding[i] for i in (0, 1))
    x_row, out_row = width * inner, out_width * inner
    strides = {
        "x_image": problem.channels * height * x_row,
        "x_plane": height * x_row,
        "x_row": x_row,
        "out_image": problem.filters * out_height * out_row,
        "out_plane": out_height * out_row,
        "out_row": out_row,
    }
    aligned = [value for name, value in strides.items() if not problem.flat or "row" not in name]
    if not problem.flat:
        aligned.append(inner)
    most = max(problem.channels * strides["x_plane"], problem.filters * strides["out_plane"])
    integers = {
        "group_channels": problem.group_channels,
        "inner": inner,
        "pixels": problem.pixels,
        "out_width": out_width,
        **strides,
    }
    constants = {
        "KH": problem.kernel[0],
        "KW": problem.kernel[1],
        "G": problem.slice_channels,
        "SH": problem.stride[0],
        "SW": problem.stride[1],
        "DH": problem.dilation[0],
        "DW": problem.dilation[1],
        "HAS_BIAS": has_bias,
        "HAS_RESIDUAL": problem.residual,
        "ACTIVATION": activation,
        "FLAT": problem.flat,
        "ALIGN": math.gcd(16 // problem.item_bytes, problem.pixels * inner, *aligned),
        "WIDE": most >= 2**31,
        "UNROLL": config.unroll,
        "BLOCK": config.block,
    }
    return integers, constants


def union_arguments(
    problem: ConvProblem,
    config: UnionConfig,
    run_length: int,
    ordered: bool,
    precision: str,
    *,
    has_bias: bool,
    activation: str,
) -> tuple[dict[str, int], dict[str, object]]:
    """The kernel's integers and its constants, by name, as on a GPU.

    Args:
        problem: What is to be computed.
        config: Block sizes.
        run_length: Channels of a run.
        ordered: Whether block b has filters ``b * config.filters`` and following.
        precision: Of float32 products.
        has_bias: Whether there is a bias.
        activation: Of the output.
    """
    integers = {
        "images": problem.images,
        "channels": problem.channels,
        "height": problem.size[0],
        "width": problem.size[1],
        "out_height": problem.out_size[0],
        "out_width": problem.out_size[1],
        "filters": problem.filters,
    }
    constants = {
        "KH": problem.kernel[0],
        "KW": problem.kernel[1],
        "SH": problem.stride[0],
        "SW": problem.stride[1],
        "PH": problem.padding[0],
        "PW": problem.padding[1],
        "DH": problem.dilation[0],
        "DW": problem.dilation[1],
        "HAS_BIAS": has_bias,
        "HAS_RESIDUAL": problem.residual,
        "ACTIVATION": activation,
        "RUN": run_length,
        "ORDERED": ordered,
        "PRECISION": precision if problem.dtype == "float32" else "ieee",
        "UPCAST": False,
        "BLOCK_P": config.pixels,
        "BLOCK_F": config.filters,
        "BLOCK_K": config.channels,
    }
    return integers, constants


__all__ = ["gathered_arguments", "union_arguments"]
