#!/usr/bin/env python3
"""From file to first output: time and peak memory, each measurement in a process of its own.

    benchmarks/load.py --json benchmarks/results/load-resnet50.json

Without a file, a ResNet-50 with 19 % of its slices left is made (``lilnetx synth``). Engines load
the same network, dense, from an ONNX file. Engines take turns; the first round, which brings the
files into the page cache, is not counted. The clock and the count of memory start when an engine's
package and numpy have been imported; ``import lilnetx`` alone loads little, so that for it most of
its modules and its extension count.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import lilnetx

ENGINES = ("lilnetx", "onnxruntime", "openvino")


def memory(name: str) -> float:
    """A line of /proc/self/status, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024 / 1e6


def load_lilnetx(path: str, threads: int):
    def load(x):
        session = lilnetx.Session(path, threads=threads)
        session.run(x)
        return {"weight_bytes": session.weight_bytes, "arena_bytes": session.arena_bytes}

    return load


def load_onnxruntime(path: str, threads: int):
    import onnxruntime as ort

    def load(x):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        session.run(None, {session.get_inputs()[0].name: x})
        return {}

    return load


def load_openvino(path: str, threads: int):
    import openvino as ov

    def load(x):
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
        }
        core = ov.Core()
        core.compile_model(core.read_model(path), "CPU", settings)(x)
        return {}

    return load


def measure(engine: str, path: str, threads: int, shape: list[int]) -> dict[str, Any]:
    """One measurement, in this process."""
    load = globals()[f"load_{engine}"](path, threads)
    x = np.random.default_rng(0).standard_normal((1, *shape), dtype=np.float32)
    before = memory("VmRSS")
    start = time.perf_counter()
    facts = load(x)
    ms = (time.perf_counter() - start) * 1e3
    return {"ms": ms, "peak_mb": memory("VmHWM") - before, **facts}


def in_new_process(engine: str, path: Path, threads: int, shape: list[int]) -> dict[str, Any]:
    command = [sys.executable, __file__, str(path), "--threads", str(threads)]
    command += ["--measure", engine, "--shape", *map(str, shape)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout)


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    ms = [run["ms"] for run in runs]
    facts = {k: v for k, v in runs[0].items() if k not in ("ms", "peak_mb")}
    row = {
        "first_output_ms": {
            "median": float(np.median(ms)),
            "p20": float(np.percentile(ms, 20)),
            "p80": float(np.percentile(ms, 80)),
        },
        "peak_mb": float(np.median([run["peak_mb"] for run in runs])),
        **facts,
    }
    if "weight_bytes" in facts:
        kept = (facts["weight_bytes"] + facts["arena_bytes"]) / 1e6
        row["peak_to_kept"] = row["peak_mb"] / kept
    return row


def benchmark(path: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    from lilnetx.atomic import atomic_write
    from lilnetx.bench.machine import describe_machine, installed_versions
    from lilnetx.format import read_lnx

    graph = read_lnx(path)
    files = {"lilnetx": path}
    engines = [name for name in ENGINES if importlib.util.find_spec(name)]
    if len(engines) > 1:
        from lilnetx.graph.to_onnx import to_onnx

        onnx = folder / "dense.onnx"
        onnx.write_bytes(to_onnx(graph).SerializeToString())
        files |= dict.fromkeys(engines[1:], onnx)
    shape = list(graph.input_shape)
    del graph
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in engines}
    for round_ in range(options.rounds + 1):
        for name in engines:
            found = in_new_process(name, files[name], options.threads, shape)
            if round_ > 0:
                runs[name].append(found)
    result = {
        "network": path.name,
        "file_bytes": {name: files[name].stat().st_size for name in engines},
        "threads": options.threads,
        "cores": sorted(os.sched_getaffinity(0)),
        "rounds": options.rounds,
        "engines": {name: summary(found) for name, found in runs.items()},
        "machine": describe_machine(),
        "versions": installed_versions(),
        "command": shlex.join(["python", "benchmarks/load.py", *sys.argv[1:]]),
    }
    if options.json:
        with atomic_write(options.json) as file:
            file.write(json.dumps(result, indent=2).encode() + b"\n")
    return result


def show(result: dict[str, Any]) -> None:
    for name, row in result["engines"].items():
        times = row["first_output_ms"]
        text = f"{name:12} {times['median']:7.1f} ms  ({times['p20']:.1f} to {times['p80']:.1f})"
        text += f"  peak {row['peak_mb']:6.1f} MB"
        if "peak_to_kept" in row:
            text += (
                f" = {row['peak_to_kept']:.2f} x (weights {row['weight_bytes'] / 1e6:.1f} MB"
                f" + activations {row['arena_bytes'] / 1e6:.1f} MB)"
            )
        print(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?", help=".lnx file (default: a ResNet-50)")
    parser.add_argument("--threads", type=int, default=1, help="threads of every engine")
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each engine")
    parser.add_argument("--pin", type=int, nargs="+", metavar="CORE", help="cores to stay on")
    parser.add_argument("--json", type=Path, help="write the result")
    parser.add_argument("--measure", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=int, nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.file, options.threads, options.shape)))
        return
    if options.pin:
        os.sched_setaffinity(0, options.pin)
    with tempfile.TemporaryDirectory() as folder:
        path = options.file
        if path is None:
            from lilnetx.format import write_lnx
            from lilnetx.packing.synth import synth

            path = Path(folder) / "resnet50-density0.19.lnx"
            write_lnx(synth("resnet50", density=0.19), path)
        show(benchmark(path, Path(folder), options))


if __name__ == "__main__":
    main()
