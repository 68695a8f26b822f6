"""What a file holds, from its header, graph and metadata alone: no weight is decoded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lilnetx.errors import CorruptSectionError, GraphError
from lilnetx.format.container import Container, open_lnx, path_text
from lilnetx.format.reader import read_skeleton
from lilnetx.format.weight_info import Skeleton, WeightInfo, filters
from lilnetx.graph.ir import ChannelAffine, Constant, Node, Shape, Weighted
from lilnetx.graph.meta import Normalisation, class_names, normalisation
from lilnetx.graph.weights import is_pointwise, weight_shape


@dataclass(frozen=True)
class LayerSummary:
    """One weighted layer.

    Attributes:
        name: Name of the node.
        op: Name of the operator, ``"Conv2d"``, ``"ConvTranspose2d"`` or ``"Linear"``.
        shape: Of the dense weight, ``(F, C/groups, Kh, Kw)`` or ``(out, in)``.
        dense: Whether the weight is stored as float32 instead of latents.
        slices: Number of slices.
        zero_slices: How many of them are all zero.
        parameters: Weights and biases.
        macs: Multiply-accumulates for one image.
        macs_left: Those that remain when zero slices are skipped. Where g does not divide the
            channels of a pointwise layer, an upper bound: each nonzero slice counts g of them.
    """

    name: str
    op: str
    shape: Shape
    dense: bool
    slices: int
    zero_slices: int
    parameters: int
    macs: int
    macs_left: int


@dataclass(frozen=True)
class FileSummary:
    """A whole file.

    Attributes:
        file_bytes: Size of the file.
        version: Version of the format.
        synthetic: Whether the weights are random, made for timing only.
        bytes_by_section: Size by section name; ``"header"`` is everything outside the sections:
            header, section table and padding.
        parameters: Weights and biases of the dense network with batch norm folded.
        dense_fp32_bytes: Size of those parameters as float32.
        slices_kxk: Slices of convolutions with kernels above 1×1.
        zero_slices_kxk: All-zero ones among them.
        slices_1x1: Slices of pointwise layers: 1×1 convolutions and linear layers.
        zero_slices_1x1: All-zero ones among them.
        macs: Multiply-accumulates for one image.
        macs_left: Those that remain when zero slices are skipped.
        layers: The weighted layers, in order.
        input_shape: Shape of one input, without the batch.
        meta: The file's metadata.
    """

    file_bytes: int
    version: int
    synthetic: bool
    bytes_by_section: Mapping[str, int]
    parameters: int
    dense_fp32_bytes: int
    slices_kxk: int
    zero_slices_kxk: int
    slices_1x1: int
    zero_slices_1x1: int
    macs: int
    macs_left: int
    layers: tuple[LayerSummary, ...]
    input_shape: Shape
    meta: Mapping[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the outputs; empty where none were stored."""
        return class_names(self.meta)

    @property
    def normalisation(self) -> Normalisation | None:
        """Mean and standard deviation of each channel's pixels; None where none were stored."""
        return normalisation(self.meta, self.input_shape)


def inspect_lnx(path: str | os.PathLike[str]) -> FileSummary:
    """Summarises a file without decoding, or even reading, its weights.

    Damage in sections that are not read goes unnoticed; :func:`verify_lnx` reads them all.

    Args:
        path: The file.

    Raises:
        LnxFormatError: As :func:`lilnetx.format.read_lnx`, for what is read.
    """
    with open_lnx(path) as file:
        container = Container(file, path_text(path))
        skeleton = read_skeleton(container)
    layers = _layers(skeleton, path_text(path))
    pointwise = {node.name for node in skeleton.graph.nodes if _pointwise(node)}
    kxk = [layer for layer in layers if layer.name not in pointwise]
    one = [layer for layer in layers if layer.name in pointwise]
    by_section = {name.decode(): s.length for name, s in container.sections.items()}
    parameters = sum(layer.parameters for layer in layers) + _other_parameters(skeleton)
    return FileSummary(
        file_bytes=container.header.file_bytes,
        version=container.header.version,
        synthetic=skeleton.graph.synthetic,
        bytes_by_section={
            "header": container.header.file_bytes - sum(by_section.values()),
            **by_section,
        },
        parameters=parameters,
        dense_fp32_bytes=4 * parameters,
        slices_kxk=sum(layer.slices for layer in kxk),
        zero_slices_kxk=sum(layer.zero_slices for layer in kxk),
        slices_1x1=sum(layer.slices for layer in one),
        zero_slices_1x1=sum(layer.zero_slices for layer in one),
        macs=sum(layer.macs for layer in layers),
        macs_left=sum(layer.macs_left for layer in layers),
        layers=tuple(layers),
        input_shape=skeleton.graph.input_shape,
        meta=skeleton.graph.meta,
    )


def _other_parameters(skeleton: Skeleton) -> int:
    """Scales and shifts of channels, and constants."""
    total = 0
    for node in skeleton.graph.nodes:
        if isinstance(node.op, ChannelAffine):
            total += 2 * node.op.channels
        elif isinstance(node.op, Constant):
            total += skeleton.weights[node.name].size
    return total


def _layers(skeleton: Skeleton, path: str) -> list[LayerSummary]:
    # Shapes are the graph room's knowledge, and needed for multiply-accumulates only.
    from lilnetx.graph.cost import weight_uses
    from lilnetx.graph.shapes import infer_shapes

    try:
        shapes = infer_shapes(skeleton.graph)
    except GraphError as error:
        raise CorruptSectionError(f"{path}: GRPH: {error}; pack the network again") from error
    return [
        _layer(
            node,
            node.op,
            skeleton.weights[node.name],
            weight_uses(node.op, shapes[node.inputs[0]], shapes[node.name]),
        )
        for node in skeleton.graph.nodes
        if isinstance(node.op, Weighted)
    ]


def _layer(node: Node, op: Weighted, info: WeightInfo, area: int) -> LayerSummary:
    shape = weight_shape(op)
    weights = 1
    for size in shape:
        weights *= size
    g = 1 if info.dense else info.shape[2]
    taps = g if is_pointwise(op) else weights // info.slices
    return LayerSummary(
        name=node.name,
        op=type(op).__name__,
        shape=shape,
        dense=info.dense,
        slices=info.slices,
        zero_slices=info.slices - info.nonzero,
        parameters=weights + (filters(op) if node.bias is not None else 0),
        macs=weights * area,
        macs_left=min(info.nonzero * taps, weights) * area,
    )


def _pointwise(node: Node) -> bool:
    return isinstance(node.op, Weighted) and is_pointwise(node.op)
