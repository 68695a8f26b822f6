"""Bytes to graph: ``read_lnx`` and ``verify_lnx``."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lilnetx import _core
from lilnetx.arguments import require_threads
from lilnetx.errors import (
    CorruptSectionError,
    FileChangedError,
    GraphError,
    OutOfMemoryError,
)
from lilnetx.format.container import Container, open_lnx, path_text
from lilnetx.format.graph_bytes import decode_graph
from lilnetx.format.latents import split_streams
from lilnetx.format.layout import FLAG_SYNTHETIC, MAX_GRAPH_BYTES, MAX_META_BYTES, Header, defect
from lilnetx.format.side import decode_matrices, decode_side, side_vectors
from lilnetx.format.text import decode_text
from lilnetx.format.weight_info import Skeleton
from lilnetx.format.weight_sinks import GraphSink, PackedSink, WeightSink
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
        InputError: ``threads`` is no whole number from 1.
        OutOfMemoryError: Its weights do not fit into memory.
    """
    return _read(path, GraphSink(), threads)[0]


@dataclass(frozen=True)
class PackedNetwork:
    """A network as the runtime wants it: weights as packed slices.

    Attributes:
        graph: The network. Its scales, biases and decoders are the file's; its weights have the
            right shapes, take no memory and are all zero.
        weights: The weights, by node.
        header: Of the file, which by its checksums stands for all that is in it.
    """

    graph: Graph
    weights: dict[str, _core.PackedWeight]
    header: Header


def read_packed(path: str | os.PathLike[str], *, threads: int | None = None) -> PackedNetwork:
    """Reads a ``.lnx`` file straight into packed slices, with the checks of :func:`read_lnx`.

    Memory beside the result: the coded bytes, and for each thread the latents of one weight.

    Args:
        path: The file.
        threads: How many threads decode latents; all processors by default.

    Raises:
        LnxFormatError: As :func:`read_lnx`.
    """
    sink = PackedSink()
    graph, header = _read(path, sink, threads)
    return PackedNetwork(graph, sink.packed, header)


def read_same(path: str | os.PathLike[str], header: Header) -> Graph:
    """Reads a file that was read before, and checks that it is still the same.

    Args:
        path: The file.
        header: Its header at that time.

    Raises:
        FileChangedError: The file is another one now.
        LnxFormatError: As :func:`read_lnx`.
    """
    graph, now = _read(path, GraphSink(), None)
    if now != header:
        raise file_changed(path)
    return graph


def file_changed(path: str | os.PathLike[str]) -> FileChangedError:
    """The error of a file that is no longer the one that a session was made from."""
    return FileChangedError(
        f"{path_text(path)}: the file has changed since the session was made from it; "
        "make a new session"
    )


def _read(
    path: str | os.PathLike[str], sink: WeightSink, threads: int | None
) -> tuple[Graph, Header]:
    if threads is not None:
        require_threads(threads)
    with open_lnx(path) as file:
        container = Container(file, path_text(path))
        container.check_padding()
        skeleton = read_skeleton(container)
        try:
            return _fill(container, skeleton, sink, threads), container.header
        except MemoryError as error:
            sizes = sum(info.size for info in skeleton.weights.values())
            raise OutOfMemoryError(
                f"{container.path}: not enough memory for {sizes} weights; "
                "read it on a machine with more, or check where the file comes from"
            ) from error


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
    offset = container.sections[b"GRPH"].offset
    data = decode_text(container.section(b"GRPH"), container.path, "GRPH", offset, MAX_GRAPH_BYTES)
    skeleton = decode_graph(
        data, container.path, synthetic=bool(container.header.flags & FLAG_SYNTHETIC)
    )
    return replace(skeleton, graph=replace(skeleton.graph, meta=_read_meta(container)))


def _read_meta(container: Container) -> dict[str, Any]:
    section = container.sections.get(b"META")
    if section is None:
        return {}
    data = decode_text(
        container.section(b"META"), container.path, "META", section.offset, MAX_META_BYTES
    )
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


def _fill(container: Container, skeleton: Skeleton, sink: WeightSink, threads: int | None) -> Graph:
    """Puts scales, biases and matrices in place of the placeholders; weights go to the sink."""
    graph, infos = skeleton.graph, skeleton.weights
    latent = [node for node in graph.nodes if node.name in infos and not infos[node.name].dense]
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
    if latent:
        offset = container.sections[b"LATS"].offset
        streams = split_streams(container.section(b"LATS"), len(latent), path, offset)
        latent_infos = [infos[node.name] for node in latent]
        sink.latents(streams, latent, latent_infos, decoders, threads or os.cpu_count() or 1)
        del streams  # The coded bytes are not needed beside what follows.
    if has_dense:
        _read_dense(container, skeleton, sink)
    nodes = [replace(node, weight=sink.weight(node)) for node in graph.nodes]
    if has_side:
        offset = container.sections[b"SIDE"].offset
        vectors = side_vectors(nodes, lambda node: sink.live(node.name))
        side = iter(decode_side(container.section(b"SIDE"), vectors, path, offset))
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


def _read_dense(container: Container, skeleton: Skeleton, sink: WeightSink) -> None:
    section = container.sections[b"RAWF"]
    nodes = [n for n in skeleton.graph.nodes if n.name in skeleton.weights]
    infos = [(n, skeleton.weights[n.name]) for n in nodes if skeleton.weights[n.name].dense]
    total = 4 * sum(info.size for _, info in infos)
    if section.length != total:
        raise defect(
            CorruptSectionError,
            container.path,
            "RAWF",
            section.offset,
            expected=f"{total} bytes",
            found=section.length,
        )
    values = np.frombuffer(container.section(b"RAWF"), "<f4")
    at = 0
    for node, info in infos:
        nonzero = sink.dense(node, values[at : at + info.size].reshape(info.shape))
        if nonzero != info.nonzero:
            raise defect(
                CorruptSectionError,
                container.path,
                f"RAWF, layer {node.name!r}",
                section.offset + 4 * at,
                expected=f"{info.nonzero} nonzero slices",
                found=nonzero,
            )
        at += info.size


def _floats(graph: Graph, node: Node) -> list[tuple[str, np.ndarray]]:
    """All float32 arrays of a node, with what they are."""
    found = [("scales", node.scale), ("biases", node.bias)]
    if isinstance(node.weight, DenseWeight):
        found.append(("weights", node.weight.values))
    elif isinstance(node.weight, LatentWeight):
        decoder = graph.decoders[node.weight.decoder]
        found.append(("weights", decode_slices(node.weight.latents, decoder)))
    return [(what, values) for what, values in found if values is not None]
