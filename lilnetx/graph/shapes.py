"""Shape inference, which is also the check that a graph does not contradict itself."""

from __future__ import annotations

from collections.abc import Mapping

from lilnetx.errors import GraphError
from lilnetx.graph.ir import ChannelAffine, Constant, DenseWeight, Graph, Node, Shape, Weighted
from lilnetx.graph.ops.base import MAX_ELEMENTS, MAX_RANK, elements
from lilnetx.graph.ops.pool import pool_output
from lilnetx.graph.ops.weighted import conv_output
from lilnetx.graph.weights import latent_shape, weight_shape


def infer_shapes(graph: Graph) -> dict[str, Shape]:
    """Shapes of all values of a graph, and a full check of its consistency.

    Args:
        graph: The graph; nodes must come in execution order.

    Returns:
        Value name to shape without the batch, the inputs first, then the nodes in order.

    Raises:
        GraphError: A name is used twice or read before it is defined, an operator cannot take the
            shape that reaches it, or a weight, scale or bias is missing or has the wrong shape.
    """
    shapes: dict[str, Shape] = {}
    for name, shape in graph.inputs.items():
        if len(shape) > MAX_RANK or min(shape, default=1) < 1:
            raise GraphError(
                f"input {name!r} has shape {shape}: expected at most {MAX_RANK} sizes, all positive"
            )
        shapes[name] = shape
    for node in graph.nodes:
        if node.name in shapes:
            raise GraphError(f"node {node.name!r}: the name is taken by an earlier value")
        missing = [name for name in node.inputs if name not in shapes]
        if missing:
            raise GraphError(
                f"node {node.name!r} reads {missing[0]!r}, which no earlier node yields"
            )
        check_arity(node)
        shapes[node.name] = output_shape(node, [shapes[name] for name in node.inputs])
        _check_weights(graph, node)
    if not graph.outputs:
        raise GraphError("the graph has no output")
    for name in graph.outputs:
        if name not in shapes:
            raise GraphError(f"the graph returns {name!r}, which no node yields")
    return shapes


def check_arity(node: Node) -> None:
    """GraphError when a node reads more or fewer values than its operator takes."""
    arity = node.op.arity
    if len(node.inputs) != arity if arity is not None else not node.inputs:
        raise GraphError(
            f"node {node.name!r}: {_kind(node)} reads {arity or 'one or more'} value(s), "
            f"found {len(node.inputs)}"
        )


def _kind(node: Node) -> str:
    return type(node.op).__name__


def output_shape(node: Node, inputs: list[Shape]) -> Shape:
    """Shape that a node yields from inputs of these shapes, whatever its weight.

    Raises:
        GraphError: The operator cannot take them, or contradicts itself.
    """
    try:
        node.op.check()
        shape = node.op.output_shape(inputs)
        if len(shape) > MAX_RANK:
            raise GraphError(f"gives shape {shape}, expected at most {MAX_RANK} axes")
        # Images lie plane by plane; all else in one row, which must have a length.
        if len(shape) != 3 and elements(shape) > MAX_ELEMENTS:
            raise GraphError(f"gives shape {shape}, expected at most {MAX_ELEMENTS} elements")
    except GraphError as error:
        raise GraphError(f"node {node.name!r}: {_kind(node)} {error}") from None
    return shape


def _check_weights(graph: Graph, node: Node) -> None:
    op = node.op
    if isinstance(op, Constant):
        _check_constant(node, op)
        return
    if isinstance(op, ChannelAffine):
        if node.weight is not None or node.scale is None or node.bias is None:
            raise GraphError(
                f"node {node.name!r}: ChannelAffine takes a scale and a bias, and no weight"
            )
        _check_side(node, op.channels)
        return
    if not isinstance(op, Weighted):
        if node.weight is not None or node.scale is not None or node.bias is not None:
            raise GraphError(f"node {node.name!r}: {_kind(node)} takes no weight, scale or bias")
        return
    if node.weight is None:
        raise GraphError(f"node {node.name!r}: {_kind(node)} has no weight")
    _check_side(node, weight_shape(op)[0])
    if isinstance(node.weight, DenseWeight):
        actual, expected = node.weight.values.shape, weight_shape(op)
    else:
        decoder = graph.decoders.get(node.weight.decoder)
        if decoder is None:
            raise GraphError(f"node {node.name!r}: there is no decoder {node.weight.decoder!r}")
        n = decoder.matrix.shape[0]
        if decoder.matrix.shape != (n, n):
            raise GraphError(
                f"decoder {decoder.name!r} has shape {decoder.matrix.shape}, expected a square"
            )
        actual, expected = node.weight.latents.shape, latent_shape(op, n)
    if actual != expected:
        raise GraphError(f"node {node.name!r}: weight is {actual}, its operator needs {expected}")


def _check_side(node: Node, filters: int) -> None:
    found: Mapping[str, Shape | None] = {
        "scale": None if node.scale is None else node.scale.shape,
        "bias": None if node.bias is None else node.bias.shape,
    }
    for what, shape in found.items():
        if shape is not None and shape != (filters,):
            raise GraphError(f"node {node.name!r}: {what} is {shape}, expected ({filters},)")


def _check_constant(node: Node, op: Constant) -> None:
    if not isinstance(node.weight, DenseWeight) or node.scale is not None or node.bias is not None:
        raise GraphError(f"node {node.name!r}: Constant takes a dense weight, no scale or bias")
    if node.weight.values.shape != op.shape:
        raise GraphError(
            f"node {node.name!r}: values are {node.weight.values.shape}, expected {op.shape}"
        )


__all__ = ["check_arity", "conv_output", "infer_shapes", "output_shape", "pool_output"]
