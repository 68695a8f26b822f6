"""A plan into the extension's executor."""

from __future__ import annotations

from collections.abc import MutableMapping

import numpy as np
from numpy.typing import NDArray

from lilnetx import _core
from lilnetx.errors import UnsupportedOperatorError
from lilnetx.graph.ir import Add, AvgPool2d, Conv2d, GlobalAvgPool, Linear, Node, Pool2d
from lilnetx.runtime.fuse import ACTIVATIONS, takes_activation
from lilnetx.runtime.plan import Plan, PlanStep, is_plain_pool
from lilnetx.runtime.value_steps import VALUE_STEPS, Operands

_NO_PARAMETERS = np.zeros(2, np.float32)


def build_network(
    plan: Plan, weights: MutableMapping[str, _core.PackedWeight], threads: int
) -> _core.Network:
    """Makes the executor of a plan, with its memory and its threads.

    Args:
        plan: The plan.
        weights: Packed weight of each weighted node, by name. Each is taken out when the executor
            has it in the layout of its kernel, so that memory holds one of both.
        threads: Threads that share the work.
    """
    network = _core.Network(plan.isa, threads, plan.arena_floats)
    for step in plan.steps:
        add_step(network, plan, step, weights)
    network.prepare()
    return network


def add_step(
    network: _core.Network,
    plan: Plan,
    step: PlanStep,
    weights: MutableMapping[str, _core.PackedWeight],
) -> None:
    """Adds one step of a plan to an executor, and takes its weight out of ``weights``.

    Raises:
        ValueError: The kernel has no such tile, or cannot do the operation.
        UnsupportedOperatorError: There is no kernel for the operation.
    """
    images = [plan.images[name].as_tuple() for name in step.inputs]
    output = plan.images[step.output].as_tuple()
    node = step.node
    if node is None:
        if step.op == "Input":
            network.add_input(output)
        else:
            network.add_output(output)
        return
    match node.op:
        case Conv2d() as op:
            choice = step.choice
            assert choice is not None
            network.add_conv(
                input=images[0],
                output=output,
                window=(*op.kernel, *op.stride, *op.padding, *op.dilation),
                kernel=choice.kernel,
                staged=choice.staged,
                block_channels=choice.block_channels,
                tile_rows=choice.tile_rows,
                tile=choice.tile,
                activation=step.activation,
                residual=images[-1] if step.residual else None,
                bias=_bias(node, op.out_channels),
                weight=weights.pop(node.name),
                scale=node.scale,
            )
        case Linear() as op if len(plan.shapes[step.output]) == 1:
            network.add_linear(
                input=images[0],
                output=output,
                weight=weights.pop(node.name),
                scale=node.scale,
                bias=_bias(node, op.out_features),
                activation=step.activation,
                dense=bool(step.dense),
            )
        case Pool2d() as op if is_plain_pool(op):
            network.add_pool(
                input=images[0],
                output=output,
                window=(*op.kernel, *op.stride, *op.padding, 1, 1),
                average=isinstance(op, AvgPool2d),
                count_include_pad=isinstance(op, AvgPool2d) and op.count_include_pad,
            )
        case GlobalAvgPool():
            network.add_global_average(images[0], output)
        case Add() if takes_activation(node, plan.shapes):
            network.add_elementwise(images[0], images[1], output, step.activation, _NO_PARAMETERS)
        case op if type(op) in ACTIVATIONS:
            network.add_elementwise(images[0], None, output, step.activation, _NO_PARAMETERS)
        case op if type(op) in VALUE_STEPS:
            operands = Operands(
                node,
                tuple(plan.images[name] for name in step.inputs),
                plan.images[step.output],
                tuple(plan.shapes[name] for name in step.inputs),
                plan.shapes[step.output],
                weights,
                step.activation,
            )
            VALUE_STEPS[type(op)].add(network, op, operands)
        case _:
            raise UnsupportedOperatorError(
                f"node {node.name!r}: the runtime has no kernel for {type(node.op).__name__}"
            )


def _bias(node: Node, filters: int) -> NDArray[np.float32]:
    return np.zeros(filters, np.float32) if node.bias is None else node.bias
