"""The task loss, with or without a teacher (Hinton et al. 2015, arXiv 1503.02531)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def task_loss(
    logits: Tensor, labels: Tensor, taught: Tensor | None, weight: float, temperature: float
) -> Tensor:
    """Cross entropy, mixed with the divergence from a teacher's answers.

    Args:
        logits: float32, shape ``(N, classes)``.
        labels: int64, shape ``(N,)``.
        taught: The teacher's logits, or None.
        weight: Share of the divergence in [0, 1].
        temperature: Of both sides of the divergence, which is scaled by its square.
    """
    loss = functional.cross_entropy(logits, labels)
    if taught is None or weight == 0:
        return loss
    divergence = functional.kl_div(
        functional.log_softmax(logits / temperature, dim=1),
        functional.log_softmax(taught / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - weight) * loss + weight * temperature**2 * divergence
