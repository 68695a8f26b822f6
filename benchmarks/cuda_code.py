#!/usr/bin/env python3
"""What nvcc made of the CUDA kernels: registers, shared memory, tensor-core instructions, spills.

    benchmarks/cuda_code.py --json benchmarks/results/cuda-code.json

Read from the machine code in the built extension; no GPU is needed. Rows have the format of
kernels/README.md.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from pathlib import Path

from lilnetx import _core
from lilnetx.atomic import atomic_write
from lilnetx.kernels import cuda_code


def nvcc_version() -> str:
    """Of the compiler on the path, which is the one that builds the extension."""
    text = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"V([\d.]+)", text)
    return found[1] if found else "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="where to write")
    arguments = parser.parse_args()
    document = {
        "command": f"python benchmarks/cuda_code.py --json {arguments.json}",
        "versions": {"nvcc": nvcc_version()},
        "rows": cuda_code.rows(_core.__file__),
    }
    with atomic_write(arguments.json) as file:
        file.write((json.dumps(document, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
