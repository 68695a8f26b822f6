"""docs/gpu-prediction.md, from the rows of the prediction."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

_INTRODUCTION = """\
# Predicted times on GPUs

<!-- made by benchmarks/gpu_predict.py: change that, not this file -->

**These are predictions.** No GPU has run these kernels yet; `make gpu-check` measures them where
there is one. A prediction is the cost model's (`kernels/cost.py`, which says what it assumes), fed
with the data sheet of the GPU (`kernels/devices.py`) and with registers and shared memory of the
compiled kernels. The layers are those of ResNet-50 at 224x224, {density:.0%} of the slices left at
random, 1x1 layers in single weights, without the first layer; ReLU is fused.

- *gathered* (Triton) and *lists* (CUDA): form (a), each filter over its own channels, on CUDA
  cores.
- *union* (Triton) and *blocks* (CUDA): form (b), blocks of filters over the union of their
  channels, on tensor cores; float32 as three TF32 products.
- *dense*: a dense convolution at {dense:.0%} of the arithmetic peak or {bandwidth:.0%} of the
  memory's, whichever is slower: float32 without tensor cores (as cuDNN does with TF32 off), float16
  with them. *dense tf32* rounds operands to 10 bits.
  The model counts a load for each tap of a gathered slice; where a kernel keeps what it has loaded
  for several taps, as *lists* does in 3x3 layers, the estimate is too high.
- A random pattern is the worst case of form (b): of 32 filters of that density nearly every channel
  is in the union, so it computes nearly what a dense layer does.

Everything behind the tables (bytes, operations, registers, occupancy, instructions of each kernel)
is in [`gpu-prediction.csv`](../benchmarks/results/gpu-prediction.csv). Commands, without a GPU:

```sh
python benchmarks/gpu_compile.py   # compiles the Triton kernels
python benchmarks/gpu_predict.py   # makes the CSV, the JSON and this page
```
"""


def page(rows: list[Row], facts: dict[str, Any]) -> str:
    """The page's text."""
    parts = [_INTRODUCTION.format(**facts), *_totals(rows), *_compiled(rows)]
    for device in dict.fromkeys(row["device"] for row in rows):
        for dtype in dict.fromkeys(row["dtype"] for row in rows):
            parts += _layers(rows, device, dtype)
    return "\n".join(parts)


def _totals(rows: list[Row]) -> list[str]:
    """All layers together, and the best kernel of ours for each layer."""
    contenders = list(dict.fromkeys(row["contender"] for row in rows))
    ours = [c for c in contenders if not c.startswith("dense")]
    dense = [c for c in contenders if c.startswith("dense")]
    lines = ["## All 52 layers, predicted milliseconds", ""]
    lines.append(_line(["GPU", "batch", "dtype", *ours, "best of ours", *dense]))
    lines.append(_rule(3, len(ours) + 1 + len(dense)))
    for key in dict.fromkeys((r["device"], r["batch"], r["dtype"]) for r in rows):
        mine = [r for r in rows if (r["device"], r["batch"], r["dtype"]) == key]
        sums = {c: _sum(mine, [c]) for c in contenders}
        best = _sum(mine, ours)
        lines.append(
            _line(
                [*map(str, key), *(sums[c] for c in ours), f"**{best}**", *(sums[c] for c in dense)]
            )
        )
    return [*lines, ""]


def _sum(rows: list[Row], contenders: list[str]) -> str:
    """Milliseconds of all layers, the fastest of some contenders for each."""
    best: dict[str, float] = {}
    for row in rows:
        if row["contender"] in contenders:
            time = row["predicted_us"] * row["count"]
            best[row["layer"]] = min(time, best.get(row["layer"], time))
    if len(best) < len({row["layer"] for row in rows}):
        return "-"
    return _digits(sum(best.values()) / 1e3)


def _compiled(rows: list[Row]) -> list[str]:
    """What the compilers made, over all kernels that are used."""
    lines = ["## What the compiled code shows", ""]
    head = ["GPU", "kernels", "number", "registers", "shared KiB", "occupancy", "spilled bytes"]
    head += ["tensor-core instructions", "scalar multiply-adds", "16-byte loads in the loop"]
    lines += [_line(head), _rule(2, 8)]
    for arch in dict.fromkeys(row["arch"] for row in rows):
        for contender in dict.fromkeys(row["contender"] for row in rows):
            mine = {
                row["kernel"]: row
                for row in rows
                if (row["arch"], row["contender"]) == (arch, contender) and row["kernel"]
            }
            if not mine:
                continue
            found = list(mine.values())
            tensor = [row["mma"] + row["wgmma"] for row in found]
            lines.append(
                _line(
                    [
                        arch,
                        contender,
                        str(len(found)),
                        _range([row["registers"] for row in found]),
                        _range([row["shared_bytes"] / 1024 for row in found]),
                        _range([100 * row["occupancy"] for row in found]) + " %",
                        str(sum(row["spill_bytes"] for row in found)),
                        _range(tensor),
                        _range([row["fma"] for row in found]),
                        _range([row["loop_loads_16"] for row in found]),
                    ]
                )
            )
    return [*lines, ""]


def _layers(rows: list[Row], device: str, dtype: str) -> list[str]:
    mine = [r for r in rows if (r["device"], r["dtype"]) == (device, dtype)]
    batches = list(dict.fromkeys(r["batch"] for r in mine))
    contenders = list(dict.fromkeys(r["contender"] for r in mine))
    lines = [f"## {device}, {dtype}: predicted microseconds of a layer", ""]
    columns = [f"{c}, batch {b}" for b in batches for c in contenders]
    lines += [_line(["layer", "times", *columns]), _rule(1, 1 + len(columns))]
    for layer in dict.fromkeys(r["layer"] for r in mine):
        cells = [layer.partition("-")[2]]
        own = {(r["batch"], r["contender"]): r for r in mine if r["layer"] == layer}
        cells.append(str(next(iter(own.values()))["count"]))
        for batch in batches:
            times = {c: own[batch, c]["predicted_us"] for c in contenders if (batch, c) in own}
            least = min(times.values())
            for contender in contenders:
                text = _digits(times[contender]) if contender in times else "-"
                cells.append(f"**{text}**" if times.get(contender) == least else text)
        lines.append(_line(cells))
    return [*lines, ""]


def _range(values: list[float]) -> str:
    low, high = _digits(min(values)), _digits(max(values))
    return low if low == high else f"{low} to {high}"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(left: int, right: int) -> str:
    return "|" + "---|" * left + "--:|" * right
