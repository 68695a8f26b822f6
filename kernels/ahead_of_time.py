"""Compiles kernels for GPUs that need not be there, and says what the compiler made of them.

Triton compiles without a driver: everything that a launch would learn from its arguments (which
integers are 1 or multiples of 16, how pointers are aligned) is said here as the launcher would.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from .arguments import gathered_arguments, union_arguments
from .configs import WARP, GatheredConfig, UnionConfig
from .disassembly import read_amdgcn, read_resources, read_sass
from .gathered_kernel import gathered_kernel
from .names import candidate_name
from .plan import Candidate
from .problem import ConvProblem
from .union_kernel import union_kernel

ARCHITECTURES = ("sm_80", "sm_90", "gfx942")
_TYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_WIDE_CHANNELS = 2**15


def compile_candidate(
    problem: ConvProblem,
    candidate: Candidate,
    arch: str,
    *,
    bias: bool = True,
    activation: str = "relu",
    precision: str = "tf32x3",
) -> dict[str, Any]:
    """Compiles one form of one layer.

    Args:
        problem: The layer.
        candidate: Form, blocks and order in memory.
        arch: One of :data:`ARCHITECTURES`.
        bias: Whether a bias is added.
        activation: Of the output.
        precision: Of float32 products in form (b).

    Returns:
        A row of the format in this folder's README.
    """
    config = candidate.config
    item = _TYPES[problem.dtype]
    activations = {"x": f"*{item}", "bias": "*fp32", "residual": f"*{item}", "out": f"*{item}"}
    if isinstance(config, GatheredConfig):
        kernel: Any = gathered_kernel
        inner = problem.images if candidate.layout == "batch_last" else 1
        integers, constants = gathered_arguments(
            problem, config, inner, has_bias=bias, activation=activation
        )
        channel = "*i16" if problem.channels < _WIDE_CHANNELS else "*i32"
        pointers = {"filter_ptr": "*i32", "channel": channel, "values": "*fp32"}
        stages, precision = 1, "ieee"
        tile = {"pixels": config.block, "filters": 1}
    else:
        assert isinstance(config, UnionConfig)
        assert candidate.blocks is not None
        kernel = union_kernel
        integers, constants = union_arguments(
            problem,
            config,
            candidate.blocks.run_length,
            candidate.blocks.ordered,
            precision,
            has_bias=bias,
            activation=activation,
        )
        pointers = {"block_ptr": "*i32", "run": "*i32", "weights": f"*{item}", "order": "*i32"}
        stages = config.stages
        precision = precision if problem.dtype == "float32" else "ieee"
        tile = {
            "pixels": config.pixels,
            "filters": config.filters,
            "channels": config.channels,
            "stages": config.stages,
        }
    compiled = _compile(
        kernel, activations | pointers, integers, constants, arch, config.warps, stages
    )
    form = "a" if isinstance(config, GatheredConfig) else "b"
    return {
        "kernel": candidate_name(problem, candidate, activation),
        "backend": "triton",
        "form": form,
        "arch": arch,
        "dtype": problem.dtype,
        "precision": precision,
        "window": list(problem.kernel),
        "slice_channels": problem.slice_channels,
        "tile": tile,
        "threads": config.warps * (64 if arch.startswith("gfx") else WARP),
        **_resources(compiled, arch),
    }


def _compile(
    kernel: Any,
    pointers: dict[str, str],
    integers: dict[str, int],
    constants: dict[str, object],
    arch: str,
    warps: int,
    stages: int,
) -> Any:
    """What a launch with these arguments would compile."""
    names = kernel.arg_names
    # Integers that are 1 become constants, multiples of 16 are known as such.
    constants = constants | {name: 1 for name, value in integers.items() if value == 1}
    signature = {}
    attributes: dict[tuple[int, ...], list[list[object]]] = {}
    for i, name in enumerate(names):
        if name in constants:
            signature[name] = "constexpr"
            continue
        signature[name] = pointers.get(name) or ("i64" if integers[name] >= 2**31 else "i32")
        if name in pointers or integers[name] % 16 == 0:
            attributes[(i,)] = [["tt.divisibility", 16]]
    target = (
        GPUTarget("hip", arch, 64)
        if arch.startswith("gfx")
        else GPUTarget("cuda", int(arch[3:]), 32)
    )
    source = ASTSource(kernel, signature, constexprs=constants, attrs=attributes)
    options = {"num_warps": warps, "num_stages": stages}
    return triton.compile(source, target=target, options=options)


def _resources(compiled: Any, arch: str) -> dict[str, Any]:
    shared = int(compiled.metadata.shared)
    if arch.startswith("gfx"):
        text = compiled.asm["amdgcn"]
        facts = asdict(read_amdgcn(text))
        spill = facts.pop("spill_bytes")
        found = {
            name: _metadata(text, name) for name in ("vgpr_count", "private_segment_fixed_size")
        }
        return {
            "registers": found["vgpr_count"],
            "shared_bytes": shared,
            "spill_bytes": spill,
            "local_bytes": found["private_segment_fixed_size"],
            **facts,
        }
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage = read_resources(_tool("cuobjdump", "-res-usage", file.name))
        facts = asdict(read_sass(_tool("nvdisasm", "-c", file.name)))
    spill = facts.pop("spill_bytes")
    return {
        "registers": usage["REG"],
        "shared_bytes": shared,
        "spill_bytes": spill,
        "local_bytes": usage["STACK"] + usage["LOCAL"],
        **facts,
    }


def _metadata(text: str, name: str) -> int:
    return max(int(line.rpartition(":")[2]) for line in text.splitlines() if f".{name}:" in line)


def _tool(name: str, *arguments: str) -> str:
    """Output of a program that comes with Triton."""
    program = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=True).stdout


__all__ = ["ARCHITECTURES", "compile_candidate"]
