"""Write the README's figures from the committed results: no number in it is typed by hand.

python benchmarks/readme.py            rewrites the part of README.md between the markers
python benchmarks/readme.py --check    only says whether it is up to date (exit code 1 if not)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
LOG = ROOT / "lilnetx" / "models" / "resnet20-fashion-mnist.log.jsonl"
README = ROOT / "README.md"
BEGIN, END = "<!-- figures: benchmarks/readme.py -->\n", "<!-- end of figures -->\n"
ENGINES = {"torch": "torch eager", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


def read_json(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return result


def last_row(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    return row


def times(bench: dict[str, Any], name: str) -> float:
    return next(float(c["median_ms"]) for c in bench["contenders"] if c["name"] == name)


def best_dense(bench: dict[str, Any]) -> dict[str, Any]:
    rows: list[dict[str, Any]] = bench["contenders"][1:]
    return min(rows, key=lambda row: float(row["median_ms"]))


def engine(row: dict[str, Any]) -> str:
    return f"{ENGINES.get(row['name'], row['name'])} {row['version']}"


def render() -> str:
    """The README's table and the lines under it."""
    bench, evaluated = read_json("resnet20-bench.json"), read_json("resnet20-eval.json")
    inspected = read_json("resnet20-inspect.json")
    dense = last_row(RESULTS / "resnet20-dense.log.jsonl")
    best = best_dense(bench)
    size, dense_size = inspected["file_bytes"], inspected["dense_fp32_bytes"]
    ours, theirs = times(bench, "lilnetx"), float(best["median_ms"])
    zero = inspected["zero_slices_kxk"] / inspected["slices_kxk"]
    left = inspected["macs_left"] / inspected["macs"]
    lines = [
        "| ResNet-20 on Fashion-MNIST | dense float32 | `.lnx` | |",
        "|---|---|---|---|",
        f"| whole file | {dense_size:,} bytes (weights and biases) | **{size:,} bytes** | "
        f"{dense_size / size:.0f} times smaller |",
        f"| top-1, 10,000 test images | {100 * dense['test_top1']:.2f} % | "
        f"**{100 * evaluated['top1']:.2f} %** | "
        f"{100 * (evaluated['top1'] - dense['test_top1']):+.2f} points |",
        f"| one image, one thread | {theirs:.3f} ms ({engine(best)}) | **{ours:.3f} ms** | "
        f"{theirs / ours:.2f} times as fast |",
        f"| 3x3 slices that are zero | 0 % | {100 * zero:.1f} % | |",
        f"| multiply-accumulates | {inspected['macs'] / 1e6:.1f} M | "
        f"{inspected['macs_left'] / 1e6:.1f} M | {100 * left:.0f} % left |",
        "",
    ]
    for batch in (1, 16):
        large = read_json(f"resnet50-batch{batch}.json")
        rows = ", ".join(
            f"{engine(row)} {row['median_ms'] / batch:.1f} ms" for row in large["contenders"][1:]
        )
        ours50 = times(large, "lilnetx") / batch
        lines.append(
            "- ResNet-50, 224x224, 81 % of slices zero at random (synthetic weights: for timing "
            f"only), batch {batch}, time an image: ours **{ours50:.1f} ms**; dense {rows}; "
            f"{large['speedup_vs_best_dense_fp32']:.2f} times as fast as the fastest of them."
        )
    machine, versions = bench["machine"], bench["versions"]
    others = ", ".join(
        f"{engine(row)} {row['median_ms']:.3f} ms" for row in bench["contenders"][1:]
    )
    lines += [
        "",
        f"One core of {machine['cpu']} ({bench['isa']}), {machine['system']}, one thread, float32, "
        "medians of alternating calls in one run, each engine with the settings that the results "
        f"name; torch.compile was not among them ({others}). "
        f"Python {versions['python']}, torch {versions['torch']}. The dense network is trained "
        "by the same loop (`--dense`), one seed each. Command: `make figures`; all figures with "
        "their spreads are in [`benchmarks/results`](benchmarks/results).",
        "",
    ]
    return "\n".join(lines)


def updated(text: str) -> str:
    """README text with its figures replaced."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + "\n" + render() + "\n" + END + rest.split(END)[1]


def main() -> int:
    text = README.read_text(encoding="utf-8")
    new = updated(text)
    if "--check" in sys.argv[1:]:
        print("up to date" if new == text else "README.md differs from the results")
        return int(new != text)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
