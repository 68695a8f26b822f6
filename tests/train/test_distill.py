import math

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from lilnetx.train.distill import task_loss  # noqa: E402

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
LABELS = torch.tensor([0, 0])
TAUGHT = torch.tensor([[4.0, 0.0], [0.0, 0.0]])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def divergence(taught: float, answered: float) -> float:
    """Of two classes' distributions, given by the difference of their logits."""
    p = 1 / (1 + math.exp(-taught))
    q = 1 / (1 + math.exp(-answered))
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


@pytest.mark.parametrize("weight", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_loss_mixes_cross_entropy_and_the_scaled_divergence(weight, temperature):
    entropy = (softplus(-2.0) + softplus(1.0)) / 2
    taught = divergence(4 / temperature, 2 / temperature) + divergence(0, -1 / temperature)
    expected = (1 - weight) * entropy + weight * temperature**2 * taught / 2
    loss = task_loss(LOGITS, LABELS, TAUGHT, weight, temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_without_a_teacher_it_is_cross_entropy():
    expected = torch.nn.functional.cross_entropy(LOGITS, LABELS)
    assert torch.equal(task_loss(LOGITS, LABELS, None, 0.7, 3.0), expected)
