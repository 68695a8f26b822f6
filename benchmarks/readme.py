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
README = ROOT / "README.md"
BEGIN, END = "<!-- figures: benchmarks/readme.py -->\n", "<!-- end of figures -->\n"
ENGINES = {
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "torch-compile": "torch.compile",
}
NETWORKS = {
    "resnet50": "ResNet-50",
    "resnet18": "ResNet-18",
    "vgg16_bn": "VGG-16-BN",
    "mobilenet_v2": "MobileNetV2",
    "resnet20": "ResNet-20 (trained)",
}
BATCHES = (1, 16)
# Folders of results from other processors.
ELSEWHERE = ("xeon",)


def main() -> int:
    text = README.read_text(encoding="utf-8")
    new = updated(text)
    if "--check" in sys.argv[1:]:
        print("up to date" if new == text else "README.md differs from the results")
        return int(new != text)
    README.write_text(new, encoding="utf-8")
    return 0


def updated(text: str) -> str:
    """README text with its figures replaced."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + "\n" + render() + "\n" + END + rest.split(END)[1]


def render() -> str:
    """The README's tables, pictures and the lines under them."""
    bench = read_json("resnet20-batch1")
    versions = bench["versions"]
    engines = ", ".join(f"{engine_name(row)} {row['version']}" for row in dense_rows(bench))
    lines = [
        *shipped_table(bench),
        "",
        "Time of one image in milliseconds, one thread, dense engines on the same network:",
        "",
        *network_table(),
        "",
        *thread_line(),
        *elsewhere_lines(),
        "![Latency against density](benchmarks/plots/density.svg)",
        "",
        "![Layers under the roofline](benchmarks/plots/roofline.svg)",
        "",
        f"{machines()}; float32, medians of "
        "alternating calls in one run, each engine with the settings that the results name "
        f"({engines}; Python {versions['python']}). All networks but ResNet-20 have random "
        "weights, with 81 % of the slices of each layer zero (not of the first and the last layer, "
        "nor of depthwise ones): for timing only. The dense ResNet-20 is trained by the same loop "
        "(`--dense`), and the other started from it: one seed. Command: `make bench`; "
        "[`benchmarks`](benchmarks/README.md) says what each figure means, and "
        "[`benchmarks/results`](benchmarks/results) has all of them with their spreads.",
        "",
    ]
    return "\n".join(lines)


def shipped_table(bench: dict[str, Any]) -> list[str]:
    """The trained network: size, accuracy and latency."""
    evaluated, inspected = read_json("resnet20-eval"), read_json("resnet20-inspect")
    dense = last_row(RESULTS / "resnet20-dense.log.jsonl")
    best = min(dense_rows(bench), key=lambda row: float(row["median_ms"]))
    size, dense_size = inspected["file_bytes"], inspected["dense_fp32_bytes"]
    ours, theirs = ours_ms(bench), float(best["median_ms"])
    zero = inspected["zero_slices_kxk"] / inspected["slices_kxk"]
    left = inspected["macs_left"] / inspected["macs"]
    return [
        "| ResNet-20 on Fashion-MNIST | dense float32 | `.lnx` | |",
        "|---|---|---|---|",
        f"| whole file | {dense_size:,} bytes (weights and biases) | **{size:,} bytes** | "
        f"{dense_size / size:.0f} times smaller |",
        f"| top-1, 10,000 test images | {100 * dense['test_top1']:.2f} % | "
        f"**{100 * evaluated['top1']:.2f} %** | "
        f"{100 * (evaluated['top1'] - dense['test_top1']):+.2f} points |",
        f"| one image, one thread | {theirs:.3f} ms ({engine_name(best)}) | **{ours:.3f} ms** | "
        f"{theirs / ours:.2f} times as fast |",
        f"| 3x3 slices that are zero | 0 % | {100 * zero:.1f} % | |",
        f"| multiply-accumulates | {inspected['macs'] / 1e6:.1f} M | "
        f"{inspected['macs_left'] / 1e6:.1f} M | {100 * left:.0f} % left |",
    ]


def network_table() -> list[str]:
    """A row for each network and batch that was measured."""
    lines = [
        f"| network | batch | lilnetx | {' | '.join(ENGINES.values())} | times the fastest dense |",
        "|---|--:|--:|" + "--:|" * len(ENGINES) + "--:|",
    ]
    for name, title in NETWORKS.items():
        for batch in BATCHES:
            if not (RESULTS / f"{name}-batch{batch}.json").is_file():
                continue
            bench = read_json(f"{name}-batch{batch}")
            times = {row["name"]: float(row["median_ms"]) for row in dense_rows(bench)}
            cells = [
                milliseconds(times[engine] / batch) if engine in times else "-"
                for engine in ENGINES
            ]
            ours = milliseconds(ours_ms(bench) / batch)
            ratio = bench["speedup_vs_best_dense_fp32"]
            lines.append(
                f"| {title} | {batch} | **{ours}** | {' | '.join(cells)} | **{ratio:.2f}** |"
            )
    return lines


def thread_line() -> list[str]:
    """What a second thread brings, if that was measured."""
    if not (RESULTS / "threads.json").is_file():
        return []
    threads = read_json("threads")
    shares = ", ".join(
        f"{gain['times_one_thread']:.2f} times as fast as one at batch {gain['batch']}"
        for gain in threads["gains"]
    )
    return [f"ResNet-50 by {len(threads['cores'])} threads is {shares}.", ""]


def elsewhere_lines() -> list[str]:
    """What came of the same networks on other processors."""
    lines = []
    for folder in ELSEWHERE:
        ratios, facts = [], {}
        for name, title in NETWORKS.items():
            for batch in BATCHES:
                if (RESULTS / folder / f"{name}-batch{batch}.json").is_file():
                    facts = read_json(f"{folder}/{name}-batch{batch}")
                    ratio = facts["speedup_vs_best_dense_fp32"]
                    ratios.append(f"{title} {ratio:.2f} times at batch {batch}")
        if ratios:
            cpu = facts["machine"]["cpu"]
            lines += [f"On one core of {cpu}, over the fastest dense: {', '.join(ratios)}.", ""]
    return lines


def machines() -> str:
    """The processor that most networks were measured on, and the others with their networks."""
    measured: dict[str, list[str]] = {}
    for name, title in NETWORKS.items():
        if (RESULTS / f"{name}-batch1.json").is_file():
            bench = read_json(f"{name}-batch1")
            machine = bench["machine"]
            text = f"{machine['cpu']} ({bench['isa']}), {machine['system']}"
            measured.setdefault(text, []).append(title)
    most = max(measured, key=lambda text: len(measured[text]))
    others = [f"{', '.join(n)}: {text}" for text, n in measured.items() if text != most]
    return "; ".join([f"One core of {most}", *others])


def read_json(name: str) -> dict[str, Any]:
    path = RESULTS / f"{name}.json"
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def last_row(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    return row


def ours_ms(bench: dict[str, Any]) -> float:
    return next(float(c["median_ms"]) for c in bench["contenders"] if c["name"] == "lilnetx")


def dense_rows(bench: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in bench["contenders"] if row["name"] in ENGINES]


def engine_name(row: dict[str, Any]) -> str:
    return ENGINES[row["name"]]


def milliseconds(ms: float) -> str:
    """Three significant digits."""
    return f"{ms:.{max(0, 2 - int(f'{ms:e}'.split('e')[1]))}f}"


if __name__ == "__main__":
    sys.exit(main())
