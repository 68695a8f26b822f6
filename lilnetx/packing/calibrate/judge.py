"""How a compressed network answers, beside what the original answered to the same images."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lilnetx.errors import CalibrationError
from lilnetx.graph.ir import Graph
from lilnetx.graph.to_torch import to_torch
from lilnetx.packing.calibrate.statistics import Images, batches, outputs_of

_BATCH = 16
# Images that differ by less than this share of their norm are taken to be one and the same.
_LEAST_VARIATION = 0.01
# With so large a share of images in one class, it is no merit to give them that class too.
_NEARLY_ALL = 0.95


@dataclass(frozen=True)
class Answers:
    """How two networks' outputs compare.

    Attributes:
        images: How many images were compared.
        output_error: Norm of the outputs' change by their norm, over all images and outputs.
        agreement: Share of images with the same most likely class; None where the network is no
            classifier.
        interval: Where the true share lies with 95 % confidence (Wilson), if images are like these.
        commonest: Share of images to which the original gives its most frequent class; None where
            the network is no classifier. Near 1, the agreement says little.
    """

    images: int
    output_error: float
    agreement: float | None
    interval: tuple[float, float] | None
    commonest: float | None

    @property
    def drop(self) -> float:
        """What ``--max-drop`` limits: images whose class changed, or else the output error."""
        return self.output_error if self.agreement is None else 1 - self.agreement


class Judge:
    """Compares networks with an original over some images.

    Warns (UserWarning) where the original gives nearly all of them one class.

    Args:
        graph: The original.
        images: ``(N, *input_shape)``, float32.
        classifier: Whether the network gives one value for each of several classes.

    Raises:
        CalibrationError: The images hardly differ from each other.
    """

    def __init__(self, graph: Graph, images: Images, classifier: bool) -> None:
        _require_variety(images)
        self._images, self._classifier = images, classifier
        self._expected = self._outputs(graph)
        self._commonest: float | None = None
        if classifier:
            counts = self._expected[0].argmax(1).bincount()
            self._commonest = int(counts.max()) / len(images)
            if self._commonest >= _NEARLY_ALL:
                warnings.warn(
                    f"the original network gives one class to {100 * self._commonest:.1f} % of the "
                    "held-out images, so that the same class afterwards says little; are the "
                    "images of several classes, and normalised as the network takes them?",
                    stacklevel=3,
                )

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
            return Answers(len(self._images), error, None, None, None)
        same = int((self._expected[0].argmax(1) == found[0].argmax(1)).sum())
        count = len(self._images)
        return Answers(count, error, same / count, wilson(same, count), self._commonest)

    @torch.no_grad()
    def _outputs(self, graph: Graph) -> list[Tensor]:
        network = to_torch(graph)
        parts = [outputs_of(network, batch) for batch in batches(self._images, _BATCH)]
        return [torch.cat(part) for part in zip(*parts, strict=True)]


def _require_variety(images: Images) -> None:
    """CalibrationError where images are all the same, or so shifted that they nearly are."""
    mean = images.mean(axis=0, dtype=np.float64)
    change = sum(float(np.square(image - mean).sum()) for image in images)
    energy = sum(float(np.square(image, dtype=np.float64).sum()) for image in images)
    variation = math.sqrt(change / max(energy, 1e-300))
    if variation < _LEAST_VARIATION:
        raise CalibrationError(
            f"the calibration images hardly differ from each other (by {100 * variation:.2g} % of "
            "their norm), so nothing can be told from them; give different images, normalised as "
            "the network takes them"
        )


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z = 1.959964
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    below = 1 + z * z / trials
    return max(0.0, (centre - spread) / below), min(1.0, (centre + spread) / below)


__all__ = ["Answers", "Judge", "wilson"]
