"""How a compressed network answers, beside what the original answered to the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lilnetx.graph.ir import Graph
from lilnetx.graph.to_torch import to_torch
from lilnetx.packing.calibrate.statistics import Images, batches, outputs_of

_BATCH = 16


@dataclass(frozen=True)
class Answers:
    """How two networks' outputs compare.

    Attributes:
        images: How many images were compared.
        output_error: Norm of the outputs' change by their norm, over all images and outputs.
        agreement: Share of images with the same most likely class; None where the network is no
            classifier.
        interval: Where the true share lies with 95 % confidence (Wilson), if images are like these.
    """

    images: int
    output_error: float
    agreement: float | None
    interval: tuple[float, float] | None

    @property
    def drop(self) -> float:
        """What ``--max-drop`` limits: images whose class changed, or else the output error."""
        return self.output_error if self.agreement is None else 1 - self.agreement


class Judge:
    """Compares networks with an original over some images."""

    def __init__(self, graph: Graph, images: Images, classifier: bool) -> None:
        self._images, self._classifier = images, classifier
        self._expected = self._outputs(graph)

    @property
    def energies(self) -> list[float]:
        """Mean over images of the sum of squares, for each of the original's outputs."""
        return [float(y.double().square().sum()) / len(y) for y in self._expected]

    def compare(self, graph: Graph) -> Answers:
        """How a network's answers differ from the original's."""
        found = self._outputs(graph)
        change = energy = 0.0
        for a, b in zip(self._expected, found, strict=True):
            change += float((a.double() - b.double()).square().sum())
            energy += float(a.double().square().sum())
        error = math.sqrt(change / max(energy, 1e-300))
        if not self._classifier:
            return Answers(len(self._images), error, None, None)
        same = int((self._expected[0].argmax(1) == found[0].argmax(1)).sum())
        count = len(self._images)
        return Answers(count, error, same / count, wilson(same, count))

    @torch.no_grad()
    def _outputs(self, graph: Graph) -> list[Tensor]:
        network = to_torch(graph)
        parts = [outputs_of(network, batch) for batch in batches(self._images, _BATCH)]
        return [torch.cat(part) for part in zip(*parts, strict=True)]


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z = 1.959964
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    below = 1 + z * z / trials
    return max(0.0, (centre - spread) / below), min(1.0, (centre + spread) / below)


__all__ = ["Answers", "Judge", "wilson"]
