"""Whole networks beside dense engines: what ``lilnetx-bench`` does, at batch 1 and 16."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lilnetx.bench import BenchmarkOptions, run_benchmark
from lilnetx.bench.report import as_json, write_csv
from lilnetx.format import write_lnx
from lilnetx.packing import synth
from steps.results import Context, disturbance

BATCHES = (1, 16)
DENSITY = 0.19
_SECONDS = {1: 12.0, 16: 20.0}
# Of calls that take seconds, which only large batches do.
_MIN_ROUNDS = 7
_QUICK_SHAPE = (3, 32, 32)


def run(name: str, context: Context) -> str:
    """Benchmarks a network of the zoo; ``resnet20`` is the trained model of the package."""
    speedups = []
    with tempfile.TemporaryDirectory() as folder:
        path = None if name == "resnet20" else Path(folder) / f"{name}-density-{DENSITY}.lnx"
        if path is not None:
            context.progress(0.0, "synth")
            shape = _QUICK_SHAPE if context.quick else None
            write_lnx(synth(name, density=DENSITY, input_shape=shape), path)
        for i, batch in enumerate(BATCHES):
            stage = 0.1 + 0.45 * i

            def on_stage(what: str, stage: float = stage, batch: int = batch) -> None:
                context.progress(stage, f"batch {batch}: {what}")

            options = BenchmarkOptions(
                batch=batch,
                against=context.dense_engines,
                seconds=0.01 if context.quick else _SECONDS[batch],
                min_rounds=2 if context.quick else _MIN_ROUNDS,
                loads=1,
                cores=context.cores,
                tune=context.tune,
            )
            report = run_benchmark(path, options, command=context.command, on_stage=on_stage)
            file = f"{name}-batch{batch}"
            write_csv(report, context.results / f"{file}.csv")
            facts = as_json(report)
            if path is not None:
                facts["file"] = path.name
            context.write_json(file, facts)
            speedups.append(
                f"batch {batch}: {report.speedup_vs_best_dense_fp32:.2f} times"
                + disturbance(row.timing for row in report.contenders)
            )
    return ", ".join(speedups)
