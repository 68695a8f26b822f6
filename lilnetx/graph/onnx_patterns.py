"""Nodes that together are one operator, found before a model is imported."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Constant = Callable[[str], float | None]


def fuse_gelu(proto: Any) -> Any:
    """A model whose GELUs, as exporters spell them before opset 20, are nodes of that name.

    That is ``x * (1 + erf(x / sqrt(2))) / 2`` in any order of the products.
    """
    import onnx

    graph = proto.graph
    if not any(node.op_type == "Erf" for node in graph.node):
        return proto
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    graph = model.graph
    constant = _constants(graph)
    producers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[Any]] = {value.name: [None] for value in graph.output}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    gone: set[int] = set()
    for erf in graph.node:
        if erf.op_type != "Erf":
            continue
        found = _match(erf, producers, readers, constant)
        if found is None:
            continue
        x, last, nodes = found
        gone.update(id(node) for node in nodes)
        last.op_type = "Gelu"
        del last.input[:], last.attribute[:]
        last.input.append(x)
    kept = [node for node in graph.node if id(node) not in gone]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)
    return model


def _match(
    erf: Any, producers: dict[str, Any], readers: dict[str, list[Any]], constant: Constant
) -> tuple[str, Any, list[Any]] | None:
    """The input of a GELU, its last node, and its other nodes; None where it is none."""
    scaled = producers.get(erf.input[0])
    x = _scaled_input(scaled, constant)
    plus = _only(readers, erf.output[0])
    if x is None or plus is None or plus.op_type != "Add":
        return None
    if not any(constant(name) == 1.0 for name in plus.input):
        return None
    # The products that remain: with x, and with one half, in either order or inside of x.
    product = _only(readers, plus.output[0])
    if product is None or product.op_type != "Mul":
        return None
    other = next((name for name in product.input if name != plus.output[0]), "")
    nodes = [scaled, erf, plus]
    if _half_of(producers.get(other), x, constant):
        return x, product, [*nodes, producers[other]]
    if other == x:
        half = _only(readers, product.output[0])
        if half is not None and half.op_type == "Mul" and 0.5 in map(constant, half.input):
            return x, half, [*nodes, product]
    if constant(other) == 0.5:
        last = _only(readers, product.output[0])
        if last is not None and last.op_type == "Mul" and x in last.input:
            return x, last, [*nodes, product]
    return None


def _scaled_input(node: Any, constant: Constant) -> str | None:
    """X where a node is x divided by the root of 2."""
    if node is None or node.op_type not in ("Div", "Mul"):
        return None
    wanted = math.sqrt(2) if node.op_type == "Div" else math.sqrt(0.5)
    for x, factor in ((node.input[0], node.input[1]), (node.input[1], node.input[0])):
        value = constant(factor)
        if value is not None and abs(value - wanted) < 1e-5:
            return None if node.op_type == "Div" and x == node.input[1] else str(x)
    return None


def _half_of(node: Any, x: str, constant: Constant) -> bool:
    if node is None or node.op_type != "Mul" or x not in node.input:
        return False
    return any(constant(name) == 0.5 for name in node.input)


def _only(readers: dict[str, list[Any]], name: str) -> Any:
    """The one node that reads a value; None where there are others, or it is an output."""
    found = readers.get(name, [])
    return found[0] if len(found) == 1 else None


def _constants(graph: Any) -> Constant:
    """Tells the number that a value is, or None."""
    import onnx

    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            tensors[node.output[0]] = node.attribute[0].t

    def number(name: str) -> float | None:
        tensor = tensors.get(name)
        if tensor is None or math.prod(tensor.dims) != 1:
            return None
        return float(np.asarray(onnx.numpy_helper.to_array(tensor)).reshape(-1)[0])

    return number


__all__ = ["fuse_gelu"]
