"""Compiles the Triton kernel for GPUs that need not be there; prints facts as JSON.

Run by test_triton.py in a process of its own, without the interpreter.
"""

from __future__ import annotations

import importlib
import json
import re

import kernels_under_test
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

POINTERS = ("x", "filter_ptr", "channel", "values", "bias", "residual", "out")
INTEGERS = ("channels", "group_channels", "height", "width", "out_height", "out_width")


VARIANTS = [("fp32", 3, 1), ("fp16", 3, 1), ("fp32", 1, 4)]


def compile_for(architecture: int, dtype: str, size: int, slice_channels: int) -> dict:
    package = kernels_under_test.load()
    kernel = importlib.import_module(f"{package.__name__}.gathered_conv")._gathered_conv_kernel
    kinds = {
        "x": f"*{dtype}", "filter_ptr": "*i32", "channel": "*i16", "values": "*fp32",
        "bias": "*fp32", "residual": f"*{dtype}", "out": f"*{dtype}",
    }  # fmt: skip
    constants = {
        "KH": size, "KW": size, "G": slice_channels, "SH": 1, "SW": 1, "PH": size // 2,
        "PW": size // 2, "DH": 1, "DW": 1, "HAS_BIAS": True, "HAS_RESIDUAL": True, "RELU": True,
        "BLOCK": 256,
    }  # fmt: skip
    signature = {name: kinds[name] for name in POINTERS}
    signature |= dict.fromkeys(INTEGERS, "i32") | dict.fromkeys(constants, "constexpr")
    # torch's allocations are aligned to 16 bytes, as a real launch would find.
    attributes = {(i,): [["tt.divisibility", 16]] for i in range(len(POINTERS))}
    source = ASTSource(kernel, signature, constexprs=constants, attrs=attributes)
    compiled = triton.compile(
        source, target=GPUTarget("cuda", architecture, 32), options={"num_warps": 4}
    )
    ptx = compiled.asm["ptx"]
    return {
        "architecture": architecture,
        "variant": [dtype, size, slice_channels],
        "target": re.search(r"\.target (\w+)", ptx).group(1),
        "multiply_adds": len(re.findall(r"\bfma\.rn\.f32", ptx)),
        "local_memory": len(re.findall(r"\.local", ptx)),
        "cubin_bytes": len(compiled.asm["cubin"]),
    }


if __name__ == "__main__":
    print(json.dumps([compile_for(a, *variant) for a in (80, 90) for variant in VARIANTS]))
