"""Which form computes a layer, with which blocks, and why: data, found without a GPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lilnetx.errors import InputError

from .configs import GatheredConfig, UnionConfig, gathered_configs, union_configs
from .cost import BANDWIDTH_EFFICIENCY, Estimate, dense_cost, gathered_cost, union_cost
from .devices import Device
from .problem import ConvProblem
from .unions import FilterBlocks, make_blocks, run_lengths

FORMS = ("gathered", "union", "dense")
# What is worth measuring: predicted within this factor of the best, so many at most.
_WORTH_MEASURING = 1.5
_MOST_MEASURED = 6


@dataclass(frozen=True)
class Candidate:
    """One way to compute a layer.

    Attributes:
        form: One of :data:`FORMS`.
        config: Its blocks; None for the dense form.
        layout: ``"planes"`` (N, C, H, W), ``"channels_last"`` (N, H, W, C) or ``"batch_last"``
            (C, H, W, N): the order of input and output in memory. The dense form takes any.
        estimate: Its predicted time.
        blocks: Filters and channels of form (b), else None.
    """

    form: str
    config: GatheredConfig | UnionConfig | None
    layout: str
    estimate: Estimate
    blocks: FilterBlocks | None = None


@dataclass(frozen=True)
class ConvPlan:
    """How a layer is computed.

    Attributes:
        problem: The layer.
        device: For which GPU.
        precision: Of float32 products: ``"tf32x3"`` keeps float32's accuracy, ``"tf32"`` does not.
        chosen: What is used.
        others: What else was considered, the best of each form, best first.
        reason: Why, in one line.
    """

    problem: ConvProblem
    device: Device
    precision: str
    chosen: Candidate
    others: tuple[Candidate, ...]
    reason: str


def make_plan(
    problem: ConvProblem,
    channels: NDArray[np.bool_],
    device: Device,
    *,
    precision: str = "tf32x3",
    forms: tuple[str, ...] = FORMS,
    layout: str | None = None,
) -> ConvPlan:
    """The form and blocks with the shortest predicted time.

    Args:
        problem: The layer.
        channels: bool, shape ``(F, C/groups)``: whether a filter reads a channel.
        device: For which GPU.
        precision: Of float32 products.
        forms: What may be chosen.
        layout: The input's order in memory, from which another one costs a copy; None for whatever
            a form needs.

    Raises:
        InputError: The batch is too large for what may be chosen.
    """
    found = [
        candidate
        for form in forms
        for candidate in candidates(problem, channels, device, form, precision)
    ]
    if not found:
        raise InputError(
            f"{problem.images} images of {problem.size[0]}×{problem.size[1]} pixels are too many "
            f"for the forms {', '.join(forms)}: use a smaller batch"
        )
    copy = copy_us(problem, device)

    def total(candidate: Candidate) -> float:
        moved = layout not in (None, candidate.layout) and candidate.form != "dense"
        return candidate.estimate.total + copy * moved

    found.sort(key=total)
    best: dict[str, Candidate] = {}
    for candidate in found:
        best.setdefault(candidate.form, candidate)
    chosen, *others = best.values()
    return ConvPlan(problem, device, precision, chosen, tuple(others), _reason(chosen, others))


def candidates(
    problem: ConvProblem,
    channels: NDArray[np.bool_],
    device: Device,
    form: str,
    precision: str,
) -> list[Candidate]:
    """All ways of one form; of some, none where the batch is too large for them."""
    if form == "dense":
        return [Candidate("dense", None, "planes", dense_cost(problem, device))]
    if form == "gathered":
        found = []
        for layout in ("planes", "batch_last"):
            inner = problem.images if layout == "batch_last" else 1
            if layout == "batch_last" and problem.images % (16 // problem.item_bytes):
                continue
            if not problem.gathered_fits(inner):
                continue
            found += [
                Candidate("gathered", c, layout, gathered_cost(problem, c, device, inner))
                for c in gathered_configs(problem, inner)
            ]
        return found
    if not problem.union_fits:
        return []
    run = run_lengths(problem.group_channels, problem.item_bytes)[0]
    by_width: dict[int, FilterBlocks] = {}
    found = []
    for config in union_configs(problem, device, precision, run):
        if config.filters not in by_width:
            by_width[config.filters] = make_blocks(channels, problem.groups, config.filters, run)
        blocks = by_width[config.filters]
        if config.crowded and not blocks.ordered:
            continue
        estimate = union_cost(
            problem,
            config,
            device,
            len(blocks.runs),
            padded_union(blocks, config.channels),
            precision=precision,
        )
        found.append(Candidate("union", config, "channels_last", estimate, blocks))
    return found


def copy_us(problem: ConvProblem, device: Device) -> float:
    """Predicted microseconds to bring the input into another order in memory."""
    height, width = problem.size
    values = problem.images * problem.channels * height * width
    return device.launch_us + 2 * values * problem.item_bytes / (
        device.dram_gbs * 1e3 * BANDWIDTH_EFFICIENCY
    )


def padded_union(blocks: FilterBlocks, multiple: int) -> int:
    """Channels of all blocks, each padded to a multiple."""
    return sum(-(-len(r) * blocks.run_length // multiple) * multiple for r in blocks.runs)


def worth_measuring(found: list[Candidate]) -> list[Candidate]:
    """The pruning rule of tuning: close to the best prediction, and few of them."""
    found = sorted(found, key=lambda candidate: candidate.estimate.total)
    limit = found[0].estimate.total * _WORTH_MEASURING if found else 0.0
    return [c for c in found if c.estimate.total <= limit][:_MOST_MEASURED]


def _reason(chosen: Candidate, others: list[Candidate]) -> str:
    text = f"{_describe(chosen)}, bound by {chosen.estimate.bound}"
    if others:
        text += "; " + ", ".join(_describe(other) for other in others)
    return text + " (predicted)"


def _describe(candidate: Candidate) -> str:
    return f"{candidate.form} {candidate.estimate.total:.1f} us"


__all__ = ["FORMS", "Candidate", "ConvPlan", "candidates", "copy_us", "make_plan", "padded_union",
           "worth_measuring"]  # fmt: skip
