"""What it costs when outputs change."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lilnetx.graph.ir import Graph
from lilnetx.graph.shapes import infer_shapes

Loss = Callable[[tuple[Tensor, ...]], Tensor]


def is_classifier(graph: Graph) -> bool:
    """Whether the network gives one value for each of several classes, and nothing else."""
    if len(graph.outputs) != 1:
        return False
    shape = infer_shapes(graph)[graph.outputs[0]]
    return len(shape) == 1 and shape[0] > 1


def random_projections(seed: int, energies: list[float]) -> Loss:
    """The sum of outputs with random signs, each output by its root mean square norm.

    The mean square of its gradients is that of the relative error of the outputs. (The Fisher
    information of a classifier's answers, which is small wherever these are sure, was tried
    instead, and did worse, on the calibration images as on others.) Probabilities count by
    their logarithms, as their order is what matters.

    Args:
        seed: Of the signs.
        energies: Mean over images of the sum of squares of each output.
    """
    generator = torch.Generator().manual_seed(seed)

    def loss(outputs: tuple[Tensor, ...]) -> Tensor:
        total = outputs[0].new_zeros(())
        for output, energy in zip(outputs, energies, strict=True):
            signs = torch.randint(0, 2, output.shape, generator=generator) * 2.0 - 1.0
            total = total + (_scores(output) * signs).sum() / max(energy, 1e-30) ** 0.5
        return total

    return loss


def _scores(output: Tensor) -> Tensor:
    """The output, or its logarithm where it holds probabilities of classes."""
    if output.dim() != 2 or output.shape[1] < 2:
        return output
    values = output.detach()
    if bool((values >= 0).all()) and bool(((values.sum(1) - 1).abs() < 1e-3).all()):
        return output.clamp_min(1e-6).log()
    return output


__all__ = ["Loss", "is_classifier", "random_projections"]
