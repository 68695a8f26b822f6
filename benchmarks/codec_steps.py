#!/usr/bin/env python3
"""What each step of the model of the integers saves in bytes, and costs in decoding time.

    benchmarks/codec_steps.py a.lnx b.lnx --csv benchmarks/results/codec_steps.csv \\
        --json benchmarks/results/codec_steps.json

The coder is compiled once as it is and once without each step, by a change to a copy of its
sources, so that the product carries no switches; a step whose lines are no longer there is an
error. Every coder encodes the latents of each file in one stream, decodes them, and must give them
back. Times are processor seconds of one thread: the least of many, and of that the median of
several turns in which all coders alternate. Needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import shutil
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lilnetx.format import read_lnx
from lilnetx.graph.ir import LatentWeight
from lilnetx.machine import cpu_model

SOURCES = Path(__file__).parents[1] / "csrc"
PROGRAM = Path(__file__).parent / "codec" / "one_coder.cpp"
TURNS = 5


@dataclass(frozen=True)
class Step:
    """A step of the model, and the change to a source that takes it away."""

    name: str
    file: str
    line: str
    without: str


STEPS = (
    Step(
        "flags know their channel",
        "latent_models.h",
        "(5 * row + 7 * column - 4 * overall) >> 3",
        "row + 0 * column + 0 * overall",
    ),
    Step(
        "flags know their filter",
        "latent_models.h",
        "(5 * row + 7 * column - 4 * overall) >> 3",
        "column + 0 * row + 0 * overall",
    ),
    Step(
        "channels start from the filters before",
        "latent_coder.h",
        "if (before.filters.size() != columns_.size()) return;",
        "if (before.filters.size() != columns_.size() || true) return;",
    ),
    Step(
        "integers know how many before them are nonzero",
        "latent_coder.h",
        "std::min<uint32_t>(nonzero, kCounts - 1)",
        "0 * nonzero",
    ),
    Step(
        "integers know the magnitudes of their filter and channel",
        "latent_coder.h",
        "level_of(uint32_t(row_mean + column_mean))",
        "level_of(uint32_t(4096 + 0 * column_mean))",
    ),
    Step(
        "magnitudes know the sign",
        "latent_coder.h",
        "level + (negative ? kLevels : 0)",
        "level",
    ),
    Step(
        "signs know the integer before",
        "latent_coder.h",
        "1u + uint32_t(before > 0) - uint32_t(before < 0)",
        "1u + 0 * uint32_t(before)",
    ),
    Step(
        "fine contexts start from coarse ones",
        "bit_model.h",
        "state_ = (other.state_ & ~1023u) | std::min(other.state_ & 1023, kInherited);",
        "(void)other;",
    ),
    Step(
        "contexts learn fast again at a layer",
        "latent_coder.h",
        "    models_.begin_weight();",
        "",
    ),
    Step(
        "contexts learn fast at first",
        "bit_model.h",
        "rates[n] = (uint32_t{1} << 17) / (2 * n + 3);",
        "rates[n] = 2048 + 0 * n;",
    ),
)


def compile_coder(folder: Path, step: Step | None) -> Path:
    """The program with the coder without a step, or with all of them."""
    shutil.copytree(SOURCES / "codec", folder / "codec")
    if step is not None:
        source = folder / "codec" / step.file
        text = source.read_text()
        if text.count(step.line) != 1:
            raise SystemExit(f"{step.name}: {step.file} no longer has one line {step.line!r}")
        source.write_text(text.replace(step.line, step.without))
    program = folder / "coder"
    command = [os.environ.get("CXX", "c++"), "-std=c++17", "-O3", f"-I{folder}"]
    command += [f"-I{SOURCES / 'include'}", str(PROGRAM), *map(str, folder.glob("codec/*.cpp"))]
    subprocess.run([*command, "-pthread", "-o", str(program)], check=True)
    return program


def write_latents(path: str, to: Path) -> int:
    """The latents of a file as the program reads them; returns how many there are."""
    weights = [n.weight for n in read_lnx(path).nodes if isinstance(n.weight, LatentWeight)]
    names = list(dict.fromkeys(w.decoder for w in weights))
    facts = [
        (*w.latents.shape, names.index(w.decoder), np.count_nonzero(w.latents.any(axis=2)))
        for w in weights
    ]
    with to.open("wb") as file:
        file.write(np.uint64(len(weights)).tobytes() + np.array(facts, np.uint64).tobytes())
        for weight in weights:
            file.write(weight.latents.astype(np.int32).tobytes())
    return sum(w.latents.size for w in weights)


def measure(path: str, programs: dict[str, Path], seconds: float) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "latents"
        latents = write_latents(path, data)
        found: dict[str, list[list[str]]] = {step: [] for step in programs}
        for _ in range(TURNS):
            for step, program in programs.items():
                command = [program, data, str(seconds / TURNS)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[step].append(done.stdout.split())
    size = {step: int(runs[0][0]) for step, runs in found.items()}
    time = {step: statistics.median(float(t) for _, t in runs) for step, runs in found.items()}
    return [
        {
            "file": Path(path).name,
            "latents": latents,
            "without": step,
            "bytes": size[step],
            "bytes_saved": size[step] - size["nothing"],
            "saved_percent": round(100 * (size[step] / size["nothing"] - 1), 2),
            "decode_ms": round(1e3 * time[step], 4),
            "time_spent_percent": round(100 * (1 - time[step] / time["nothing"]), 1),
        }
        for step in programs
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE.lnx")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each timing (default: 1)")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        programs = {}
        for i, step in enumerate([None, *STEPS]):
            print(f"compiling {i + 1} of {len(STEPS) + 1}", flush=True)
            programs[step.name if step else "nothing"] = compile_coder(Path(name) / str(i), step)
        for path in args.files:
            found = measure(path, programs, args.seconds)
            rows += found
            for row in found:
                print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    if args.csv:
        with args.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    if args.json:
        command = ["benchmarks/codec_steps.py", *(Path(f).name for f in args.files)]
        facts = {"command": shlex.join(command), "cpu": cpu_model(), "rows": rows}
        args.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
