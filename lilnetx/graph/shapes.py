"""Shape inference, which is also the check that a graph does not contradict itself."""

from __future__ import annotations

from collections.abc import Mapping

from lilnetx.errors import GraphError
from lilnetx.graph.ir import (
    Add,
    AvgPool2d,
    Conv2d,
    DenseWeight,
    Flatten,
    GlobalAvgPool,
    Graph,
    HardSigmoid,
    HardSwish,
    Linear,
    MaxPool2d,
    Node,
    Relu,
    Relu6,
    Shape,
    Sigmoid,
    Silu,
    Softmax,
)
from lilnetx.graph.weights import latent_shape, weight_shape


def conv_output(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Output pixels of a convolution along one axis; may be below 1 when the input is too small."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def pool_output(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """Output pixels of a pooling window along one axis, by torch's rule.

    With ``ceil_mode`` the last window may reach past the padding, but each window starts inside the
    input or its leading padding.
    """
    span = size + 2 * padding - kernel
    if not ceil_mode:
        return span // stride + 1
    out = -(-span // stride) + 1
    return out - 1 if (out - 1) * stride >= size + padding else out


def infer_shapes(graph: Graph) -> dict[str, Shape]:
    """Shapes of all values of a graph, and a full check of its consistency.

    Args:
        graph: The graph; nodes must come in execution order.

    Returns:
        Value name to shape without the batch, the input first, then the nodes in order.

    Raises:
        GraphError: A name is used twice or read before it is defined, an operator cannot take the
            shape that reaches it, or a weight, scale or bias is missing or has the wrong shape.
    """
    if len(graph.input_shape) not in (1, 3) or min(graph.input_shape) < 1:
        raise GraphError(
            f"input {graph.input_name!r} has shape {graph.input_shape}: expected (C, H, W) or "
            "(C,), all positive"
        )
    shapes: dict[str, Shape] = {graph.input_name: tuple(graph.input_shape)}
    for node in graph.nodes:
        if node.name in shapes:
            raise GraphError(f"node {node.name!r}: the name is taken by an earlier value")
        missing = [name for name in node.inputs if name not in shapes]
        if missing:
            raise GraphError(
                f"node {node.name!r} reads {missing[0]!r}, which no earlier node yields"
            )
        arity = 2 if isinstance(node.op, Add) else 1
        if len(node.inputs) != arity:
            raise GraphError(
                f"node {node.name!r}: {_kind(node)} reads {arity} value(s), "
                f"found {len(node.inputs)}"
            )
        _check_weights(graph, node)
        shapes[node.name] = output_shape(node, [shapes[name] for name in node.inputs])
    if not graph.outputs:
        raise GraphError("the graph has no output")
    for name in graph.outputs:
        if name not in shapes:
            raise GraphError(f"the graph returns {name!r}, which no node yields")
    return shapes


def _kind(node: Node) -> str:
    return type(node.op).__name__


def _expect(node: Node, shape: Shape, expected: str, ok: bool) -> None:
    if not ok:
        raise GraphError(f"node {node.name!r}: {_kind(node)} takes {expected}, found shape {shape}")


def output_shape(node: Node, inputs: list[Shape]) -> Shape:
    """Shape that a node yields from inputs of these shapes, whatever its weight.

    Raises:
        GraphError: The operator cannot take them.
    """
    op, shape = node.op, inputs[0]
    match op:
        case Conv2d():
            _expect(
                node,
                shape,
                f"({op.in_channels}, H, W)",
                len(shape) == 3 and shape[0] == op.in_channels,
            )
            out = tuple(
                conv_output(shape[1 + i], op.kernel[i], op.stride[i], op.padding[i], op.dilation[i])
                for i in (0, 1)
            )
            return (op.out_channels, *_pixels(node, shape, out))
        case Linear():
            _expect(node, shape, f"({op.in_features},)", shape == (op.in_features,))
            return (op.out_features,)
        case MaxPool2d() | AvgPool2d():
            _expect(node, shape, "(C, H, W)", len(shape) == 3)
            for kernel, stride, padding in zip(op.kernel, op.stride, op.padding, strict=True):
                # More padding than half the window would give windows that hold nothing else.
                if kernel < 1 or stride < 1 or not 0 <= 2 * padding <= kernel:
                    raise GraphError(
                        f"node {node.name!r}: {_kind(node)} with kernel {op.kernel}, stride "
                        f"{op.stride}, padding {op.padding}: kernel and stride must be positive "
                        "and the padding at most half the kernel"
                    )
            out = tuple(
                pool_output(shape[1 + i], op.kernel[i], op.stride[i], op.padding[i], op.ceil_mode)
                for i in (0, 1)
            )
            return (shape[0], *_pixels(node, shape, out))
        case GlobalAvgPool():
            _expect(node, shape, "(C, H, W)", len(shape) == 3)
            return (shape[0], 1, 1)
        case Flatten():
            size = 1
            for extent in shape:
                size *= extent
            return (size,)
        case Relu() | Relu6() | HardSwish() | Silu() | HardSigmoid() | Sigmoid():
            return shape
        case Add():
            _expect(
                node, inputs[1], f"two values of one shape, the first {shape}", inputs[1] == shape
            )
            return shape
        case Softmax():
            _expect(node, shape, "(C,)", len(shape) == 1)
            return shape


def _pixels(node: Node, shape: Shape, out: Shape) -> Shape:
    if min(out) < 1:
        raise GraphError(
            f"node {node.name!r}: {_kind(node)} leaves no pixel of an input of {shape}"
        )
    return out


def _check_weights(graph: Graph, node: Node) -> None:
    op = node.op
    if not isinstance(op, Conv2d | Linear):
        if node.weight is not None or node.scale is not None or node.bias is not None:
            raise GraphError(f"node {node.name!r}: {_kind(node)} takes no weight, scale or bias")
        return
    if isinstance(op, Conv2d):
        _check_conv(node, op)
    filters = weight_shape(op)[0]
    if node.weight is None:
        raise GraphError(f"node {node.name!r}: {_kind(node)} has no weight")
    found: Mapping[str, Shape | None] = {
        "scale": None if node.scale is None else node.scale.shape,
        "bias": None if node.bias is None else node.bias.shape,
    }
    for what, shape in found.items():
        if shape is not None and shape != (filters,):
            raise GraphError(f"node {node.name!r}: {what} is {shape}, expected ({filters},)")
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


def _check_conv(node: Node, op: Conv2d) -> None:
    if min(op.in_channels, op.out_channels, op.groups) < 1:
        raise GraphError(f"node {node.name!r}: channels and groups must be positive, found {op}")
    if op.in_channels % op.groups or op.out_channels % op.groups:
        raise GraphError(
            f"node {node.name!r}: {op.groups} groups do not divide {op.in_channels} input and "
            f"{op.out_channels} output channels"
        )
    if min(*op.kernel, *op.stride, *op.dilation) < 1 or min(op.padding) < 0:
        raise GraphError(
            f"node {node.name!r}: kernel, stride and dilation must be positive and padding not "
            f"negative, found {op}"
        )


__all__ = ["conv_output", "infer_shapes", "pool_output"]
