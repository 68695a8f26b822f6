"""``lilnetx check``, ``pack`` and ``report`` of every network, in full width, as a user runs them.

``python tests/networks/tried.py -o benchmarks/results/tried.csv`` exports each network to ONNX and
by ``torch.export``, and writes one row for each command.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from imported import FULL_SIZES, ONE_SIZE, as_onnx, build

COLUMNS = ("network", "from", "command", "exit_code", "last_line")


def tried(name: str, folder: Path) -> Iterator[dict[str, object]]:
    """One row for each command on one network."""
    import onnx
    import torch

    size = FULL_SIZES.get(name, (224,))[0]
    network = build(name, None)
    onnx.save(as_onnx(network, size, free=name not in ONE_SIZE), folder / "model.onnx")
    program = torch.export.export(network, (torch.zeros(2, 3, size, size),))
    torch.export.save(program, folder / "model.pt2")
    del network, program
    for source in ("model.onnx", "model.pt2"):
        shape = f" --input-shape 3x{size}x{size}" if source == "model.onnx" else ""
        for command in (
            f"check {source}{shape}",
            f"pack {source} -o model.lnx{shape}",
            "report model.lnx -o report.html --seconds 0.5",
        ):
            done = subprocess.run(
                [sys.executable, "-m", "lilnetx.cli.main", *command.split()],
                cwd=folder,
                capture_output=True,
                text=True,
            )
            yield {
                "network": name,
                "from": "ONNX" if shape else "torch.export",
                "command": f"lilnetx {command}",
                "exit_code": done.returncode,
                "last_line": (done.stdout + done.stderr).strip().splitlines()[-1],
            }


def main() -> None:
    from lilnetx import networks

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    with args.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for name in networks.__all__:
            with tempfile.TemporaryDirectory() as folder:
                for row in tried(name, Path(folder)):
                    writer.writerow(row)
                    file.flush()
                    print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
