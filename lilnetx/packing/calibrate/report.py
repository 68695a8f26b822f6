"""What compression did to a network, layer by layer and as a whole."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lilnetx.format.shares import layer_bytes
from lilnetx.format.writer import encode_lnx, encode_sections
from lilnetx.graph.ir import Graph, LatentWeight, Node, Weighted
from lilnetx.graph.weights import dense_weight
from lilnetx.packing.calibrate.judge import Answers
from lilnetx.packing.calibrate.statistics import LayerStatistics, groups_of


@dataclass(frozen=True)
class LayerReport:
    """One layer.

    Attributes:
        name: Of its node.
        op: Of its operator.
        weights: Number of weights.
        bytes: Its share of the file: integers, scales and biases.
        slices: Number of slices.
        zero_slices: How many of them are zero.
        output_error: Norm of the change of its outputs by their norm, bias included, for the
            original's inputs from the calibration images.
    """

    name: str
    op: str
    weights: int
    bytes: int
    slices: int
    zero_slices: int
    output_error: float

    @property
    def bits(self) -> float:
        """Bits for each weight."""
        return 8 * self.bytes / max(self.weights, 1)


@dataclass(frozen=True)
class CalibrationReport:
    """The whole network.

    Attributes:
        layers: In order.
        file_bytes: Size of the file, without what is added to its metadata later.
        calibration_images: Images that the integers were chosen by.
        held_out: How the network answers to images that were not among these.
    """

    layers: tuple[LayerReport, ...]
    file_bytes: int
    calibration_images: int
    held_out: Answers

    @property
    def zero_slices(self) -> float:
        """Share of all slices."""
        slices = sum(layer.slices for layer in self.layers)
        return sum(layer.zero_slices for layer in self.layers) / max(slices, 1)

    def as_json(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "file_bytes": self.file_bytes,
            "zero_slices": self.zero_slices,
            "calibration_images": self.calibration_images,
            "held_out": asdict(self.held_out),
            "layers": [{**asdict(layer), "bits": layer.bits} for layer in self.layers],
        }


def make_report(
    original: Graph,
    compressed: Graph,
    statistics: dict[str, LayerStatistics],
    images: int,
    held_out: Answers,
) -> CalibrationReport:
    """What became of each layer.

    Args:
        original: The network as it was.
        compressed: The same nodes with integers.
        statistics: Of the layers' inputs.
        images: How many images these are of.
        held_out: How the compressed network answers to others.
    """
    sizes = {name.decode(): len(data) for name, data in encode_sections(compressed).items()}
    shares = {share.name: share for share in layer_bytes(compressed, sizes)}
    layers = []
    for before, after in zip(original.nodes, compressed.nodes, strict=True):
        if not isinstance(after.weight, LatentWeight):
            continue
        live = after.weight.latents.any(axis=2)
        weight = dense_weight(original, before)
        change = dense_weight(compressed, after) - weight
        layers.append(
            LayerReport(
                after.name,
                type(after.op).__name__,
                weight.size,
                shares[after.name].total,
                live.size,
                int(live.size - live.sum()),
                _relative_error(before, after, weight, change, statistics[after.name]),
            )
        )
    return CalibrationReport(tuple(layers), len(encode_lnx(compressed)), images, held_out)


def _relative_error(
    before: Node,
    after: Node,
    weight: np.ndarray,
    change: np.ndarray,
    statistics: LayerStatistics,
) -> float:
    """Norm of the outputs' change by the outputs' norm."""
    zero = np.zeros(len(weight))
    bias = zero if before.bias is None else before.bias.astype(np.float64)
    bias_change = zero if after.bias is None else after.bias.astype(np.float64) - bias
    assert isinstance(before.op, Weighted)
    groups = groups_of(before.op)
    energies = [
        _energy(rows.reshape(groups, len(rows) // groups, -1), added, statistics)
        for rows, added in ((change.astype(np.float64), bias_change), (weight, bias))
    ]
    return math.sqrt(max(energies[0], 0.0) / max(energies[1], 1e-300))


def _energy(rows: np.ndarray, bias: np.ndarray, statistics: LayerStatistics) -> float:
    """Sum of squares of ``rows @ x + bias``, a mean over images; blocks count as uncorrelated."""
    offsets = bias.reshape(len(rows), -1)
    total = statistics.positions * float((offsets**2).sum())
    total += 2 * float((offsets * (rows @ statistics.sums[:, :, None])[:, :, 0]).sum())
    for moment, (first, last) in zip(statistics.moments, statistics.blocks, strict=True):
        part = rows[:, :, first:last].astype(np.float64)
        total += float(((part @ moment) * part).sum())
    return total


__all__ = ["CalibrationReport", "LayerReport", "make_report"]
