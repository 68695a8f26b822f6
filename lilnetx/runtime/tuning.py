"""A plan refined by measuring: each distinct layer with a handful of kernels and tiles.

Each candidate runs on the layer's real weights, in an executor of its own that takes turns between
them; the fastest is taken where it is clearly faster than what the rules chose. What was found is
kept for later sessions, see :mod:`.tuning_cache`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lilnetx import _core
from lilnetx.graph.ir import Conv2d, Linear
from lilnetx.runtime.build import add_step
from lilnetx.runtime.candidates import candidates, identity
from lilnetx.runtime.plan import Plan, PlanStep, with_choice, with_dense
from lilnetx.runtime.tuning_cache import Finding, TuningCache

_REPEATS = 7
# Less than this share faster than the rules' choice is no reason to leave it.
_CLEARLY = 0.03


def refine_plan(
    plan: Plan,
    weights: Mapping[str, _core.PackedWeight],
    threads: int,
    cache: TuningCache,
    *,
    measure: bool,
) -> Plan:
    """Replaces choices of the rules by choices that were measured.

    Args:
        plan: The plan of the rules.
        weights: Packed weight of each weighted node, by name.
        threads: Threads that share a layer.
        cache: What is known from before; what is measured goes into it.
        measure: Whether layers are measured now, also those that were before.

    Returns:
        The plan with other kernels and tiles, and with reasons that give the times.
    """
    steps = []
    fresh: dict[str, Finding] = {}
    for step in plan.steps:
        tunable = step.density and (step.problem is not None or step.dense is not None)
        if not tunable or (not measure and not cache):
            steps.append(step)
            continue
        key = layer_key(step, plan.isa, threads)
        variants = step_variants(step)
        finding = fresh.get(key) if measure else cache.get(key)
        if finding is None and measure:
            finding = fresh[key] = _measure(plan, variants, weights, threads)
        chosen = next((v for v in variants if finding and variant_name(v) == finding.variant), None)
        if finding is None or chosen is None:
            steps.append(step)
        else:
            steps.append(replace(chosen, reason=_reason(step, chosen, finding)))
    cache.update(fresh)
    return replace(plan, steps=tuple(steps))


def step_variants(step: PlanStep) -> list[PlanStep]:
    """A weighted step with each kernel and tile worth measuring, as it is first."""
    if step.problem is not None:
        return [with_choice(step, choice) for choice in candidates(step.problem)]
    return [step, with_dense(step, not step.dense)]


def variant_name(step: PlanStep) -> str:
    """The kernel and its tile, as one word for the cache."""
    if step.choice is None:
        return "dense" if step.dense else "sparse"
    kernel, staged, block, rows, tile = identity(step.choice)
    return f"{kernel}{'/staged' if staged else ''}/{rows}x{tile}/{block}"


def layer_key(step: PlanStep, isa: str, threads: int) -> str:
    """All that a layer's times depend on, but for the machine and the version of the library."""
    assert step.node is not None
    density = f"density {step.density:.2g}, {step.fused or 'plain'}, {isa}, threads {threads}"
    if step.problem is None:
        assert isinstance(step.node.op, Linear)
        return f"linear {step.node.op.in_features} to {step.node.op.out_features}, {density}"
    op = step.node.op
    assert isinstance(op, Conv2d)
    window = "conv {}x{} stride {}x{} padding {}x{} dilation {}x{} groups {}".format(
        *op.kernel, *op.stride, *op.padding, *op.dilation, op.groups
    )
    places = [
        f"{channels}x{p.height}x{p.width} rows of {p.row_stride} planes of {p.channel_stride}"
        for channels, p in (
            (op.in_channels, step.problem.input),
            (op.out_channels, step.problem.output),
        )
    ]
    return f"{window}, {places[0]} to {places[1]}, {density}"


def _measure(
    plan: Plan,
    variants: list[PlanStep],
    weights: Mapping[str, _core.PackedWeight],
    threads: int,
) -> Finding:
    """Times variants of one step, on zeros: how fast they are does not depend on the pixels."""
    network = _core.Network(plan.isa, threads, plan.arena_floats)
    node = variants[0].node
    assert node is not None
    source = plan.images[variants[0].inputs[0]].as_tuple()
    network.add_input(source)
    names = []
    for variant in variants:
        try:
            add_step(network, plan, variant, {node.name: weights[node.name]})
        except ValueError:
            continue  # No kernel has this tile.
        names.append(variant_name(variant))
    x = np.zeros((1, *source[1:4]), np.float32)
    ms = network.profile([x], _REPEATS + 1)[1:, 1:].min(axis=0) * 1e3
    best = int(ms.argmin())
    if ms[best] > (1 - _CLEARLY) * ms[0]:
        best = 0
    return Finding(names[best], float(ms[best]), float(ms[0]), len(names))


def _reason(rules: PlanStep, chosen: PlanStep, finding: Finding) -> str:
    if variant_name(rules) == finding.variant:
        return f"{chosen.reason}; measured: {finding.ms:.3f} ms, none of {finding.tried} is faster"
    before = rules.choice.label + " " + rules.choice.shape if rules.choice else rules.kernel
    return (
        f"{chosen.reason}; measured: {finding.ms:.3f} ms, the best of {finding.tried} "
        f"({before} by rule: {finding.rule_ms:.3f} ms)"
    )
