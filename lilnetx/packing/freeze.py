"""A trained model as a graph of integers, with batch norm folded and side data on short grids."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lilnetx import __version__
from lilnetx.errors import PackError
from lilnetx.graph.from_torch import import_model
from lilnetx.graph.ir import (
    Conv2d,
    Decoder,
    DenseWeight,
    Graph,
    LatentWeight,
    Linear,
    Node,
    Relu,
    Relu6,
)
from lilnetx.graph.shapes import infer_shapes
from lilnetx.graph.torch_program import require_module
from lilnetx.graph.weights import decode_slices, unslice
from lilnetx.packing.side import SIDE_BITS, shorten, snap

if TYPE_CHECKING:
    import torch

    from lilnetx.train.latents import LatentParametrization


def freeze(
    model: torch.nn.Module,
    input_shape: tuple[int, ...],
    *,
    side_bits: int = SIDE_BITS,
    meta: Mapping[str, Any] | None = None,
) -> Graph:
    """Freezes a model as it evaluates; the model itself is left untouched, in its own mode.

    Layers compressed by :func:`lilnetx.compress` give their integers and decoders; all others,
    down to a plain torch model, keep float32 weights. The decoded weights are checked, bit for bit,
    against those that the module evaluates.

    Batch norm becomes one scale and one bias a filter. What changes no output is stored as 0: the
    scale of a filter whose weights are all zero, and its negative bias where only a ReLU follows.

    Args:
        model: The trained model.
        input_shape: Input without the batch, ``(C, H, W)`` or ``(C,)``.
        side_bits: Significant bits of scales and biases. Each scale is off by at most
            ``2**-side_bits`` of itself, each bias by twice that share of its layer's root mean
            square: to the outputs, this matters no more. 0 keeps float32.
        meta: JSON-able facts for :attr:`Graph.meta`; ``producer`` is added.

    Returns:
        The graph.

    Raises:
        PackError: ``model`` is no module, decoded weights differ from the module's, a value is not
            finite, or ``meta`` or ``side_bits`` cannot be stored.
        InputError: The model cannot be evaluated on an input of this shape.
        UnsupportedOperatorError: See :func:`lilnetx.graph.from_torch.from_torch`.
        MissingExtraError: torch is not installed.
    """
    snap(np.zeros(0), side_bits)  # a wrong number shows before the work
    facts = _checked_meta(meta)
    require_module(model, PackError)
    graph, paths = import_model(model, input_shape)
    rectified = _rectified(graph)
    decoders: dict[str, Decoder] = {}
    nodes = []
    for node in graph.nodes:
        if node.name in paths:
            found = _parametrization(node.name, model.get_submodule(paths[node.name]))
            if found is not None:
                node = _with_integers(node, *found, decoders)
            node = _with_short_side_data(node, side_bits, node.name in rectified)
        nodes.append(node)
    graph = dataclasses.replace(graph, nodes=tuple(nodes), decoders=decoders, meta=facts)
    infer_shapes(graph)
    return graph


def _checked_meta(meta: Mapping[str, Any] | None) -> dict[str, Any]:
    try:
        facts = {**(meta or {}), "producer": f"lilnetx {__version__}"}
        json.dumps(facts, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PackError(f"meta cannot be stored as JSON: {error}") from error
    return facts


def _parametrization(
    name: str, module: torch.nn.Module
) -> tuple[LatentParametrization, torch.Tensor] | None:
    """The latents of a compressed layer and their parametrization, or None for any other layer."""
    from torch.nn.utils import parametrize

    from lilnetx.train.latents import LatentParametrization

    if not parametrize.is_parametrized(module, "weight"):
        return None
    chain: Any = module.parametrizations["weight"]  # type: ignore[index]
    if not any(isinstance(step, LatentParametrization) for step in chain):
        return None
    if len(chain) > 1:
        raise PackError(
            f"layer {name!r}: its weight has further parametrizations on top of the compressed "
            "one; remove them (torch.nn.utils.parametrize) before packing"
        )
    return chain[0], chain.original


def _with_integers(
    node: Node,
    parametrization: LatentParametrization,
    original: torch.Tensor,
    decoders: dict[str, Decoder],
) -> Node:
    """The node with the layer's latents; its decoder is added to ``decoders``."""
    trained = parametrization.decoder
    matrix = trained.integers().detach().cpu().numpy().astype(np.int32)
    decoder = Decoder(trained.name, matrix, int(trained.exponent))
    known = decoders.setdefault(decoder.name, decoder)
    if known.exponent != decoder.exponent or not np.array_equal(known.matrix, matrix):
        raise PackError(
            f"layer {node.name!r}: there are two different decoders called {decoder.name!r}; "
            "compress all layers by one call"
        )
    latents = parametrization.integers(original).detach().cpu().numpy().astype(np.int32)
    assert isinstance(node.op, Conv2d | Linear)
    assert isinstance(node.weight, DenseWeight)
    decoded = unslice(decode_slices(latents, decoder), node.op)
    evaluated = node.weight.values
    if not np.array_equal(decoded, evaluated):
        wrong = int((decoded != evaluated).sum()) if decoded.shape == evaluated.shape else -1
        raise PackError(
            f"layer {node.name!r}: its integers decode to weights of shape {decoded.shape} that "
            f"differ from the evaluated ones of shape {evaluated.shape}"
            + (f" in {wrong} of {decoded.size} places" if wrong >= 0 else "")
            + "; the latents must be finite and within int32, and the layer must use its weight "
            "as it is"
        )
    return dataclasses.replace(
        node, weight=LatentWeight(np.ascontiguousarray(latents), decoder.name)
    )


def _with_short_side_data(node: Node, side_bits: int, rectified: bool) -> Node:
    """The node with few bits of scale and bias, and zeros where these change nothing."""
    weight = node.weight
    assert weight is not None
    values = weight.latents if isinstance(weight, LatentWeight) else weight.values
    scale, bias = node.scale, node.bias
    # Decoders have no shift, so zero latents are zero weights.
    live = values.reshape(len(values), -1).any(axis=1)
    if scale is not None:
        scale = np.where(live, scale, np.float32(0))
    for what, array in (("weight", values), ("scale", scale), ("bias", bias)):
        if array is not None and not np.isfinite(array).all():
            raise PackError(f"layer {node.name!r}: its {what} holds values that are not finite")
    if bias is not None and rectified and side_bits:
        bias = np.where(live | (bias > 0), bias, np.float32(0))
    return dataclasses.replace(
        node,
        scale=None if scale is None else shorten(scale, side_bits),
        bias=None if bias is None else snap(bias, side_bits),
    )


def _rectified(graph: Graph) -> set[str]:
    """The values of which nothing but a ReLU sees: below zero, they are all alike."""
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for source in node.inputs:
            readers.setdefault(source, []).append(node)
    return {
        name
        for name, nodes in readers.items()
        if name not in graph.outputs and all(isinstance(node.op, Relu | Relu6) for node in nodes)
    }


__all__ = ["freeze"]
