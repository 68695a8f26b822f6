"""What it costs when outputs change: what a classifier would answer, or by how much values differ."""

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


def log_chances(output: Tensor) -> Tensor:
    """Log-probabilities of the classes, of logits or of probabilities, ``(N, classes)``."""
    sums = output.detach().sum(1)
    if bool((output.detach() >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all()):
        return output.clamp_min(1e-12).log()
    return output.log_softmax(1)


def sampled_answers(seed: int) -> Loss:
    """Of a classifier: minus the log-probability of a class drawn from its own answer.

    The mean square of its gradients is the Fisher information: twice the Kullback-Leibler divergence
    that a change of weights leads to, to second order.
    """
    generator = torch.Generator().manual_seed(seed)

    def loss(outputs: tuple[Tensor, ...]) -> Tensor:
        logs = log_chances(outputs[0])
        drawn = torch.multinomial(logs.detach().exp(), 1, generator=generator)
        return -logs.gather(1, drawn).sum()

    return loss


def random_projections(seed: int, energies: list[float]) -> Loss:
    """Of any outputs: their sum with random signs, each output by its root mean square norm.

    The mean square of its gradients is that of the relative error of the outputs.

    Args:
        seed: Of the signs.
        energies: Mean over images of the sum of squares of each output.
    """
    generator = torch.Generator().manual_seed(seed)

    def loss(outputs: tuple[Tensor, ...]) -> Tensor:
        total = outputs[0].new_zeros(())
        for output, energy in zip(outputs, energies, strict=True):
            signs = torch.randint(0, 2, output.shape, generator=generator) * 2.0 - 1.0
            total = total + (output * signs).sum() / max(energy, 1e-30) ** 0.5
        return total

    return loss


__all__ = ["Loss", "is_classifier", "log_chances", "random_projections", "sampled_answers"]
