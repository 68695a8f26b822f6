"""Bytes to graph: ``read_lnx`` and ``verify_lnx``."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import numpy as np

from lilnetx.errors import CorruptSectionError, GraphError, LimitExceededError
from lilnetx.format.container import Container, open_lnx, path_text
from lilnetx.format.graph_bytes import decode_graph
from lilnetx.format.latents import decode_latents
from lilnetx.format.layout import FLAG_SYNTHETIC, MAX_META_BYTES, defect
from lilnetx.format.side import decode_matrices, decode_side, side_vectors
from lilnetx.format.weight_info import Skeleton, count_nonzero_slices
from lilnetx.graph.ir import DenseWeight, Graph, LatentWeight, Node
from lilnetx.graph.weights import decode_slices


def read_lnx(path: str | os.PathLike[str], *, threads: int | None = None) -> Graph:
    """Reads a ``.lnx`` file; everything in it is checked before it is used.

    Args:
        path: The file.
        threads: How many threads decode latents; all processors by default.

    Returns:
        The network, its integers and side data equal to those written, bit for bit.

    Raises:
        LnxFormatError: The file cannot be opened or is no whole, undamaged ``.lnx`` file that this
            version can read; the subclass says which of these.
    """
    with open_lnx(path) as file:
        container = Container(file, path_text(path))
        container.check_padding()
        skeleton = read_skeleton(container)
        return _fill(container, skeleton, threads)


def verify_lnx(path: str | os.PathLike[str]) -> None:
    """Reads a file to its last bit, and checks what reading alone does not need.

    These are the shapes of all values, and that decoded weights, scales and biases are finite.

    Args:
        path: The file.

    Raises:
        LnxFormatError: As :func:`read_lnx`, and for weights that are not finite or shapes that do
            not fit together.
    """
    from lilnetx.graph.shapes import infer_shapes

    graph = read_lnx(path)
    try:
        infer_shapes(graph)
    except GraphError as error:
        raise CorruptSectionError(f"{path_text(path)}: GRPH: {error}; pack it again") from error
    for node in graph.nodes:
        for what, values in _floats(graph, node):
            if not np.isfinite(values).all():
                raise CorruptSectionError(
                    f"{path_text(path)}: layer {node.name!r}: expected finite {what}, "
                    "found an infinity or NaN; pack the network again"
                )


def read_skeleton(container: Container) -> Skeleton:
    """The graph with metadata but without weights, from the GRPH and META sections alone."""
    grph = container.sections[b"GRPH"]
    skeleton = decode_graph(
        container.section(b"GRPH"),
        container.path,
        grph.offset,
        synthetic=bool(container.header.flags & FLAG_SYNTHETIC),
    )
    return replace(skeleton, graph=replace(skeleton.graph, meta=_read_meta(container)))


def _read_meta(container: Container) -> dict[str, Any]:
    section = container.sections.get(b"META")
    if section is None:
        return {}
    if section.length > MAX_META_BYTES:
        raise defect(
            LimitExceededError,
            container.path,
            "META",
            section.offset,
            expected=f"at most {MAX_META_BYTES} bytes",
            found=section.length,
        )
    data = bytes(container.section(b"META"))
    try:
        meta = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise defect(
            CorruptSectionError,
            container.path,
            "META",
            section.offset,
            expected="JSON in UTF-8",
            found=str(error),
        ) from error
    if not isinstance(meta, dict):
        raise defect(
            CorruptSectionError,
            container.path,
            "META",
            section.offset,
            expected="a JSON object",
            found=type(meta).__name__,
        )
    return meta


def _fill(container: Container, skeleton: Skeleton, threads: int | None) -> Graph:
    """Puts weights, scales, biases and matrices where the skeleton has placeholders."""
    graph, infos = skeleton.graph, skeleton.weights
    latent = {name: info for name, info in infos.items() if not info.dense}
    has_side = any(n.scale is not None or n.bias is not None for n in graph.nodes)
    has_dense = len(latent) < len(infos)
    path = container.path
    needed = (bool(graph.decoders), has_side, bool(latent), has_dense)
    _check_presence(container, dict(zip((b"DECO", b"SIDE", b"LATS", b"RAWF"), needed, strict=True)))

    decoders = list(graph.decoders.values())
    if decoders:
        lengths = [decoder.matrix.shape[0] for decoder in decoders]
        offset = container.sections[b"DECO"].offset
        matrices = decode_matrices(container.section(b"DECO"), lengths, path, offset)
        decoders = [replace(d, matrix=m) for d, m in zip(decoders, matrices, strict=True)]
    weights: dict[str, LatentWeight | DenseWeight] = {}
    if latent:
        offset = container.sections[b"LATS"].offset
        arrays = decode_latents(
            container.section(b"LATS"), list(latent.values()), path, offset, threads
        )
        for (name, info), array in zip(latent.items(), arrays, strict=True):
            weights[name] = LatentWeight(array, decoders[info.decoder].name)
    if has_dense:
        weights.update(_read_dense(container, skeleton))
    nodes = [replace(node, weight=weights.get(node.name)) for node in graph.nodes]
    if has_side:
        offset = container.sections[b"SIDE"].offset
        side = iter(decode_side(container.section(b"SIDE"), side_vectors(nodes), path, offset))
        nodes = [
            replace(
                node,
                scale=None if node.scale is None else next(side),
                bias=None if node.bias is None else next(side),
            )
            for node in nodes
        ]
    return replace(graph, nodes=tuple(nodes), decoders={d.name: d for d in decoders})


def _check_presence(container: Container, needed: dict[bytes, bool]) -> None:
    for name, is_needed in needed.items():
        if is_needed != (name in container.sections):
            raise defect(
                CorruptSectionError,
                container.path,
                "section table",
                64,
                expected=f"{'a' if is_needed else 'no'} section {name.decode()}",
                found="none" if is_needed else "one",
            )


def _read_dense(container: Container, skeleton: Skeleton) -> dict[str, DenseWeight]:
    section = container.sections[b"RAWF"]
    infos = {name: info for name, info in skeleton.weights.items() if info.dense}
    total = 4 * sum(info.size for info in infos.values())
    if section.length != total:
        raise defect(
            CorruptSectionError,
            container.path,
            "RAWF",
            section.offset,
            expected=f"{total} bytes",
            found=section.length,
        )
    values = np.frombuffer(container.section(b"RAWF"), "<f4").astype(np.float32)
    weights: dict[str, DenseWeight] = {}
    at = 0
    for name, info in infos.items():
        weights[name] = DenseWeight(values[at : at + info.size].reshape(info.shape))
        nonzero = count_nonzero_slices(weights[name])
        if nonzero != info.nonzero:
            raise defect(
                CorruptSectionError,
                container.path,
                f"RAWF, layer {name!r}",
                section.offset + 4 * at,
                expected=f"{info.nonzero} nonzero slices",
                found=nonzero,
            )
        at += info.size
    return weights


def _floats(graph: Graph, node: Node) -> list[tuple[str, np.ndarray]]:
    """All float32 arrays of a node, with what they are."""
    found = [("scales", node.scale), ("biases", node.bias)]
    if isinstance(node.weight, DenseWeight):
        found.append(("weights", node.weight.values))
    elif isinstance(node.weight, LatentWeight):
        decoder = graph.decoders[node.weight.decoder]
        found.append(("weights", decode_slices(node.weight.latents, decoder)))
    return [(what, values) for what, values in found if values is not None]
