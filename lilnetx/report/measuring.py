"""Times of each layer beside those of the same network with no weight left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lilnetx import __version__
from lilnetx.bench.contenders import Contender, check_names, default_contenders, make_contender
from lilnetx.bench.machine import describe_machine, installed_versions
from lilnetx.bench.run import MAX_REL_ERROR_OTHERS, ContenderRow, relative_error
from lilnetx.bench.timing import alternate, time_once
from lilnetx.errors import OutOfMemoryError, UsageError, WrongResultError
from lilnetx.graph.ir import DenseWeight, Graph, Node, Weighted
from lilnetx.graph.weights import dense_weight
from lilnetx.runtime import Session

TWIN = "dense twin"

# A turn of a network is so many timed runs of all its steps; each turn gives one median.
_REPEATS = 3
_TURNS = (3, 15)
# Small beside the weights that were kept, so that no activation grows without bound.
_FILLING = 1e-2


@dataclass(frozen=True)
class MeasureOptions:
    """How to measure.

    Attributes:
        threads: Threads of every contender.
        seconds: Time for the steps, and as much again for the whole networks.
        against: Dense engines to time beside; None for ONNX Runtime and OpenVINO where they are
            installed.
        seed: Of the random input and of what fills the twin's zeros.
    """

    threads: int = 1
    seconds: float = 3.0
    against: tuple[str, ...] | None = None
    seed: int = 0


@dataclass(frozen=True)
class StepTime:
    """One step of the runtime.

    Attributes:
        name: Name of the node.
        op: Of the node; ``"Input"`` and ``"Output"`` for the copies at both ends.
        kernel: Kernel that the plan chose.
        ms: Median milliseconds for one image.
        dense_ms: The same of the dense twin; None where its plan has no such step.
    """

    name: str
    op: str
    kernel: str
    ms: float
    dense_ms: float | None


@dataclass(frozen=True)
class Measurement:
    """Times of a file, batch 1.

    Attributes:
        threads: Threads of every contender.
        isa: Instruction set of our kernels.
        steps: In execution order.
        networks: Whole networks: ours, its dense twin, then other engines.
        machine: See :func:`~lilnetx.bench.machine.describe_machine`.
        versions: See :func:`~lilnetx.bench.machine.installed_versions`.
    """

    threads: int
    isa: str
    steps: tuple[StepTime, ...]
    networks: tuple[ContenderRow, ...]
    machine: dict[str, object]
    versions: dict[str, str]


def dense_twin(graph: Graph, seed: int = 0) -> Graph:
    """The same network with a small random number in the place of each weight that is zero.

    Its weights are float32, and nothing of it can be skipped, so it costs what the network would
    cost if it had been left dense. What it computes means nothing.
    """
    rng = np.random.default_rng(seed)
    return dataclasses.replace(
        graph, nodes=tuple(_filled(graph, node, rng) for node in graph.nodes)
    )


def _filled(graph: Graph, node: Node, rng: np.random.Generator) -> Node:
    if not isinstance(node.op, Weighted):
        return node
    values = dense_weight(graph, node).copy()
    zero = values == 0
    kept = values[~zero]
    size = float(np.sqrt(np.mean(np.square(kept, dtype=np.float64)))) if kept.size else 1.0
    filling = rng.uniform(0.5, 1.5, int(zero.sum())) * rng.choice([-1, 1], int(zero.sum()))
    values[zero] = (filling * size * _FILLING).astype(np.float32)
    return dataclasses.replace(node, weight=DenseWeight(values), scale=None)


def measure(
    path: Path,
    options: MeasureOptions,
    *,
    on_progress: Callable[[str, float], None] = lambda stage, done: None,
) -> Measurement:
    """Time a file by step and as a whole, in turns with its dense twin and other engines.

    Args:
        path: The ``.lnx`` file.
        options: How.
        on_progress: Told what is being done and how much of everything is done, 0 to 1.

    Raises:
        LnxFormatError: The file is damaged.
        UsageError: Unknown engine, or one that was asked for and cannot run several inputs.
        MissingExtraError: An engine that was asked for is not installed.
        OutOfMemoryError: The dense twin does not fit into memory.
        WrongResultError: An engine's output differs from ours.
    """
    names = options.against
    if names is None:
        names = tuple(name for name in default_contenders() if name != "torch")
    check_names(names)
    on_progress("loading", 0.0)
    ours = Session(path, threads=options.threads)
    graph = ours.graph
    if len(graph.inputs) > 1 and names:
        if options.against is not None:
            raise UsageError(
                f"{path}: takes {len(graph.inputs)} inputs, and other engines are timed with one: "
                "give --against none"
            )
        names = ()
    try:
        twin = Session(dense_twin(graph, options.seed), threads=options.threads)
    except MemoryError as error:
        raise OutOfMemoryError(
            f"{path}: not enough memory for a dense copy to compare with; give --no-time"
        ) from error
    rng = np.random.default_rng(options.seed)
    x = {
        name: rng.standard_normal((1, *shape), dtype=np.float32)
        for name, shape in graph.inputs.items()
    }
    others = []
    for name in names:
        on_progress(f"preparing {name}", 0.0)
        others.append(make_contender(name, graph, x[graph.input_name], options.threads))
        _require_same(others[-1], ours, x)
    steps = _steps(ours, twin, x, options.seconds, lambda done: on_progress("layers", done / 2))
    calls = {
        "lilnetx": lambda: ours.run(x),
        TWIN: lambda: twin.run(x),
        **{contender.name: contender.call for contender in others},
    }
    timings = alternate(
        calls,
        seconds=options.seconds,
        min_rounds=5,
        seed=options.seed,
        on_progress=lambda done: on_progress("networks", 0.5 + done / 2),
    )
    rows = [
        ContenderRow("lilnetx", "fp32", __version__, ours.isa, timings["lilnetx"]),
        ContenderRow(
            TWIN, "fp32", __version__, "lilnetx, zeros filled: nothing is skipped", timings[TWIN]
        ),
        *(
            ContenderRow(c.name, c.precision, c.version, c.settings, timings[c.name])
            for c in others
        ),
    ]
    return Measurement(
        threads=options.threads,
        isa=ours.isa,
        steps=steps,
        networks=tuple(rows),
        machine=describe_machine(),
        versions=installed_versions(),
    )


def _require_same(other: Contender, ours: Session, x: dict[str, NDArray[np.float32]]) -> None:
    """WrongResultError where an engine computes something else: its time would mean nothing."""
    outputs = ours.run(x)
    first = outputs[0] if isinstance(outputs, tuple) else outputs
    error = relative_error(other.call(), first.astype(np.float64))
    # Written so that a NaN fails.
    if not error <= MAX_REL_ERROR_OTHERS:
        raise WrongResultError(
            f"{other.name}: its output differs from ours by {error:.2e}, at most "
            f"{MAX_REL_ERROR_OTHERS:g} is accepted; 'lilnetx bench' says whose is wrong; leave it "
            "out of --against, or give --no-time"
        )


def _steps(
    ours: Session,
    twin: Session,
    x: dict[str, NDArray[np.float32]],
    seconds: float,
    on_progress: Callable[[float], None],
) -> tuple[StepTime, ...]:
    """Medians of turns that alternate, so that whatever disturbs one network disturbs both."""
    for session in (ours, twin):
        session.run(x)
    turn = (_REPEATS + 1) * (time_once(lambda: ours.run(x)) + time_once(lambda: twin.run(x)))
    fewest, most = _TURNS
    turns = min(most, max(fewest, int(1e3 * seconds / max(turn, 1e-3))))
    times: list[list[list[float]]] = [[], []]
    for done in range(turns):
        for session, rows in zip((ours, twin), times, strict=True):
            rows.append([row.ms for row in session.profile(x, repeats=_REPEATS)])
        on_progress((done + 1) / turns)
    mine, dense = (np.median(rows, axis=0) for rows in times)
    by_key = {
        (step.name, step.op): float(ms) for step, ms in zip(twin.plan.steps, dense, strict=True)
    }
    return tuple(
        StepTime(step.name, step.op, step.kernel, float(ms), by_key.get((step.name, step.op)))
        for step, ms in zip(ours.plan.steps, mine, strict=True)
    )
