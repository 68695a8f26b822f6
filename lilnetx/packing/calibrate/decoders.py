"""One decoder for each size of kernel: the transform that decorrelates the weights' taps."""

from __future__ import annotations

import numpy as np
import torch

from lilnetx.graph.ir import Decoder, Graph, Linear, Node, Weighted
from lilnetx.graph.weights import dense_weight, is_pointwise
from lilnetx.packing.calibrate.statistics import slice_length, weighted_nodes
from lilnetx.train.fit import decorrelating_rotation

# Entries of an orthogonal matrix are at most 1: this leaves a bit of int16 unused.
_EXPONENT = 14


def decoder_name(op: Weighted, slice_1x1: int) -> str:
    """Name of an operation's kernel-size group."""
    if not is_pointwise(op):
        assert not isinstance(op, Linear)
        return f"{op.kernel[0]}x{op.kernel[1]}"
    kind = "linear" if isinstance(op, Linear) else "1x1"
    return f"{kind}g{slice_1x1}" if slice_1x1 > 1 else kind


def fit_decoders(graph: Graph, slice_1x1: int) -> dict[str, Decoder]:
    """Decoders by name.

    K×K kernels get the orthogonal transform to principal directions; the slices of a pointwise
    layer are channels in no order of meaning, and keep the identity. Steps are left to the scales.

    Args:
        graph: The network.
        slice_1x1: Input channels of a slice of pointwise layers.
    """
    groups: dict[str, list[Node]] = {}
    for node in weighted_nodes(graph):
        assert isinstance(node.op, Weighted)
        groups.setdefault(decoder_name(node.op, slice_1x1), []).append(node)
    found = {}
    for name, nodes in groups.items():
        op = nodes[0].op
        assert isinstance(op, Weighted)
        if is_pointwise(op):
            found[name] = Decoder(name, np.eye(slice_1x1, dtype=np.int32), 0)
            continue
        length = slice_length(op, slice_1x1)
        weights = []
        for node in nodes:
            weight = torch.from_numpy(dense_weight(graph, node).copy())
            norms = weight.flatten(1).norm(dim=1).clamp_min(1e-30)
            weights.append(weight / norms.reshape(-1, 1, 1, 1))
        rotation = decorrelating_rotation(weights, length).double().numpy()
        matrix = np.rint(np.ldexp(rotation, _EXPONENT)).astype(np.int32)
        found[name] = Decoder(name, matrix, _EXPONENT)
    return found


__all__ = ["decoder_name", "fit_decoders"]
