"""Graph to bytes: ``write_lnx``."""

from __future__ import annotations

import json
import os

import numpy as np

from lilnetx.arguments import require_type
from lilnetx.atomic import atomic_write
from lilnetx.errors import GraphError, LnxFormatError
from lilnetx.format import layout
from lilnetx.format.container import build_container
from lilnetx.format.graph_bytes import decode_graph, encode_graph
from lilnetx.format.latents import encode_latents
from lilnetx.format.side import encode_matrices, encode_side, side_vectors
from lilnetx.format.text import encode_text
from lilnetx.format.weight_info import filters
from lilnetx.graph.ir import (
    ChannelAffine,
    Constant,
    DenseWeight,
    Graph,
    LatentWeight,
    Node,
    Weighted,
)
from lilnetx.graph.shapes import check_arity
from lilnetx.graph.weights import latent_shape, weight_shape


def write_lnx(graph: Graph, path: str | os.PathLike[str]) -> int:
    """Writes a network as a ``.lnx`` file, atomically.

    Args:
        graph: The network. Latents beyond int16 and whatever else the format cannot hold are
            refused before anything is written.
        path: The file, replaced as a whole if it exists.

    Returns:
        Size of the file, in bytes.

    Raises:
        GraphError: The graph contradicts itself or cannot be stored.
        OutputError: The file could not be written; an older one is as it was.
    """
    data = encode_lnx(graph)
    with atomic_write(path) as file:
        file.write(data)
    return len(data)


def encode_lnx(graph: Graph) -> bytes:
    """The bytes of a ``.lnx`` file; see :func:`write_lnx`."""
    data = build_container(encode_sections(graph), synthetic=graph.synthetic)
    if len(data) > layout.MAX_FILE_BYTES:
        raise GraphError(f"the file would have {len(data)} bytes, above {layout.MAX_FILE_BYTES}")
    return data


def encode_sections(graph: Graph) -> dict[bytes, bytes]:
    """The sections of a ``.lnx`` file by name; see :func:`write_lnx`."""
    require_type(graph, Graph, GraphError, "a lilnetx.Graph; a model is written by lilnetx.pack")
    _check(graph)
    grph, infos = encode_graph(graph)
    try:
        skeleton = decode_graph(grph, "graph", synthetic=graph.synthetic)
    except LnxFormatError as error:
        raise GraphError(f"the network cannot be stored: {error}") from error
    if skeleton.weights != infos:
        raise GraphError("the network cannot be stored: its weights do not fit its operators")

    weights = [node.weight for node in graph.nodes if node.weight is not None]
    latent = [weight for weight in weights if isinstance(weight, LatentWeight)]
    dense = [weight for weight in weights if isinstance(weight, DenseWeight)]
    vectors = side_vectors(graph.nodes)
    if len(grph) > layout.MAX_GRAPH_BYTES:
        raise GraphError(
            f"the network cannot be stored: its description takes {len(grph)} bytes, above "
            f"{layout.MAX_GRAPH_BYTES}; give its layers shorter names"
        )
    sections = {b"GRPH": encode_text(grph)}
    if graph.decoders:
        sections[b"DECO"] = encode_matrices([d.matrix for d in graph.decoders.values()])
    if vectors:
        sections[b"SIDE"] = encode_side(vectors)
    if latent:
        sections[b"LATS"] = encode_latents(
            [weight.latents for weight in latent],
            [info for info in infos.values() if not info.dense],
        )
    if dense:
        sections[b"RAWF"] = b"".join(weight.values.astype("<f4").tobytes() for weight in dense)
    if graph.meta:
        sections[b"META"] = encode_text(_encode_meta(graph))
    return sections


def _encode_meta(graph: Graph) -> bytes:
    try:
        text = json.dumps(
            graph.meta, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
        )
        data = text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise GraphError(f"the metadata cannot be stored as JSON: {error}") from error
    if len(data) > layout.MAX_META_BYTES:
        raise GraphError(f"the metadata take {len(data)} bytes, above {layout.MAX_META_BYTES}")
    return data


def _check(graph: Graph) -> None:
    """Checks what the graph section cannot express; the section's own reader checks the rest."""
    for name, decoder in graph.decoders.items():
        matrix = decoder.matrix
        if name != decoder.name:
            raise GraphError(f"decoder {decoder.name!r} is listed under the name {name!r}")
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype != np.int32:
            raise GraphError(
                f"decoder {name!r}: expected a square int32 matrix, "
                f"found {matrix.dtype} {matrix.shape}"
            )
        if matrix.size and int(np.abs(matrix.astype(np.int64)).max()) > layout.MAX_MATRIX_ENTRY:
            raise GraphError(
                f"decoder {name!r}: entries must be within +-{layout.MAX_MATRIX_ENTRY}"
            )
    known = set(graph.inputs)
    for node in graph.nodes:
        check_arity(node)
        for source in node.inputs:
            if source not in known:
                raise GraphError(
                    f"node {node.name!r} reads {source!r}, which no earlier node yields"
                )
        known.add(node.name)
        _check_node(graph, node)
    for output in graph.outputs:
        if output not in known:
            raise GraphError(f"output {output!r} is yielded by no node")


def _check_node(graph: Graph, node: Node) -> None:
    op, weight = node.op, node.weight
    if isinstance(op, Constant) and isinstance(weight, DenseWeight):
        _check_array(node, weight.values, op.shape, np.float32)
        return
    if not isinstance(op, Weighted | ChannelAffine):
        if weight is not None or node.scale is not None or node.bias is not None:
            raise GraphError(f"node {node.name!r}: {type(op).__name__} takes no weight or bias")
        return
    for what, vector in (("scale", node.scale), ("bias", node.bias)):
        if vector is not None and (vector.shape != (filters(op),) or vector.dtype != np.float32):
            raise GraphError(
                f"node {node.name!r}: expected a float32 {what} of shape ({filters(op)},), "
                f"found {vector.dtype} {vector.shape}"
            )
    if isinstance(op, ChannelAffine):
        if weight is not None or node.scale is None or node.bias is None:
            raise GraphError(f"node {node.name!r}: ChannelAffine takes a scale and a bias alone")
    elif isinstance(weight, LatentWeight):
        decoder = graph.decoders.get(weight.decoder)
        if decoder is None:
            raise GraphError(f"node {node.name!r}: there is no decoder {weight.decoder!r}")
        latents = weight.latents
        _check_array(node, latents, latent_shape(op, decoder.matrix.shape[0]), np.int32)
        if latents.size and max(-int(latents.min()), int(latents.max())) > layout.MAX_LATENT:
            raise GraphError(f"node {node.name!r}: latents must be within +-{layout.MAX_LATENT}")
    elif isinstance(weight, DenseWeight):
        _check_array(node, weight.values, weight_shape(op), np.float32)
    else:
        raise GraphError(f"node {node.name!r}: {type(op).__name__} needs a weight")


def _check_array(
    node: Node, values: np.ndarray, shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    if values.shape != shape or values.dtype != dtype:
        raise GraphError(
            f"node {node.name!r}: expected {np.dtype(dtype)} weights of shape {shape}, "
            f"found {values.dtype} {values.shape}"
        )
