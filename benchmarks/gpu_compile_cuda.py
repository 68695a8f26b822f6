"""What nvcc made of the CUDA kernels: registers, shared memory, tensor-core instructions, spills.

Writes results/gpu-compiled-cuda.json, rows of the format in kernels/README.md, read from the
machine code in the built extension. No GPU is needed; nvcc is.
``python benchmarks/gpu_compile_cuda.py``
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from pathlib import Path

from lilnetx.kernels import cuda_code

from lilnetx import _core
from lilnetx.atomic import atomic_write

OUTPUT = Path(__file__).resolve().parent / "results" / "gpu-compiled-cuda.json"


def nvcc_version() -> str:
    """Of the compiler on the path, which is the one that builds the extension."""
    text = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"V([\d.]+)", text)
    return found[1] if found else "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    facts = {
        "command": "python benchmarks/gpu_compile_cuda.py",
        "versions": {"nvcc": nvcc_version()},
        "rows": cuda_code.rows(_core.__file__),
    }
    with atomic_write(args.output) as file:
        file.write((json.dumps(facts, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
