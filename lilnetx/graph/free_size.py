"""Whether a network is the same whatever the size of its images: imported at two, and compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lilnetx.graph.ir import DenseWeight, Graph, Node, Op, Reshape


def merge_sizes(first: Graph, second: Graph) -> Graph | None:
    """The graph that is both of two imports of one network; None where they differ.

    Shapes that differ in one size only follow from the others: they get -1 there.
    """
    if len(first.nodes) != len(second.nodes) or first.outputs != second.outputs:
        return None
    nodes = []
    for a, b in zip(first.nodes, second.nodes, strict=True):
        op = _merge(a.op, b.op)
        if op is None or (a.name, a.inputs) != (b.name, b.inputs) or not _same_weights(a, b):
            return None
        nodes.append(replace(a, op=op))
    return replace(first, nodes=tuple(nodes))


def _merge(a: Op, b: Op) -> Op | None:
    if a == b:
        return a
    if isinstance(a, Reshape) and isinstance(b, Reshape) and len(a.shape) == len(b.shape):
        differing = [i for i, (m, n) in enumerate(zip(a.shape, b.shape, strict=True)) if m != n]
        if len(differing) == 1:
            sizes = list(a.shape)
            sizes[differing[0]] = -1
            return Reshape(tuple(sizes))
    return None


def _same_weights(a: Node, b: Node) -> bool:
    arrays = [(a.scale, b.scale), (a.bias, b.bias)]
    if isinstance(a.weight, DenseWeight) and isinstance(b.weight, DenseWeight):
        arrays.append((a.weight.values, b.weight.values))
    return all(
        x is y or (x is not None and y is not None and np.array_equal(x, y)) for x, y in arrays
    )


__all__ = ["merge_sizes"]
