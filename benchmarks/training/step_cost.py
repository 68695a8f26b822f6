"""What one compressed training step costs beside a dense one: time, and memory at its peak.

    python benchmarks/training/step_cost.py

The two networks of a case take alternating steps in one process, each with its own optimiser
(AdamW, in its multi-tensor form), on random images; the result has medians and quartiles of both
and of the ratio of neighbouring steps. Memory is the peak resident set of a process of its own
that takes three steps, less that of the process before the network is made. One thread, float32.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import lilnetx
from lilnetx.networks import resnet50
from lilnetx.train.networks import build_network
from lilnetx.train.precision import channels_last

RESULTS = Path(__file__).parents[1] / "results" / "training" / "step_cost.json"
# Network, image side, pairs of steps that are timed.
CASES = {"resnet20": (28, 40), "resnet50": (224, 4)}


class Stepper:
    """One network, dense or compressed, and its training step."""

    def __init__(self, network: str, batch: int, compressed: bool) -> None:
        torch.manual_seed(0)
        side = CASES[network][0]
        channels, classes = (1, 10) if network == "resnet20" else (3, 1000)
        model = build_network("resnet20", 1, 10) if network == "resnet20" else resnet50()
        self.handle = lilnetx.compress(model) if compressed else None
        self.model = model.to(memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=True)
        self.images = channels_last(torch.randn(batch, channels, side, side))
        self.labels = torch.randint(classes, (batch,))

    def step(self) -> float:
        start = time.process_time()
        loss = nn.functional.cross_entropy(self.model(self.images), self.labels)
        if self.handle is not None:
            loss = loss + self.handle.penalty()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return time.process_time() - start


def peak_mib() -> float:
    """Peak resident set of this program; getrusage would count that of its parent too."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 1024


def memory(network: str, batch: int, compressed: bool) -> float:
    argv = [sys.executable, __file__, "--memory-of", network, "--batch", str(batch)]
    argv += ["--compressed"] if compressed else []
    run = subprocess.run(argv, check=True, capture_output=True, text=True)
    return float(run.stdout)


def measure(network: str, batch: int) -> dict[str, object]:
    dense, ours = Stepper(network, batch, False), Stepper(network, batch, True)
    times = np.array([(dense.step(), ours.step()) for _ in range(CASES[network][1] + 1)][1:])
    mib = {name: memory(network, batch, name == "ours") for name in ("dense", "ours")}
    quartiles = [25, 50, 75]
    return {
        "network": network,
        "batch": batch,
        "dense_ms": np.percentile(times[:, 0] * 1e3, quartiles).round(2).tolist(),
        "ours_ms": np.percentile(times[:, 1] * 1e3, quartiles).round(2).tolist(),
        "time_ratio": np.percentile(times[:, 1] / times[:, 0], quartiles).round(3).tolist(),
        "dense_mib": round(mib["dense"], 1),
        "ours_mib": round(mib["ours"], 1),
        "memory_ratio": round(mib["ours"] / mib["dense"], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--batch", type=int, default=32, help="images in a step (default: 32)")
    parser.add_argument("--memory-of", choices=list(CASES), help=argparse.SUPPRESS)
    parser.add_argument("--compressed", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.memory_of:
        before = peak_mib()
        stepper = Stepper(args.memory_of, args.batch, args.compressed)
        for _ in range(3):
            stepper.step()
        print(peak_mib() - before)
        return
    rows = [measure(network, args.batch) for network in args.networks]
    for row in rows:
        print(row)
    command = "python benchmarks/training/step_cost.py"
    facts = {"command": command, "torch": torch.__version__, "threads": 1, "rows": rows}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
