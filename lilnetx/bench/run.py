"""One benchmark: load, check, time by layer, time beside the dense engines."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lilnetx import __version__
from lilnetx.bench.contenders import (
    Contender,
    check_names,
    default_contenders,
    make_contender,
)
from lilnetx.bench.machine import describe_machine, installed_versions
from lilnetx.bench.timing import Timing, alternate, time_once
from lilnetx.errors import UsageError, WrongResultError
from lilnetx.graph.cost import layer_stats
from lilnetx.graph.ir import Graph
from lilnetx.reference.ops import run as run_reference
from lilnetx.runtime import Session

SHIPPED_MODEL = "resnet20-fashion-mnist.lnx"
# Largest accepted difference to the float64 reference, relative to its largest value: ours, and
# that of other engines, which may use fast convolution algorithms.
MAX_REL_ERROR = 1e-4
# The same on a GPU, where activations may have fewer bits.
_MAX_REL_ERRORS = {"float32": MAX_REL_ERROR, "float16": 2e-2, "bfloat16": 1e-1}
_PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
MAX_REL_ERROR_OTHERS = 1e-3

# Of the profile: as many as fit into the time, but so many at least and at most.
_PROFILE_MS = 2000.0
_PROFILE_REPEATS = (5, 20)
# In several threads, a pause before each contender lets the threads of the one before fall asleep.
_REST_MS = 10.0


@dataclass(frozen=True)
class BenchmarkOptions:
    """How to benchmark.

    Attributes:
        batch: Images in a call.
        threads: Threads of every contender.
        against: Names of contenders; None for the usual ones that are installed.
        seconds: Time for the whole-network comparison.
        min_rounds: Rounds of it that are made even if they take longer.
        loads: How often the file is loaded, to time that.
        isa: Instruction set to force, or None for the best.
        cores: Cores to stay on, or None.
        seed: Of the random input.
        tune: As for :class:`~lilnetx.runtime.Session`; what is measured is not part of the load.
        device: As for :class:`~lilnetx.runtime.Session`. A call goes from numpy to numpy, so on a
            GPU it includes both copies; no contenders run unless they are named.
        dtype: Of activations on a GPU.
    """

    batch: int = 1
    threads: int = 1
    against: tuple[str, ...] | None = None
    seconds: float = 5.0
    min_rounds: int = 20
    loads: int = 3
    isa: str | None = None
    cores: tuple[int, ...] | None = None
    seed: int = 0
    tune: bool | Literal["cache"] = "cache"
    device: str = "cpu"
    dtype: str = "float32"


@dataclass(frozen=True)
class LayerRow:
    """One step of the plan.

    Attributes:
        name: Name of the node.
        kernel: Kernel that the plan chose.
        shape: Of what goes in and comes out for one image.
        density: Share of slices that are not zero; None for steps without weights.
        ms: Median milliseconds.
        gflops: Dense-equivalent: operations of the dense layer by our time; None without weights.
        useful_gflops: Operations on weights of nonzero slices by our time; None without weights.
        share: Of the sum over all steps, 0 to 1.
        reason: Why this kernel, with what was measured if it was.
    """

    name: str
    kernel: str
    shape: str
    density: float | None
    ms: float
    gflops: float | None
    useful_gflops: float | None
    share: float
    reason: str


@dataclass(frozen=True)
class ContenderRow:
    """One contender's times for the whole network, in milliseconds a call."""

    name: str
    precision: str
    version: str
    settings: str
    timing: Timing


@dataclass(frozen=True)
class Report:
    """A finished benchmark.

    Attributes:
        file: Path of the file.
        file_bytes: Its size.
        synthetic: Whether its weights are random.
        batch: Images in a call.
        threads: Threads of every contender.
        isa: Instruction set in use.
        input_shape: Of one image.
        max_rel_error: Largest difference to the float64 reference, relative to its largest value.
        load_ms: Reading, decoding and planning, from the file; median of three.
        contenders: Ours first.
        layers: In execution order.
        machine: See :func:`~lilnetx.bench.machine.describe_machine`.
        versions: See :func:`~lilnetx.bench.machine.installed_versions`.
        command: The command line.
    """

    file: str
    file_bytes: int
    synthetic: bool
    batch: int
    threads: int
    isa: str
    input_shape: tuple[int, ...]
    max_rel_error: float
    load_ms: float
    contenders: tuple[ContenderRow, ...]
    layers: tuple[LayerRow, ...]
    machine: dict[str, object]
    versions: dict[str, str]
    command: str

    @property
    def best_dense_fp32(self) -> ContenderRow | None:
        """The fastest dense float32 contender, if there was any."""
        dense = [row for row in self.contenders[1:] if row.precision == "fp32"]
        return min(dense, key=lambda row: row.timing.median_ms, default=None)

    @property
    def speedup_vs_best_dense_fp32(self) -> float | None:
        """How many times as fast as that one the file runs; None without any."""
        best = self.best_dense_fp32
        if best is None:
            return None
        return best.timing.median_ms / self.contenders[0].timing.median_ms


def run_benchmark(
    path: Path | None,
    options: BenchmarkOptions,
    *,
    command: str = "",
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Report:
    """Benchmark a ``.lnx`` file.

    Args:
        path: The file, or None for the model that comes with the package.
        options: How.
        command: Command line to record.
        on_stage: Told what is being done, before it is done.

    Raises:
        LnxFormatError: The file is damaged.
        UsageError: Unknown contender or core, or no model in the package.
        MissingExtraError: A contender that was asked for is not installed.
        WrongResultError: An output is wrong, so nothing was timed.
    """
    names = options.against
    if names is None:
        names = default_contenders() if options.device == "cpu" else ()
    check_names(names)
    if options.cores is not None:
        _pin(options.cores)
    with _file_or_shipped(path) as file:
        on_stage("loading the file")
        session, load_ms = _load(file, options)
        graph: Graph = session.graph
        shape = (options.batch, *graph.input_shape)
        x = np.random.default_rng(options.seed).standard_normal(shape, dtype=np.float32)
        others = []
        for name in names:
            on_stage(f"preparing {name}")
            others.append(make_contender(name, graph, x, options.threads))
        on_stage("checking outputs against the float64 reference")
        error = _check(session, others, x, _MAX_REL_ERRORS[options.dtype])
        on_stage("timing layers")
        layers = _profile(session, x)
        on_stage(f"timing the network: {', '.join(['lilnetx', *names])}")
        calls = {"lilnetx": lambda: session.run(x), **{c.name: c.call for c in others}}
        timings = alternate(
            calls,
            seconds=options.seconds,
            min_rounds=options.min_rounds,
            rest_ms=_REST_MS if options.threads > 1 else 0.0,
            seed=options.seed,
        )
        rows = [
            ContenderRow(
                "lilnetx",
                _PRECISIONS[options.dtype],
                __version__,
                session.isa,
                timings["lilnetx"],
            ),
            *(
                ContenderRow(c.name, c.precision, c.version, c.settings, timings[c.name])
                for c in others
            ),
        ]
        return Report(
            file=str(path) if path is not None else SHIPPED_MODEL,
            file_bytes=file.stat().st_size,
            synthetic=graph.synthetic,
            batch=options.batch,
            threads=options.threads,
            isa=session.isa,
            input_shape=tuple(graph.input_shape),
            max_rel_error=error,
            load_ms=load_ms,
            contenders=tuple(rows),
            layers=layers,
            machine=describe_machine(),
            versions=installed_versions(),
            command=command,
        )


def relative_error(output: NDArray[Any], reference: NDArray[np.float64]) -> float:
    """Largest difference relative to the reference's largest value; infinity if shapes differ."""
    if output.shape != reference.shape:
        return float("inf")
    scale = max(float(np.abs(reference).max(initial=0.0)), float(np.finfo(np.float32).tiny))
    return float(np.abs(output - reference).max(initial=0.0)) / scale


def _pin(cores: tuple[int, ...]) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise UsageError("--pin is not available on this system")
    allowed = os.sched_getaffinity(0)
    if not set(cores) <= allowed:
        raise UsageError(f"--pin {cores}: this process may use cores {sorted(allowed)}")
    os.sched_setaffinity(0, cores)


@contextlib.contextmanager
def _file_or_shipped(path: Path | None) -> Iterator[Path]:
    if path is not None:
        yield path
        return
    shipped = resources.files("lilnetx.models") / SHIPPED_MODEL
    if not shipped.is_file():
        raise UsageError(f"this package comes without {SHIPPED_MODEL}: name a .lnx file")
    with resources.as_file(shipped) as file:
        yield file


def _load(file: Path, options: BenchmarkOptions) -> tuple[Session, float]:
    sessions: list[Session] = []

    def load() -> None:
        # A GPU's kernels are measured at the first run, which is not part of the load.
        tune: bool | Literal["cache"] = options.tune
        if not on_gpu:
            tune = "cache" if options.tune else False
        sessions[:] = [
            Session(
                file,
                threads=options.threads,
                isa=options.isa,
                tune=tune,
                device=options.device,
                dtype=options.dtype,
            )
        ]

    on_gpu = options.device != "cpu"
    if options.tune is True and not on_gpu:
        # What is measured here is remembered for the loads that are timed.
        Session(file, threads=options.threads, isa=options.isa, tune=True)
    times = [time_once(load) for _ in range(options.loads)]
    return sessions[0], float(np.median(times))


def _check(
    session: Session, others: list[Contender], x: NDArray[np.float32], limit: float
) -> float:
    """Our error; WrongResultError when it, or that of a contender, is too large.

    The reference is slow, so of a batch only the first and the last image are compared.
    """
    rows = [0] if len(x) == 1 else [0, len(x) - 1]
    reference = run_reference(session.graph, x[rows])
    outputs = session.run(x)
    ours = outputs if isinstance(outputs, tuple) else (outputs,)
    errors = [relative_error(y[rows], ref) for y, ref in zip(ours, reference, strict=True)]
    # numpy's maximum lets a NaN through, the built-in one may drop it.
    error = float(np.max(errors))
    _require("lilnetx", error, limit)
    for contender in others:
        theirs = relative_error(contender.call()[rows], reference[0])
        _require(contender.name, theirs, MAX_REL_ERROR_OTHERS)
    return error


def _require(name: str, error: float, limit: float) -> None:
    # Written so that a NaN fails.
    if not error <= limit:
        raise WrongResultError(
            f"{name}: relative error {error:.2e} against the float64 reference, at most {limit:g} "
            "is accepted; a wrong result is not worth timing, please report it"
        )


def _profile(session: Session, x: NDArray[np.float32]) -> tuple[LayerRow, ...]:
    fewest, most = _PROFILE_REPEATS
    repeats = int(_PROFILE_MS / time_once(lambda: session.run(x)))
    steps = session.profile(x, repeats=min(most, max(fewest, repeats)))
    weighted = {layer.name: layer for layer in layer_stats(session.graph)}
    total = float(sum(step.ms for step in steps))
    rows = []
    for step, planned in zip(steps, session.plan_for(len(x)).steps, strict=True):
        # Handing out the output is a step of its own, with its layer's name and no weights.
        layer = weighted.pop(step.name, None)

        def rate(macs: int, ms: float = step.ms) -> float | None:
            return 2 * macs * len(x) / (ms * 1e6) if ms > 0 else None

        rows.append(
            LayerRow(
                name=step.name,
                kernel=step.kernel,
                shape=step.shape,
                density=layer.density if layer is not None else None,
                ms=step.ms,
                gflops=rate(layer.macs) if layer is not None else None,
                useful_gflops=rate(layer.macs_left) if layer is not None else None,
                share=step.ms / total if total > 0 else 0.0,
                reason=planned.reason,
            )
        )
    return tuple(rows)
