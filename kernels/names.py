"""Full names of kernels."""

from __future__ import annotations

from .arguments import gathered_arguments
from .configs import GatheredConfig, UnionConfig
from .plan import Candidate
from .problem import ConvProblem

_SHORT = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}


def candidate_name(problem: ConvProblem, candidate: Candidate, activation: str) -> str:
    """Full name of the kernel.

    Kernels of layers without dilation, whose padding is half of the window, are told apart by it.
    """
    config = candidate.config
    if isinstance(config, GatheredConfig):
        inner = problem.images if candidate.layout == "batch_last" else 1
        _, constants = gathered_arguments(
            problem, config, inner, has_bias=True, activation=activation
        )
        # Values that a thread may load at once.
        stem, size = "gconv", f"{config.block}x1w{config.warps}v{constants['ALIGN']}"
    else:
        assert isinstance(config, UnionConfig)
        stem, size = "uconv", f"{config.pixels}x{config.filters}x{config.channels}"
        assert candidate.blocks is not None
        size += f"w{config.warps}s{config.stages}r{candidate.blocks.run_length}"
    kernel = f"{problem.kernel[0]}x{problem.kernel[1]}"
    stride = f"s{problem.stride[0]}" if problem.stride[0] > 1 else ""
    slices = f"g{problem.slice_channels}" if problem.slice_channels > 1 else ""
    end = "" if activation == "none" else f"_{activation}"
    fused = ("_add" if problem.residual else "") + end
    layout = {"planes": "nchw", "channels_last": "nhwc", "batch_last": "chwn"}[candidate.layout]
    order = "" if candidate.blocks is None or candidate.blocks.ordered else "_ordered"
    dtype = _SHORT[problem.dtype]
    return f"lnx_{dtype}_{stem}{kernel}{stride}{slices}{fused}_{size}_{layout}{order}__triton"


__all__ = ["candidate_name"]
