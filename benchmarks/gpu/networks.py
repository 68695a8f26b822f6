"""Whole networks: our sessions beside torch, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu.precisions import PRECISIONS, Precision, torch_settings
from gpu.timing import Clock, Deadline, alternate
from lilnetx.graph.cost import layer_stats
from lilnetx.packing.synth import synth
from lilnetx.runtime import Session

DENSITY = 0.19
BATCHES = (1, 64)
_SECONDS = 0.5
# Sets of inputs; a network's activations alone are more than any cache.
_SETS = 3


@dataclass(frozen=True)
class NetworkJob:
    """One contender at one batch."""

    contender: str
    batch: int
    precision: Precision

    def __str__(self) -> str:
        return f"{self.contender}, batch {self.batch}, {self.precision.name}"


def jobs(backends: tuple[str, ...]) -> list[NetworkJob]:
    """All contenders; torch.compile, which takes longest to make, last."""
    quick = [f"lilnetx {backend}" for backend in backends] + ["torch eager"]
    return [
        NetworkJob(contender, batch, precision)
        for contender in (*quick, "torch.compile")
        for batch in BATCHES
        for precision in PRECISIONS
        # Sessions keep float32's accuracy.
        if not (contender.startswith("lilnetx") and precision.name == "tf32")
    ]


def measure(job: NetworkJob, graph: Any, clock: Clock, device: Any) -> dict[str, object]:
    """The row of one contender; its output is checked before it is timed."""
    import torch

    dtype = getattr(torch, job.precision.dtype)
    shape = (job.batch, *graph.input_shape)
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    expected = Session(graph).run(x[:1])
    inputs = [torch.from_numpy(x).to(device, dtype)]
    inputs += [inputs[0].clone() for _ in range(_SETS - 1)]
    call, kernel, inputs = _make(job, graph, inputs)
    with torch_settings(job.precision), torch.no_grad():
        result = call(inputs[0])[:1].float().cpu().numpy()
        error = float(np.abs(result - expected).max() / np.abs(expected).max())
        if not error <= 5 * job.precision.tolerance:
            raise ArithmeticError(f"{job}: relative error {error:.1e}")
        calls = [(lambda y=y: call(y)) for y in inputs]
        timing = alternate({job.contender: calls}, clock, seconds=_SECONDS)[job.contender]
    stats = layer_stats(graph)
    scale = 2e-9 * job.batch / timing.median_ms
    return {
        "kind": "network",
        "name": "resnet50",
        "batch": job.batch,
        "precision": job.precision.name,
        "contender": job.contender,
        "kernel": kernel,
        "median_ms": timing.median_ms,
        "p20_ms": timing.p20_ms,
        "p80_ms": timing.p80_ms,
        "calls": timing.calls,
        "dense_equivalent_tflops": scale * sum(s.macs for s in stats),
        "useful_tflops": scale * sum(s.macs_left for s in stats),
        "relative_error": error,
    }


def _make(
    job: NetworkJob, graph: Any, inputs: list[Any]
) -> tuple[Callable[[Any], Any], str, list[Any]]:
    import torch

    from lilnetx.graph.to_torch import to_torch

    kind, _, backend = job.contender.partition(" ")
    if kind == "lilnetx":
        session: Any = Session(graph, device=backend, dtype=job.precision.dtype)
        steps = session.plan_for(job.batch).steps
        kernels = [step.kernel for step in steps if step.op == "Conv2d"]
        text = ", ".join(f"{kernels.count(k)} {k}" for k in sorted(set(kernels)))
        return (lambda y: session.run_on_device(y)[0]), text, inputs
    layout = torch.channels_last
    model: Any = to_torch(graph).to(inputs[0].device, inputs[0].dtype).to(memory_format=layout)
    inputs = [y.contiguous(memory_format=layout) for y in inputs]
    if job.contender == "torch.compile":
        return torch.compile(model, mode="reduce-overhead"), "inductor", inputs
    return model, "cudnn", inputs


def run(
    clock: Clock, backends: tuple[str, ...], device: Any, deadline: Deadline
) -> tuple[list[dict[str, object]], list[str]]:
    """Rows of as many contenders as there is time for, and what was left out."""
    graph = synth("resnet50", density=DENSITY, slice_1x1=4)
    rows, missing = [], []
    for job in jobs(backends):
        if deadline.left < 0:
            missing.append(str(job))
            continue
        rows.append(measure(job, graph, clock, device))
    return rows, missing
