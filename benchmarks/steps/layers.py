"""Kernels alone: every convolution of the networks, in useful operations against measured roofs.

Each distinct shape is timed by itself, and the layers of some networks are timed where they are, in
the network, where weights and activations come from wherever the layers before left them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from lilnetx import _core
from lilnetx.bench.layers import LayerShape, layer_graph, layer_shapes, spot_check
from lilnetx.bench.peak import Peak, measure_peak
from lilnetx.errors import WrongResultError
from lilnetx.graph.cost import layer_stats
from lilnetx.graph.ir import Conv2d, Graph
from lilnetx.graph.shapes import infer_shapes
from lilnetx.packing import synth
from lilnetx.runtime import Session
from lilnetx.runtime.plan import PlanStep
from steps.results import Context

NETWORKS = ("resnet50", "resnet18", "vgg16_bn", "mobilenet_v2", "resnet20")
# Its 138 million weights take long to make, and its layers are ordinary ones.
IN_NETWORK = tuple(name for name in NETWORKS if name != "vgg16_bn")
DENSITY = 0.19
DENSITIES = (0.1, DENSITY, 0.5, 1.0)
MAX_REL_ERROR = 1e-5
# Kernels read a 16-bit channel for each slice.
_INDEX_BYTES = 2
_BURST_SECONDS = 0.003
_ROUNDS = 5

Row = dict[str, Any]


def run(context: Context) -> str:
    networks = ("resnet20",) if context.quick else NETWORKS
    densities = (DENSITY,) if context.quick else DENSITIES
    isa = Session(layer_graph(layer_shapes("resnet20")[0], 1.0), threads=1).isa
    context.progress(0.0, "roofs")
    peak = measure_peak(isa, 0.001 if context.quick else 0.05)
    shapes = [(shape, d) for name in networks for shape in layer_shapes(name) for d in densities]
    rows: list[Row] = []
    for i, (shape, density) in enumerate(shapes):
        if (shape.first or shape.depthwise) and density != densities[-1]:
            continue  # dense at any density
        context.progress(0.05 + 0.8 * i / len(shapes), f"{shape}, density {density}")
        rows.append(_alone(shape, density, isa, context))
    for i, name in enumerate(name for name in IN_NETWORK if name in networks):
        context.progress(0.85 + 0.15 * i / len(IN_NETWORK), f"inside {name}")
        rows += _in_network(name, isa, context)
    facts = {
        "isa": isa,
        "batch": 1,
        "threads": 1,
        "peak": dataclasses.asdict(_typical(peak, rows)),
        "classes": [
            group for where in ("network", "alone") for group in summarise(rows, where, networks)
        ],
    }
    context.write("layers", rows, facts)
    mine = [g for g in facts["classes"] if g["network"] == networks[0] and g["where"] == "network"]
    return ", ".join(f"{g['class']} {g['percent_of_peak']:.0f} %" for g in mine) + " of the peak"


def _typical(peak: Peak, rows: list[Row]) -> Peak:
    """The roofs, with the multiply-add rate that was usual while layers were timed."""
    return dataclasses.replace(peak, gflops=float(np.median([row["fma_gflops"] for row in rows])))


def _alone(shape: LayerShape, density: float, isa: str, context: Context) -> Row:
    graph = layer_graph(shape, density)
    session = Session(graph, threads=1, isa=isa, tune=context.tune)
    x = np.random.default_rng(0).standard_normal((1, *graph.input_shape), dtype=np.float32)
    output = session.run(x)
    assert isinstance(output, np.ndarray)
    error = spot_check(graph, x, output)
    if not error <= MAX_REL_ERROR:
        raise WrongResultError(f"{shape}: relative error {error:.2e}, at most {MAX_REL_ERROR:g}")
    (index,) = (i for i, step in enumerate(session.plan.steps) if step.density is not None)
    gflops = _core.measure_fma_gflops(isa, _BURST_SECONDS)
    estimate = session.profile(x, repeats=2)[index].ms
    repeats = 2 if context.quick else int(min(200, max(10, 40 / max(estimate, 1e-3))))
    ms = session.profile(x, repeats=repeats)[index].ms
    (row,) = _rows(graph, session, {index: ms}, gflops)
    return {
        "network": shape.network,
        "layer": shape.name,
        "where": "alone",
        "count": shape.count,
        "kind": shape.kind,
        **row,
    }


def _in_network(name: str, isa: str, context: Context) -> list[Row]:
    graph = synth(name, density=DENSITY)
    session = Session(graph, threads=1, isa=isa, tune=context.tune)
    x = np.random.default_rng(0).standard_normal((1, *graph.input_shape), dtype=np.float32)
    rounds, repeats = (1, 2) if context.quick else (_ROUNDS, 10)
    session.run(x)
    profiles, peaks = [], []
    for _ in range(rounds):
        peaks.append(_core.measure_fma_gflops(isa, _BURST_SECONDS))
        profiles.append([row.ms for row in session.profile(x, repeats=repeats)])
    ms = dict(enumerate(np.median(profiles, axis=0).tolist()))
    kinds = {
        layer.op: layer.kind for layer in layer_shapes(name)
    }  # one operator, one kind: only the stem reads the network's input
    ops = {node.name: node.op for node in graph.nodes}
    return [
        {
            "network": name,
            "layer": row.pop("name"),
            "where": "network",
            "count": 1,
            "kind": kinds[op],
            **row,
        }
        for row in _rows(graph, session, ms, float(np.median(peaks)), named=True)
        if isinstance(op := ops[row["name"]], Conv2d)
    ]


def _rows(
    graph: Graph, session: Session, ms: dict[int, float], fma_gflops: float, named: bool = False
) -> Iterator[Row]:
    """Columns of each convolution among the steps that were timed."""
    stats = {layer.name: layer for layer in layer_stats(graph) if layer.op == "Conv2d"}
    shapes = infer_shapes(graph)
    for index, time in ms.items():
        step: PlanStep = session.plan.steps[index]
        if step.density is None or step.name not in stats:
            continue
        layer = stats.pop(step.name)
        floats = sum(int(np.prod(shapes[name])) for name in (*step.inputs, step.name))
        slices = layer.slices - layer.zero_slices
        moved = 4 * floats + slices * (4 * layer.slice_length + _INDEX_BYTES)
        useful = 2e-6 * layer.macs_left / time
        yield {
            **({"name": step.name} if named else {}),
            "shape": step.shape,
            "density": layer.density,
            "kernel": step.kernel,
            "reason": step.reason,
            "ms": time,
            "dense_equivalent_gflops": 2e-6 * layer.macs / time,
            "useful_gflops": useful,
            "fma_gflops": fma_gflops,
            "percent_of_peak": 100 * useful / fma_gflops,
            "useful_mflop": 2e-6 * layer.macs_left,
            "bytes": moved,
            "flops_per_byte": 2 * layer.macs_left / moved,
        }


def summarise(rows: list[Row], where: str, networks: tuple[str, ...]) -> list[Row]:
    """Useful operations by time, of the layers of one kind, at density 0.19, for each network.

    Every layer counts with its time, and as often as the network has it. ``7x7 images`` are layers
    of any kernel whose output has 7x7 pixels.
    """
    classes = {
        "3x3": lambda row: row["kind"] == "3x3",
        "1x1": lambda row: row["kind"] == "1x1",
        "depthwise": lambda row: row["kind"] == "depthwise",
        "7x7 images": lambda row: row["kind"] in ("3x3", "1x1") and row["shape"].endswith("x7x7"),
    }
    result = []
    for network in networks:
        mine = [row for row in rows if row["network"] == network and row["where"] == where]
        for name, belongs in classes.items():
            members = [
                row
                for row in mine
                if belongs(row) and (name == "depthwise" or abs(row["density"] - DENSITY) < 0.02)
            ]
            if not members:
                continue
            ms = sum(row["count"] * row["ms"] for row in members)
            mflop = sum(row["count"] * row["useful_mflop"] for row in members)
            peak = float(np.median([row["fma_gflops"] for row in members]))
            result.append(
                {
                    "network": network,
                    "where": where,
                    "class": name,
                    "layers": sum(row["count"] for row in members),
                    "ms": ms,
                    "useful_gflops": mflop / ms,
                    "percent_of_peak": 100 * mflop / ms / peak,
                }
            )
    return result
