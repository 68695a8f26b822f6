"""Which nodes run as one step: what follows an operation elementwise joins it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from lilnetx.graph.ir import (
    Add,
    ChannelAffine,
    Conv2d,
    Flatten,
    Gelu,
    GeluTanh,
    GlobalAvgPool,
    Graph,
    HardSigmoid,
    HardSwish,
    Linear,
    Node,
    Op,
    Relu,
    Relu6,
    Shape,
    Sigmoid,
    Silu,
)
from lilnetx.graph.live import live_nodes
from lilnetx.graph.shapes import infer_shapes

# Names of the activations in the extension and in the names of kernels.
ACTIVATIONS: dict[type[Op], str] = {
    Relu: "relu",
    Relu6: "relu6",
    HardSwish: "hardswish",
    Silu: "silu",
    HardSigmoid: "hardsigmoid",
    Sigmoid: "sigmoid",
    Gelu: "gelu",
    GeluTanh: "gelutanh",
}


@dataclass(frozen=True)
class FusedNode:
    """One step of the network.

    Attributes:
        node: The operation.
        inputs: Values that it reads.
        residual: Value added to its result, or None.
        activation: Name of the function that follows, see :data:`ACTIVATIONS`; or ``"none"``.
        output: The value that the step yields: that of the last node fused into it.
        absorbed: Names of the nodes fused into it.
    """

    node: Node
    inputs: tuple[str, ...]
    residual: str | None
    activation: str
    output: str
    absorbed: tuple[str, ...]


def fuse(graph: Graph) -> list[FusedNode]:
    """Fuses a graph, and leaves out nodes that no output depends on.

    A convolution takes the addition that alone reads it, when the other operand has the same shape
    and is computed in an earlier step, and then the activation that alone reads the sum; linear
    layers on vectors, additions of one shape and scales with shifts take an activation. A global
    average writes the vector that alone is made of it.
    """
    shapes = infer_shapes(graph)
    nodes = live_nodes(graph)
    readers: dict[str, list[Node]] = {}
    uses: Counter[str] = Counter(graph.outputs)
    for node in nodes:
        for name in node.inputs:
            uses[name] += 1
            readers.setdefault(name, []).append(node)
    ready = set(graph.inputs)
    done: set[str] = set()
    steps = []
    for node in nodes:
        if node.name in done:
            continue
        step = _extend(node, readers, uses, ready, shapes)
        done.update(step.absorbed)
        ready.add(step.output)
        steps.append(step)
    return steps


def _extend(
    node: Node,
    readers: dict[str, list[Node]],
    uses: Counter[str],
    ready: set[str],
    shapes: Mapping[str, Shape],
) -> FusedNode:
    output, residual = node.name, None
    activation = ACTIVATIONS.get(type(node.op), "none")
    absorbed: list[str] = []

    def only_reader() -> Node | None:
        if uses[output] != 1 or not readers.get(output):
            return None
        return readers[output][0]

    add = only_reader()
    if isinstance(node.op, Conv2d) and add and isinstance(add.op, Add):
        other = add.inputs[1] if add.inputs[0] == output else add.inputs[0]
        if other in ready and shapes[other] == shapes[output]:
            residual, output = other, add.name
            absorbed.append(add.name)
    after = only_reader()
    if isinstance(node.op, GlobalAvgPool) and after and isinstance(after.op, Flatten):
        output = after.name
        absorbed.append(after.name)
    elif takes_activation(node, shapes) and after and type(after.op) in ACTIVATIONS:
        activation, output = ACTIVATIONS[type(after.op)], after.name
        absorbed.append(after.name)
    return FusedNode(node, node.inputs, residual, activation, output, tuple(absorbed))


def takes_activation(node: Node, shapes: Mapping[str, Shape]) -> bool:
    """Whether the kernel of an operation can end with an activation."""
    if isinstance(node.op, Linear):
        return len(shapes[node.name]) == 1
    if isinstance(node.op, Add):
        return all(shapes[name] == shapes[node.name] for name in node.inputs)
    return isinstance(node.op, Conv2d | ChannelAffine)
