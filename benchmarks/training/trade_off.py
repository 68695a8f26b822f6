"""The table of size, accuracy and computation: dense, NNCodec, pruning, and ours.

    python benchmarks/training/trade_off.py --runs RUNS --nncodec-python VENV/bin/python

Every cell is one row at one seed. Cells whose result is in the CSV are skipped, and a cell that was
interrupted goes on from its last epoch: give the same command again, or parts of it by ``--rows``
and ``--seeds``, on any machine that sees the same folders. All figures of a cell are of the file:
whole size on disk, and accuracies by the C++ runtime. Settings are chosen on validation images
alone; test accuracies are for the table. ``--render`` writes the table from the CSV and ends.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

RESULTS = Path(__file__).parents[1] / "results" / "training"
# The best accuracy on validation images that NNCodec's row may lose to be the smaller file.
ALLOWED_LOSS = 0.003
FIELDS = (
    *("network", "row", "seed", "setting", "bytes", "test_top1", "validation_top1"),
    *("zero_3x3", "macs_left", "epochs", "seconds"),
)
# Rate of ours, the share of the multiply-accumulates that the slices' weight is steered to, and the
# epochs of fine-tuning from the dense network of the same seed.
OURS = {
    "ours-1": (0.02, 0.187, 80),
    "ours-2": (0.03, 0.19, 12),
    "ours-3": (0.05, 0.12, 12),
    "ours-4": (0.1, 0.07, 12),
}
TUNED = {
    **{"learning_rate": 0.002, "distill": 0.7, "slices": 1.5, "latent_width": 8.0},
    "cost_weighted": False,
}
# For accuracy: what a long run can afford; not with --epochs, and not trimmed.
PATIENT = {"ours-1": {"learning_rate": 0.003, "macs_settled": 0.45}}
# Of ours-2: each at its rate and computation, but for those without slices.
ABLATIONS: dict[str, dict[str, Any]] = {
    "rate-only": {"slices": 0.0, "target_macs": 0},
    "rate-only-high": {"rate": 1.0, "slices": 0.0, "target_macs": 0},
    "width-3": {"latent_width": 3.0, "slices": 4.0},
    "cost": {"cost_weighted": True},
    "norm-1": {"slice_norm": 1.0},
    "norm-inf": {"slice_norm": float("inf")},
    "concave": {"concave": True},
    "sampled": {"sampled_noise": True},
    "no-teacher": {"distill": 0.0},
    "scratch": {"start": "", "distill": 0.0, "epochs": 30, "learning_rate": 0.0015},
}
PRUNED = {"pruned-70": 0.7, "pruned-80": 0.8, "pruned-90": 0.9}
# As ours, but for the first of its rows.
PRUNED_EPOCHS = 12


def make_cell(row: str, seed: int, args: argparse.Namespace, data: Any) -> list[dict[str, Any]]:
    import cells

    from lilnetx.train.config import TrainConfig

    base = TrainConfig(network=args.network, precision=args.precision, seed=seed)
    base = replace(base, train_images=args.train_images, width=args.width)
    baseline = replace(
        base, dense=True, epochs=args.dense_epochs, learning_rate=0.003, weight_decay=0.02
    )
    home = args.runs / f"{args.network}-s{seed}"
    rate, share, epochs = OURS.get(row.removesuffix("-g4"), OURS["ours-2"])
    # The target is a round number.
    target = round(share * cells.dense_macs(baseline, data) / 1e5) * 100_000
    tuned = replace(base, start=str(home / "dense"), rate=rate, target_macs=target, **TUNED)
    tuned = replace(tuned, epochs=args.epochs or epochs)
    trimmed = args.trim
    if row in PATIENT and not args.epochs:
        tuned, trimmed = replace(tuned, **PATIENT[row]), 0.0
    if row == "dense":
        return [cells.dense(baseline, data, home / "dense")]
    if row == "nncodec":
        return cells.nncodec(baseline, data, home / "dense", args.nncodec_python)
    if row in PRUNED:
        tuned = replace(tuned, target_macs=0, epochs=args.epochs or PRUNED_EPOCHS)
        return [cells.pruned(tuned, data, home / row, sparsity=PRUNED[row])]
    if row.endswith("-g4"):
        tuned = replace(tuned, slice_1x1=4)
    return [cells.ours(replace(tuned, **ABLATIONS.get(row, {})), data, home / row, trimmed)]


def all_rows() -> list[str]:
    ours = [*OURS, *(f"{name}-g4" for name in OURS)]
    return ["dense", "nncodec", *PRUNED, *ours, *ABLATIONS]


def render(path: Path) -> str:
    """The table: mean and, with several seeds, the spread from the least to the greatest."""
    with open(path, newline="") as file:
        found = list(csv.DictReader(file))
    lines = []
    for network in dict.fromkeys(r["network"] for r in found):
        mine = [r for r in found if r["network"] == network]
        lines += [
            f"## {network}",
            "",
            "| row | seeds | epochs | top-1 % | bytes | 3x3 slices zero % | multiply-adds left % |",
            "|---|--:|--:|--:|--:|--:|--:|",
        ]
        for row in dict.fromkeys(r["row"] for r in mine):
            cells = [r for r in mine if r["row"] == row]
            if row == "nncodec":
                cells = best_of_nncodec(cells, mine)
            elif len({(c["setting"], c["epochs"]) for c in cells}) > 1:
                raise SystemExit(f"{row}: its seeds have different settings, so they have no mean")
            shown = [
                " or ".join(dict.fromkeys(c["epochs"] or "–" for c in cells)),
                *(spread([100 * float(c["test_top1"]) for c in cells], 2),),
                *(spread([float(c["bytes"]) for c in cells], 0),),
                *(spread([100 * float(c["zero_3x3"]) for c in cells], 1),),
                *(spread([100 * float(c["macs_left"]) for c in cells], 1),),
            ]
            lines.append(f"| {row} | {len(cells)} | {' | '.join(shown)} |")
        lines.append("")
    return "\n".join(lines)


def best_of_nncodec(
    cells: list[dict[str, str]], rows: list[dict[str, str]]
) -> list[dict[str, str]]:
    """Of each seed the smallest file that loses little on validation images."""
    best = []
    for seed in dict.fromkeys(c["seed"] for c in cells):
        dense = [r for r in rows if r["row"] == "dense" and r["seed"] == seed]
        least = max(float(r["validation_top1"]) for r in dense) - ALLOWED_LOSS
        fine = [c for c in cells if c["seed"] == seed and float(c["validation_top1"]) >= least]
        best += [min(fine, key=lambda c: int(c["bytes"]))] if fine else []
    return best


def spread(values: list[float], digits: int) -> str:
    if not values:
        return "–"
    mean = f"{statistics.mean(values):,.{digits}f}"
    if min(values) == max(values):
        return mean
    return f"{mean} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of checkpoints")
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--rows", nargs="+", default=all_rows()[:9], choices=all_rows())
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=0, help="of fine-tuning (default: as tuned)")
    parser.add_argument("--dense-epochs", type=int, default=30)
    parser.add_argument("--train-images", type=int, default=0)
    parser.add_argument("--trim", type=float, default=0.002, help="ours, as lilnetx pack's; 0: not")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--data-root", default=None)
    parser.add_argument("--nncodec-python", default=sys.executable)
    parser.add_argument("--csv", type=Path, default=RESULTS / "trade_off.csv")
    parser.add_argument("--render", action="store_true")
    args = parser.parse_args()
    if not args.render:
        run_cells(args)
    args.csv.with_suffix(".md").write_text(render(args.csv))


def run_cells(args: argparse.Namespace) -> None:
    from lilnetx.data import load

    data = load("fashion-mnist", args.data_root)
    args.csv.parent.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for row in args.rows:
            if (args.network, row, str(seed)) in finished(args.csv):
                continue
            began = time.monotonic()
            told = {"network": args.network, "row": row, "seed": seed}
            cells = make_cell(row, seed, args, data)
            seconds = round(time.monotonic() - began)
            write(args.csv, [{**told, **c, "seconds": seconds} for c in cells])
            print(json.dumps({**told, **cells[0]}), flush=True)


def finished(path: Path) -> set[tuple[str, str, str]]:
    if not path.exists():
        return set()
    with open(path, newline="") as file:
        return {(r["network"], r["row"], r["seed"]) for r in csv.DictReader(file)}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, extrasaction="ignore", restval="")
        if new:
            writer.writeheader()
        writer.writerows(
            {k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()} for row in rows
        )


if __name__ == "__main__":
    main()
