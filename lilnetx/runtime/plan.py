"""The plan: how a network will run, as data. Nothing here computes; :mod:`.build` hands it over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lilnetx import _core
from lilnetx.errors import UnsupportedOperatorError
from lilnetx.graph.dead_channels import Removal
from lilnetx.graph.ir import (
    Add,
    AvgPool2d,
    Conv2d,
    GlobalAvgPool,
    Graph,
    Linear,
    MaxPool2d,
    Node,
    Pool2d,
    Shape,
)
from lilnetx.graph.shapes import infer_shapes
from lilnetx.runtime.arena import place
from lilnetx.runtime.fuse import ACTIVATIONS, FusedNode, fuse, takes_activation
from lilnetx.runtime.layout import Image, PlaneLayout, plane_layouts
from lilnetx.runtime.packed import computed_density, pack_graph
from lilnetx.runtime.problem import Choice, Problem
from lilnetx.runtime.registry import choose_kernel
from lilnetx.runtime.value_steps import VALUE_STEPS

# Share of weights below which gathering their inputs beats streaming all of them, zeros too.
_SPARSE_LINEAR = 0.3


@dataclass(frozen=True)
class PlanStep:
    """One step of the network.

    Attributes:
        name: Name of the node that it computes (those fused into it are in ``kernel``).
        op: Name of its operator; ``"Input"`` and ``"Output"`` for the copies at both ends.
        kernel: Full name of the kernel, see :mod:`.registry`.
        shape: Shapes that go in and come out, without the batch.
        density: Share of the weights that is computed, or None where there are none.
        reason: Why this kernel.
        inputs: Values read, the residual last.
        output: Value written.
        node: The operation, or None at both ends.
        residual: Value added to the result, or None.
        activation: Name of the function applied to the result, or ``"none"``.
        choice: Kernel and tile of a convolution.
        dense: Whether a linear layer on vectors multiplies zeros too; None for other steps.
        fused: What is fused into the kernel's end, as its name says it.
        problem: What the choice of a convolution's kernel depended on.
    """

    name: str
    op: str
    kernel: str
    shape: str
    density: float | None
    reason: str
    inputs: tuple[str, ...]
    output: str
    node: Node | None = field(default=None, repr=False, compare=False)
    residual: str | None = None
    activation: str = "none"
    choice: Choice | None = None
    dense: bool | None = None
    fused: str = ""
    problem: Problem | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Plan:
    """All steps of a network and where its values lie.

    Attributes:
        isa: Instruction set of the kernels.
        steps: In order.
        images: Place of every value in the arena.
        shapes: Shape of every value, without the batch.
        arena_floats: Size of the arena of one image, in floats.
        removal: What was removed from the network before it was planned, or None.
    """

    isa: str
    steps: tuple[PlanStep, ...]
    images: Mapping[str, Image]
    shapes: Mapping[str, Shape]
    arena_floats: int
    removal: Removal | None = None

    def __str__(self) -> str:
        """A table, one row a step."""
        rows = [("step", "kernel", "shape", "density", "reason")]
        for s in self.steps:
            density = "" if s.density is None else f"{s.density:.3f}"
            rows.append((s.name, s.kernel, s.shape, density, s.reason))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            "  ".join(
                [*(c.ljust(w) for c, w in zip(row[:4], widths, strict=True)), row[4]]
            ).rstrip()
            for row in rows
        ]
        size = self.arena_floats * 4 / 2**20
        lines.append(f"isa {self.isa}, {len(self.steps)} steps, activations {size:.2f} MiB")
        if self.removal and (self.removal.removed_channels or self.removal.removed_weights):
            gone = self.removal
            lines.append(
                f"without {gone.removed_channels} of {gone.channels} channels, and "
                f"{gone.removed_weights} weights, that change nothing"
            )
        return "\n".join(lines)


def make_plan(
    graph: Graph,
    isa: str,
    weights: Mapping[str, _core.PackedWeight] | None = None,
    removal: Removal | None = None,
) -> Plan:
    """Plans a network as it is.

    Args:
        graph: The network. Of its weights only the shapes count.
        isa: Name of an available instruction set.
        weights: The packed weight of each weighted node by the node's name; None to pack the
            graph's own.
        removal: What was removed from the network before, for the record.

    Raises:
        GraphError: The graph contradicts itself.
        UnsupportedOperatorError: The runtime has no kernel for an operator.
    """
    shapes = infer_shapes(graph)
    fused = fuse(graph)
    layouts = plane_layouts(fused, shapes)
    images, arena_floats = place(fused, shapes, layouts, [*graph.inputs], graph.outputs)
    if weights is None:
        weights = pack_graph(graph)
    steps = [
        PlanStep(
            name,
            "Input",
            f"lnx_f32_input__{isa}",
            _shape_text(shape),
            None,
            "copies the input into rows with gaps",
            (),
            name,
        )
        for name, shape in graph.inputs.items()
    ]
    steps += [_plan_step(step, shapes, layouts, weights, isa) for step in fused]
    for name in graph.outputs:
        steps.append(
            PlanStep(
                name,
                "Output",
                f"lnx_f32_output__{isa}",
                _shape_text(shapes[name]),
                None,
                "copies the result out, dense",
                (name,),
                name,
            )
        )
    return Plan(isa, tuple(steps), images, shapes, arena_floats, removal)


def _plan_step(
    step: FusedNode,
    shapes: Mapping[str, Shape],
    layouts: Mapping[tuple[int, int], PlaneLayout],
    weights: Mapping[str, _core.PackedWeight],
    isa: str,
) -> PlanStep:
    op = step.node.op
    suffix = "" if step.activation == "none" else f"_{step.activation}"
    fused = ("_add" if step.residual else "") + suffix
    density: float | None = None
    choice: Choice | None = None
    problem: Problem | None = None
    dense: bool | None = None
    match op:
        case Conv2d():
            density = computed_density(weights[step.node.name], step.node.scale)
            problem = Problem(
                op,
                layouts[shapes[step.inputs[0]][1], shapes[step.inputs[0]][2]],
                layouts[shapes[step.output][1], shapes[step.output][2]],
                density,
                isa,
            )
            choice = choose_kernel(problem)
            stem, reason = _conv_stem(choice, fused), _conv_reason(choice)
        case Linear() if len(shapes[step.output]) == 1:
            density = computed_density(weights[step.node.name], step.node.scale)
            dense = density > _SPARSE_LINEAR
            stem, reason = _linear_stem(dense, fused), _linear_reason(dense, density)
        case Pool2d() if is_plain_pool(op):
            kind = "maxpool" if isinstance(op, MaxPool2d) else "avgpool"
            stem = f"{kind}{op.kernel[0]}x{op.kernel[1]}s{op.stride[0]}"
            reason = "columns first, then along the row"
        case GlobalAvgPool():
            stem, reason = "globalavgpool", "sums whole planes, gaps are zero"
        case Add() if takes_activation(step.node, shapes):
            stem, reason = f"add{fused}", "no convolution can take this addition"
        case _ if type(op) in ACTIVATIONS:
            stem, reason = step.activation, "no operation can take this activation"
        case _ if type(op) in VALUE_STEPS:
            row = VALUE_STEPS[type(op)]
            stem, reason = row.stem(op) + fused, row.reason
            if step.node.name in weights:
                density = computed_density(weights[step.node.name], step.node.scale)
        case _:
            raise UnsupportedOperatorError(
                f"node {step.node.name!r}: the runtime has no kernel for {type(op).__name__}"
            )
    return PlanStep(
        step.node.name,
        type(op).__name__,
        f"lnx_f32_{stem}__{isa}",
        " -> ".join(_shape_text(shapes[name]) for name in (*step.inputs[:1], step.output)),
        density,
        reason,
        (*step.inputs, *([step.residual] if step.residual else [])),
        step.output,
        step.node,
        step.residual,
        step.activation,
        choice,
        dense,
        fused,
        problem,
    )


def is_plain_pool(op: Pool2d) -> bool:
    """Whether the kernel for pooling with equal padding at opposite sides can do it."""
    return isinstance(op, MaxPool2d | AvgPool2d) and op.plain


def with_choice(step: PlanStep, choice: Choice) -> PlanStep:
    """A convolution's step with another kernel or tile."""
    kernel = f"lnx_f32_{_conv_stem(choice, step.fused)}__{_isa_of(step)}"
    return replace(step, choice=choice, kernel=kernel, reason=_conv_reason(choice))


def with_dense(step: PlanStep, dense: bool) -> PlanStep:
    """A linear layer's step that multiplies zeros too, or does not."""
    assert step.density is not None
    kernel = f"lnx_f32_{_linear_stem(dense, step.fused)}__{_isa_of(step)}"
    return replace(step, dense=dense, kernel=kernel, reason=_linear_reason(dense, step.density))


def _isa_of(step: PlanStep) -> str:
    return step.kernel.rpartition("__")[2]


def _conv_stem(choice: Choice, fused: str) -> str:
    return f"{choice.label}{fused}_{choice.shape}"


def _conv_reason(choice: Choice) -> str:
    return choice.reason + ("; input rearranged first" if choice.staged else "")


def _linear_stem(dense: bool, fused: str) -> str:
    return f"{'linear' if dense else 'splinear'}{fused}"


def _linear_reason(dense: bool, density: float) -> str:
    if dense:
        return f"{density:.0%} of the weights left: dense rows stream faster"
    return f"{density:.1%} of the weights left: only those are read"


def _shape_text(shape: Shape) -> str:
    return "x".join(str(n) for n in shape) or "scalar"
