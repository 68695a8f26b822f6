"""Compiles kernels for GPUs that need not be there; prints rows of kernels/README.md as JSON.

Run by test_triton.py in a process of its own, without the interpreter.
"""

from __future__ import annotations

import json
import sys

import kernels_under_test
import numpy as np

AHEAD = kernels_under_test.submodule("ahead_of_time")
DEVICES = kernels_under_test.submodule("devices")
PLAN = kernels_under_test.submodule("plan")
PROBLEM = kernels_under_test.submodule("problem")

# Layers of ResNet-50 at density 0.19: images, channels, size, filters, kernel, g, dtype, form.
VARIANTS = [
    (64, 128, 28, 128, 3, 1, "float32", "gathered"),
    (64, 128, 28, 128, 3, 1, "float16", "gathered"),
    (1, 256, 56, 64, 1, 4, "float32", "gathered"),
    (1024, 64, 224, 64, 3, 1, "float16", "gathered"),  # not ResNet-50: offsets of 64 bits
    (64, 128, 28, 128, 3, 1, "float32", "union"),
    (1, 128, 28, 128, 3, 1, "float16", "union"),
    (64, 1024, 14, 256, 1, 4, "bfloat16", "union"),
]


def compile_variant(arch, images, channels, size, filters, kernel, g, dtype, form):
    reads = np.random.default_rng(0).random((filters, channels // g)) < 0.19
    problem = PROBLEM.ConvProblem(
        images,
        channels,
        (size, size),
        filters,
        (kernel, kernel),
        padding=(kernel // 2, kernel // 2),
        slice_channels=g,
        slices=int(reads.sum()),
        dtype=dtype,
        residual=True,
    )
    # AMD's GPUs have no three TF32 products; what fits an A100 fits them.
    precision = "ieee" if arch.startswith("gfx") else "tf32x3"
    device = DEVICES.DEVICES.get(arch, DEVICES.A100)
    plan = PLAN.make_plan(problem, reads.repeat(g, 1), device, precision=precision, forms=(form,))
    return AHEAD.compile_candidate(problem, plan.chosen, arch, precision=precision)


if __name__ == "__main__":
    print(json.dumps([compile_variant(a, *variant) for a in sys.argv[1:] for variant in VARIANTS]))
