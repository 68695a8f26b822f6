"""Draw the pictures of the README from the committed results.

python benchmarks/plots.py            writes benchmarks/plots/*.svg
python benchmarks/plots.py --check    only says whether they are up to date (exit code 1 if not)
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

from svg import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PAPER,
    PURPLE,
    Axis,
    Chart,
    powers_of_two,
    steps,
)

BENCHMARKS = Path(__file__).resolve().parent
RESULTS = BENCHMARKS / "results"
PLOTS = BENCHMARKS / "plots"
ENGINES = {
    "onnxruntime": ("ONNX Runtime", ORANGE),
    "openvino": ("OpenVINO", PURPLE),
    "torch-compile": ("torch.compile", GREEN),
}

Row = dict[str, str]


def main() -> int:
    pictures = {"density.svg": density_chart(RESULTS), "roofline.svg": roofline(RESULTS)}
    if "--check" in sys.argv[1:]:
        stale = [name for name, text in pictures.items() if not _same(PLOTS / name, text)]
        print(f"differ from the results: {', '.join(stale)}" if stale else "up to date")
        return int(bool(stale))
    PLOTS.mkdir(exist_ok=True)
    for name, text in pictures.items():
        (PLOTS / name).write_text(text, encoding="utf-8")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def read(results: Path, name: str) -> tuple[list[Row], dict[str, Any]]:
    """The rows and the facts of a step's result."""
    with open(results / f"{name}.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return rows, json.loads((results / f"{name}.json").read_text(encoding="utf-8"))


def machine_text(facts: dict[str, Any]) -> str:
    """Machine, threads and instruction set."""
    threads = "one thread" if facts["threads"] == 1 else f"{facts['threads']} threads"
    return f"{facts['machine']['cpu']} ({facts['isa']}), {facts['machine']['system']}, {threads}"


def density_chart(results: Path) -> str:
    """Latency against density, dense engines as lines."""
    rows, facts = read(results, "sweep")
    ours = [row for row in rows if row["contender"] == "lilnetx"]
    dense = [row for row in rows if row["contender"] != "lilnetx"]
    versions = {c["name"]: c["version"] for c in facts["contenders"]}
    high = max(float(row["p80_ms"]) for row in rows)
    ticks = steps(1.05 * high)
    named = ", ".join(f"{ENGINES[name][0]} {version}" for name, version in versions.items())
    chart = Chart(
        "ResNet-50: latency against density",
        Axis("density: slices that are not zero, %", 0, 100, range(0, 101, 10)),
        Axis("time of one 224x224 image, ms", 0, ticks[-1], ticks),
        f"Batch 1, float32, {machine_text(facts)}. Medians of calls that alternate in one run, "
        "band: 20th to 80th percentile. Random weights, zero slices at random places, every "
        f"convolution but the first. Dense engines: {named}. "
        f"lilnetx {facts['versions']['lilnetx']}. Data: benchmarks/results/sweep.csv.",
        right=120,
    )
    labels = []
    for row in dense:
        name, color = ENGINES[row["contender"]]
        ms = float(row["median_ms"])
        chart.line([(0, ms), (100, ms)], color, width=1.8, dash="7 4")
        labels.append((ms, name, color))

    def curve(column: str) -> list[tuple[float, float]]:
        return [(100 * float(row["density"]), float(row[column])) for row in ours]

    chart.band(curve("p20_ms"), curve("p80_ms"), BLUE)
    chart.line(curve("median_ms"), BLUE, width=2.6)
    chart.marks(curve("median_ms"), BLUE)
    labels.append((curve("median_ms")[-1][1], "lilnetx", BLUE))
    chart.labels_at_right(labels)
    crossover = facts["crossover_density"]
    if crossover is None:
        chart.text((3, ticks[-1]), "faster than every dense engine at any density", GREY, dy=18)
    else:
        x = 100 * crossover
        chart.line([(x, 0), (x, ticks[-1])], GREY, width=1.2, dash="2 3")
        text = f"as fast as the fastest dense engine at {x:.0f} %"
        left = x > 50
        chart.text(
            (x - 1 if left else x + 1, 0), text, GREY, anchor="end" if left else "start", dy=-10
        )
    return chart.render()


def roofline(results: Path) -> str:
    """Layers of ResNet-50 under the roofs that were measured in the same run."""
    rows, facts = read(results, "layers")
    layers = [row for row in rows if row["network"] == "resnet50" and row["where"] == "network"]
    peak = facts["peak"]
    place = [(float(row["flops_per_byte"]), float(row["useful_gflops"])) for row in layers]
    xs = powers_of_two(min(x for x, _ in place) / 1.5, max(x for x, _ in place) * 1.2)
    top = 1.25 * peak["gflops"]
    ys = [y for y in powers_of_two(min(y for _, y in place) / 1.2, top) if y <= top]
    summary = [
        g for g in facts["classes"] if g["network"] == "resnet50" and g["where"] == "network"
    ]
    shares = ", ".join(f"{g['class']} {g['percent_of_peak']:.0f} %" for g in summary)
    chart = Chart(
        "ResNet-50 at 19 % density: layers under the roofline",
        Axis("useful operations a byte of input, output and weights", xs[0], xs[-1], xs, log=True),
        Axis("useful GFLOP/s", ys[0], top, ys, log=True),
        f"Batch 1, float32, {machine_text(facts)}, lilnetx {facts['versions']['lilnetx']}. Each "
        "layer where it is in the network. Useful operations: two a nonzero weight and output "
        "pixel. Bytes: each input, output, weight and index once. Roofs: multiply-adds and loads "
        f"of one core, measured in the same run. Share of the peak by time: {shares}. "
        "Data: benchmarks/results/layers.csv.",
        height=380,
    )
    for level, rate in peak["load_gbs"].items():
        corner = peak["gflops"] / rate
        start = max(xs[0], ys[0] / rate)
        if corner <= start:
            continue
        end = min(corner, xs[-1])
        chart.line([(start, start * rate), (end, end * rate)], GREY, width=1.2, dash="5 3")
        chart.text((1.15 * start, start * rate), f"{level}: {rate:.0f} GB/s", GREY, dy=4)
    chart.line([(xs[0], peak["gflops"]), (xs[-1], peak["gflops"])], GREY, width=1.8)
    text = f"multiply-adds: {peak['gflops']:.0f} GFLOP/s"
    chart.text((xs[-1], peak["gflops"]), text, GREY, anchor="end", dy=-7)
    kinds = {
        ("3x3", False): ("3x3", BLUE, "circle", PAPER),
        ("3x3", True): ("3x3 to 7x7 images", BLUE, "circle", INK),
        ("1x1", False): ("1x1", ORANGE, "square", PAPER),
        ("1x1", True): ("1x1 to 7x7 images", ORANGE, "square", INK),
        ("stem", False): ("7x7 stem", GREEN, "triangle", PAPER),
    }
    for point, row in zip(place, layers, strict=True):
        _, color, shape, edge = kinds[row["kind"], row["shape"].endswith("x7x7")]
        chart.marks([point], color, shape, edge)
    chart.legend(list(kinds.values()))
    return chart.render()


if __name__ == "__main__":
    sys.exit(main())
