"""Predicts ResNet-50's layers on A100 and H100 from committed compilations; writes docs.

Reads results/gpu-compiled-triton.json and, where it is there, gpu-compiled-cuda.json; writes
results/gpu-prediction.csv and .json and docs/gpu-prediction.md. Needs neither a GPU nor Triton.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from pathlib import Path
from typing import Any

from gpu.page import page
from gpu.predict import Compiled, predict
from gpu.resnet50 import DENSITY, gpu_layers
from lilnetx.kernels.cost import BANDWIDTH_EFFICIENCY, DENSE_EFFICIENCY
from lilnetx.kernels.devices import DEVICES

from lilnetx.atomic import atomic_write

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where compilations are")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of CSV and JSON")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "gpu-prediction.md")
    args = parser.parse_args()
    compiled = read(args.results)
    rows = [
        row
        for layer in gpu_layers()
        for device in DEVICES.values()
        for row in predict(layer, device, compiled)
    ]
    rows.sort(key=lambda row: (row["arch"], row["dtype"] != "float32", row["batch"]))
    facts = {
        "density": DENSITY,
        "dense": DENSE_EFFICIENCY,
        "bandwidth": BANDWIDTH_EFFICIENCY,
    }
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    made = {
        "what": "predictions by the cost model; nothing here was measured",
        "command": "python benchmarks/gpu_predict.py",
        "devices": [vars(device) for device in DEVICES.values()],
        **facts,
    }
    write(args.output / "gpu-prediction.csv", text.getvalue())
    write(args.output / "gpu-prediction.json", json.dumps(made, indent=2) + "\n")
    write(args.page, page(rows, facts))


def read(folder: Path) -> Compiled:
    """Rows of both compilers."""
    triton = json.loads((folder / "gpu-compiled-triton.json").read_text())["rows"]
    cuda: list[dict[str, Any]] = []
    path = folder / "gpu-compiled-cuda.json"
    if path.exists():
        cuda = json.loads(path.read_text())["rows"]
    return Compiled({(row["kernel"], row["arch"]): row for row in triton}, cuda)


def write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())


if __name__ == "__main__":
    main()
