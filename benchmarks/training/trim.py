#!/usr/bin/env python3
"""What ``lilnetx pack --trim`` saves and costs: whole files and validation accuracy.

    benchmarks/training/trim.py runs/a runs/b --limits 0.002 0.005 0.01

For each run (a folder of ``lilnetx train``) and each limit of the divergence: the file's bytes, the
latents', multiply-accumulates left, and top-1 accuracy on the run's own validation split, which
neither training nor trimming saw.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lilnetx.data import load, normalise, spread, validation_split
from lilnetx.format import inspect_lnx
from lilnetx.machine import cpu_model
from lilnetx.packing import pack
from lilnetx.packing.trim import trim
from lilnetx.train.checkpoint import load_checkpoint, restore
from lilnetx.train.loop import CHECKPOINT
from lilnetx.train.start import build_model

RESULTS = Path(__file__).resolve().parents[1] / "results" / "training"


def measure(run: Path, limit: float, calibration: int) -> dict[str, Any]:
    """One row; a limit of 0 stands for the untrimmed network."""
    state = load_checkpoint(run / CHECKPOINT)
    config, facts = state["config"], state["data"]
    model, _ = build_model(config, facts)
    restore(run / CHECKPOINT, state, model, None)
    model = model.eval().to(memory_format=torch.channels_last)
    data = load(facts.name, None)
    trained_on, held_out = validation_split(len(data.train_images), config.validation, config.seed)
    row: dict[str, Any] = {"run": run.name, "network": config.network, "limit": limit}
    if limit:
        some = spread(trained_on[: config.train_images or None], calibration)
        images = normalise(data.train_images[some], facts.mean, facts.std)
        report = trim(model, torch.from_numpy(images), limit, seed=config.seed)
        row["divergence"] = round(report.divergence, 6)
        row["agreement"] = report.agreement
        row["changed"] = round(report.changed, 6)
    else:
        row |= {"divergence": 0.0, "agreement": 1.0, "changed": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.lnx")
        pack(model, path, input_shape=facts.image_shape)
        summary = inspect_lnx(path)
    row["file_bytes"] = summary.file_bytes
    row["latent_bytes"] = summary.bytes_by_section["LATS"]
    row["macs_left"] = round(summary.macs_left / summary.macs, 4)
    images = normalise(data.train_images[held_out], facts.mean, facts.std)
    row["validation_top1"] = accuracy(model, images, data.train_labels[held_out])
    return row


@torch.no_grad()
def accuracy(model: nn.Module, images: Any, labels: Any) -> float:
    """Share of the images whose label has the largest logit."""
    parts = [model(part).argmax(1) for part in torch.from_numpy(images).split(500)]
    return float((torch.cat(parts).numpy() == labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--limits", nargs="+", type=float, default=[0.002, 0.005, 0.01])
    parser.add_argument("--images", type=int, default=2000, help="for trimming (default: 2000)")
    parser.add_argument("--csv", type=Path, default=RESULTS / "trim.csv")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for run in args.runs:
        for limit in (0.0, *args.limits):
            rows.append(measure(run, limit, args.images))
            print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    with args.csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    command = ["benchmarks/training/trim.py", *(f"runs/{run.name}" for run in args.runs)]
    command += ["--limits", *(str(limit) for limit in args.limits), "--images", str(args.images)]
    facts = {"command": shlex.join(command), "cpu": cpu_model(), "torch": torch.__version__}
    args.csv.with_suffix(".json").write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
