"""Compiles the Triton kernels that the plans of ResNet-50 choose, for sm_80 and sm_90.

Writes results/gpu-compiled-triton.json, rows of the format in kernels/README.md: what the compiler
made of each kernel. No GPU is needed; Triton is. ``python benchmarks/gpu_compile.py``
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from gpu.resnet50 import gpu_layers

from lilnetx.atomic import atomic_write
from lilnetx.bench.machine import installed_versions

OUTPUT = Path(__file__).resolve().parent / "results" / "gpu-compiled-triton.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TRITON_CACHE_DIR"] = cache  # read when Triton is imported
        rows = compile_all()
    facts = {
        "command": "python benchmarks/gpu_compile.py",
        "versions": {**installed_versions(), "triton": triton_version()},
        "rows": rows,
    }
    with atomic_write(args.output) as file:
        file.write((json.dumps(facts, indent=1) + "\n").encode())


def triton_version() -> str:
    import triton

    return str(triton.__version__)


def compile_all() -> list[dict[str, Any]]:
    """One row for each kernel and architecture."""
    from lilnetx.kernels.ahead_of_time import compile_candidate
    from lilnetx.kernels.devices import DEVICES
    from lilnetx.kernels.names import candidate_name
    from lilnetx.kernels.plan import make_plan

    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for layer in gpu_layers():
        for device in DEVICES.values():
            for form in ("gathered", "union"):
                plan = make_plan(layer.problem, layer.reads, device, forms=(form,))
                name = candidate_name(layer.problem, plan.chosen, "relu")
                key = (name, device.arch)
                if key not in rows:
                    print(*key, flush=True)
                    rows[key] = compile_candidate(layer.problem, plan.chosen, device.arch)
    return [rows[key] for key in sorted(rows)]


if __name__ == "__main__":
    main()
