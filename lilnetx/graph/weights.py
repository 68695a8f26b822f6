"""Latents to weights, exactly.

With ``|sum| < 2**53`` the integer product is exact in float64 whatever the order of summation; one
rounding to float32 follows, and multiplication by a power of two is exact. So decoded weights are
equal, bit for bit, on every machine and to what training evaluates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lilnetx.errors import GraphError
from lilnetx.graph.ir import Decoder, DenseWeight, Graph, Linear, Node, Weighted


def decode_slices(latents: NDArray[np.int32], decoder: Decoder) -> NDArray[np.float32]:
    """Decoded weights of every slice.

    Args:
        latents: int32, shape ``(F, S, n)``.
        decoder: Its decoder, of slice length n.

    Returns:
        float32, shape ``(F, S, n)``; all-zero slices stay all-zero.
    """
    n = decoder.matrix.shape[0]
    if latents.ndim != 3 or latents.shape[2] != n:
        raise GraphError(
            f"decoder {decoder.name!r} takes slices of {n}, latents have shape {latents.shape}"
        )
    exact = latents.astype(np.float64) @ decoder.matrix.astype(np.float64)
    return np.ldexp(exact.astype(np.float32), -decoder.exponent).astype(np.float32, copy=False)


def weight_shape(op: Weighted) -> tuple[int, ...]:
    """Shape of an operation's dense weight: ``(F, C/groups, Kh, Kw)`` or ``(out, in)``."""
    if isinstance(op, Linear):
        return (op.out_features, op.in_features)
    return (op.out_channels, op.in_channels // op.groups, *op.kernel)


def dense_weight(graph: Graph, node: Node, *, scaled: bool = True) -> NDArray[np.float32]:
    """A node's dense float32 weight.

    Args:
        graph: The graph that holds the node's decoder.
        node: A convolution or linear node.
        scaled: Whether each filter is multiplied by the node's scale (folded batch norm), as the
            runtime does; without, the weights as training evaluated them.

    Returns:
        float32, shape ``(F, C/groups, Kh, Kw)`` or ``(out, in)``.
    """
    op = node.op
    if not isinstance(op, Weighted) or node.weight is None:
        raise GraphError(f"node {node.name!r} has no weight")
    shape = weight_shape(op)
    if isinstance(node.weight, DenseWeight):
        weight = node.weight.values
    else:
        weight = unslice(
            decode_slices(node.weight.latents, graph.decoders[node.weight.decoder]), op
        )
    if weight.shape != shape:
        raise GraphError(
            f"node {node.name!r}: weight is {weight.shape}, its operator needs {shape}"
        )
    if scaled and node.scale is not None:
        weight = weight * node.scale.reshape(-1, *([1] * (len(shape) - 1)))
    return weight


def unslice(slices: NDArray[np.float32], op: Weighted) -> NDArray[np.float32]:
    """Slices ``(F, S, n)`` as the dense weight of ``op``, without the padding of the last slice."""
    shape = weight_shape(op)
    if is_pointwise(op):
        return np.ascontiguousarray(slices.reshape(shape[0], -1)[:, : shape[1]]).reshape(shape)
    return slices.reshape(shape)


def transposed_weight(weight: NDArray[np.float32], groups: int) -> NDArray[np.float32]:
    """A transposed convolution's weight as torch and ONNX keep it, or from there to ours.

    Args:
        weight: Shape ``(groups * a, b, Kh, Kw)``.
        groups: Of the convolution.

    Returns:
        Shape ``(groups * b, a, Kh, Kw)``.
    """
    both, b, *taps = weight.shape
    by_group = weight.reshape(groups, both // groups, b, *taps)
    return np.ascontiguousarray(by_group.swapaxes(1, 2)).reshape(groups * b, both // groups, *taps)


def latent_shape(op: Weighted, n: int) -> tuple[int, int, int]:
    """Shape ``(F, S, n)`` of an operation's latents in slices of ``n``.

    Raises:
        GraphError: ``n`` is not ``Kh*Kw`` for a K×K kernel, or not positive.
    """
    filters, channels, *kernel = weight_shape(op)
    taps = int(np.prod(kernel, dtype=np.int64))
    if is_pointwise(op):
        if n < 1:
            raise GraphError(f"slices of {n} input channels: expected at least 1")
        return (filters, -(-channels // n), n)
    if n != taps:
        raise GraphError(f"slices of {n} for a kernel of {kernel[0]}×{kernel[1]}: expected {taps}")
    return (filters, channels, n)


def is_pointwise(op: Weighted) -> bool:
    """Whether slices run over input channels (1×1 and linear) rather than over kernel taps."""
    return isinstance(op, Linear) or op.kernel == (1, 1)


__all__ = [
    "decode_slices",
    "dense_weight",
    "is_pointwise",
    "latent_shape",
    "transposed_weight",
    "unslice",
    "weight_shape",
]
