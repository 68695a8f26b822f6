"""What differs between two ``.lnx`` files."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lilnetx.format.inspect import FileSummary, LayerSummary, inspect_lnx
from lilnetx.format.reader import read_lnx
from lilnetx.format.shares import LayerBytes, layer_bytes
from lilnetx.graph.ir import Decoder, DenseWeight, Graph, LatentWeight, Node

ADDED, REMOVED, CHANGED = "added", "removed", "changed"


@dataclass(frozen=True)
class WeightDiff:
    """A layer whose weight, scale or bias differs.

    Attributes:
        name: Name of the node.
        change: ``"added"``, ``"removed"`` or ``"changed"``.
        values: Integers (latents) or floats (dense weights) before and after; 0 where there are
            none.
        values_changed: How many differ, bit for bit; all of both where shape or kind differ.
        scale_changed: How many of the scales differ; all of both where there were none before.
        bias_changed: The same for biases.
        decoder: Name of the decoder before and after; None for dense weights.
        slices: Slices before and after.
        zero_slices: All-zero ones among them, before and after.
        coded_bytes: The layer's bytes before and after: see :class:`.LayerBytes`.
    """

    name: str
    change: str
    values: tuple[int, int]
    values_changed: int
    scale_changed: int
    bias_changed: int
    decoder: tuple[str | None, str | None]
    slices: tuple[int, int]
    zero_slices: tuple[int, int]
    coded_bytes: tuple[int, int]


@dataclass(frozen=True)
class FileDiff:
    """Two files side by side.

    Attributes:
        version: Format versions before and after.
        file_bytes: Sizes before and after.
        bytes_by_section: By section name: sizes before and after, 0 where it is absent.
        network: What of the network as a whole differs (input, outputs, order of nodes, whether it
            is synthetic): pairs of texts, before and after.
        nodes: By name of a node: ``"added"``, ``"removed"``, or what of operator and inputs
            changed.
        weights: The layers that differ.
        decoders: By name: ``"added"``, ``"removed"`` or ``"changed"``.
        meta: By key: ``"added"``, ``"removed"`` or ``"changed"``.
    """

    version: tuple[int, int]
    file_bytes: tuple[int, int]
    bytes_by_section: Mapping[str, tuple[int, int]]
    network: Mapping[str, tuple[str, str]]
    nodes: Mapping[str, str]
    weights: tuple[WeightDiff, ...]
    decoders: Mapping[str, str]
    meta: Mapping[str, str]

    @property
    def equal(self) -> bool:
        """Whether both hold the same network and metadata; how they are coded does not count."""
        return not (self.network or self.nodes or self.weights or self.decoders or self.meta)


@dataclass(frozen=True)
class _Side:
    """One of the files."""

    summary: FileSummary
    graph: Graph
    nodes: Mapping[str, Node]
    layers: Mapping[str, LayerSummary]
    coded: Mapping[str, LayerBytes]


def diff_lnx(before: str | os.PathLike[str], after: str | os.PathLike[str]) -> FileDiff:
    """Compares two files in full: integers one by one, floats bit for bit.

    Args:
        before: The one file.
        after: The other.

    Raises:
        LnxFormatError: As :func:`lilnetx.format.read_lnx`.
    """
    a, b = _open(before), _open(after)
    sections = dict.fromkeys([*a.summary.bytes_by_section, *b.summary.bytes_by_section])
    sizes = [side.summary.bytes_by_section for side in (a, b)]
    return FileDiff(
        version=(a.summary.version, b.summary.version),
        file_bytes=(a.summary.file_bytes, b.summary.file_bytes),
        bytes_by_section={n: (sizes[0].get(n, 0), sizes[1].get(n, 0)) for n in sections},
        network=_network(a.graph, b.graph),
        nodes=_nodes(a.nodes, b.nodes),
        weights=_weights(a, b),
        decoders=_mapping(_decoder_bits(a.graph.decoders), _decoder_bits(b.graph.decoders)),
        meta=_mapping(_json(a.graph.meta), _json(b.graph.meta)),
    )


def _open(path: str | os.PathLike[str]) -> _Side:
    summary = inspect_lnx(path)
    graph = read_lnx(path)
    coded = layer_bytes(graph, summary.bytes_by_section)
    return _Side(
        summary,
        graph,
        {node.name: node for node in graph.nodes},
        {layer.name: layer for layer in summary.layers},
        {layer.name: layer for layer in coded},
    )


def _network(a: Graph, b: Graph) -> dict[str, tuple[str, str]]:
    def facts(graph: Graph, other: Graph) -> dict[str, str]:
        common = {node.name for node in other.nodes}
        return {
            "input": ", ".join(
                f"{name} {'x'.join(map(str, shape))}" for name, shape in graph.inputs.items()
            )
            + (", any height and width" if graph.free_size else ""),
            "outputs": ", ".join(graph.outputs),
            "order": ", ".join(node.name for node in graph.nodes if node.name in common),
            "synthetic": str(graph.synthetic),
        }

    before, after = facts(a, b), facts(b, a)
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def _nodes(a: Mapping[str, Node], b: Mapping[str, Node]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in dict.fromkeys([*a, *b]):
        if name not in b:
            found[name] = REMOVED
        elif name not in a:
            found[name] = ADDED
        else:
            changes = [
                f"{first} -> {second}"
                for first, second in (
                    (str(a[name].op), str(b[name].op)),
                    (" + ".join(a[name].inputs), " + ".join(b[name].inputs)),
                )
                if first != second
            ]
            if changes:
                found[name] = "; ".join(changes)
    return found


def _weights(a: _Side, b: _Side) -> tuple[WeightDiff, ...]:
    found = []
    for name in dict.fromkeys([*a.layers, *b.layers]):
        diff = _weight(name, a, b)
        touched = diff.values_changed or diff.scale_changed or diff.bias_changed
        if diff.change != CHANGED or touched or diff.decoder[0] != diff.decoder[1]:
            found.append(diff)
    return tuple(found)


def _weight(name: str, a: _Side, b: _Side) -> WeightDiff:
    first, second = (side.nodes[name] if name in side.layers else None for side in (a, b))
    rows = [side.layers.get(name) for side in (a, b)]
    values = (_values(first), _values(second))
    before, after = (layer.slices if layer else 0 for layer in rows)
    zero_before, zero_after = (layer.zero_slices if layer else 0 for layer in rows)
    bytes_before, bytes_after = (
        side.coded[name].total if name in side.coded else 0 for side in (a, b)
    )
    return WeightDiff(
        name=name,
        change=ADDED if first is None else REMOVED if second is None else CHANGED,
        values=(_size(values[0]), _size(values[1])),
        values_changed=_count_changed(*values),
        scale_changed=_count_changed(_of(first, "scale"), _of(second, "scale")),
        bias_changed=_count_changed(_of(first, "bias"), _of(second, "bias")),
        decoder=(_decoder_name(first), _decoder_name(second)),
        slices=(before, after),
        zero_slices=(zero_before, zero_after),
        coded_bytes=(bytes_before, bytes_after),
    )


def _values(node: Node | None) -> NDArray[np.generic] | None:
    if node is None or node.weight is None:
        return None
    weight = node.weight
    return weight.values if isinstance(weight, DenseWeight) else weight.latents


def _of(node: Node | None, what: str) -> NDArray[np.generic] | None:
    return None if node is None else getattr(node, what)


def _decoder_name(node: Node | None) -> str | None:
    return node.weight.decoder if node and isinstance(node.weight, LatentWeight) else None


def _size(values: NDArray[np.generic] | None) -> int:
    return 0 if values is None else values.size


def _count_changed(a: NDArray[np.generic] | None, b: NDArray[np.generic] | None) -> int:
    """How many values differ, bit for bit; all of both where they cannot be compared."""
    if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
        return _size(a) + _size(b)
    bits = [np.ascontiguousarray(values).view(np.uint32) for values in (a, b)]
    return int(np.count_nonzero(bits[0] != bits[1]))


def _mapping(a: Mapping[str, object], b: Mapping[str, object]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in dict.fromkeys([*a, *b]):
        if name not in b:
            found[name] = REMOVED
        elif name not in a:
            found[name] = ADDED
        elif a[name] != b[name]:
            found[name] = CHANGED
    return found


def _decoder_bits(decoders: Mapping[str, Decoder]) -> dict[str, object]:
    return {d.name: (d.exponent, d.matrix.shape, d.matrix.tobytes()) for d in decoders.values()}


def _json(meta: Mapping[str, object]) -> dict[str, object]:
    """Values as texts, so that NaN equals itself and true is not 1."""
    return {key: json.dumps(value, sort_keys=True) for key, value in meta.items()}


def as_json(diff: FileDiff) -> dict[str, object]:
    """The comparison as JSON objects, with ``"equal"`` first."""
    return {"equal": diff.equal, **dataclasses.asdict(diff)}
