"""Rate and distortion at pack time: latents move to cheaper integers where outputs hardly change.

Training prices a latent by a learned density; the file's coder knows more: a lonely slice in a
filter and a channel of zeros costs many bits, one among others few. And training stops at the
integers that the last step happened to leave. So, with the trained network as the reference, each
slice takes the integers of the least ``distortion + weight * bits``.

Distortion is the Kullback-Leibler divergence of the changed network's answers from the trained
one's, to second order: ``sum(h * change**2) / 2``, where h is the diagonal of the Fisher
information with respect to the latents. It is estimated from gradients for labels drawn from the
network's own answers: these are independent with mean zero, so the squared gradient of a batch's
sum is an unbiased estimate of the sum over its images. No labels are needed. The weight is the
largest that keeps the divergence, measured on images that h was not estimated from, within the
limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from lilnetx.errors import PackError
from lilnetx.packing.latent_bits import latent_bits
from lilnetx.train.latents import LatentParametrization

_BATCH = 50
_ROUNDS = 2  # The bits of the second follow from the integers of the first.
_STEPS = 10  # Halvings of the logarithm of the weight's range.
_LEAST_WEIGHT, _LARGEST_WEIGHT = 1e-10, 1e-3  # nats a bit


@dataclass(frozen=True)
class TrimReport:
    """What trimming did; shares are of all slices, of all latents or of the images, in [0, 1].

    Attributes:
        divergence: Mean Kullback-Leibler divergence from the trained network's answers, in nats.
        agreement: Images whose most likely class stayed the same.
        images: How many images these two were measured on.
        zero_slices_before: Zero slices of the trained network.
        zero_slices_after: Zero slices now.
        changed: Latents that have another integer now.
    """

    divergence: float
    agreement: float
    images: int
    zero_slices_before: float
    zero_slices_after: float
    changed: float


class _Layer:
    """A compressed layer: its trained integers, and how much each of them matters."""

    def __init__(self, module: nn.Module, parametrization: LatentParametrization) -> None:
        self.original: nn.Parameter = module.parametrizations.weight.original  # type: ignore
        self.unit = parametrization.unit
        self.decoder = parametrization.decoder.name
        self.trained = parametrization.integers(self.original).float()
        self.fisher = torch.zeros_like(self.trained)

    def set(self, integers: Tensor) -> None:
        with torch.no_grad():
            self.original.copy_(integers * self.unit)

    def add_gradient(self) -> None:
        if self.original.grad is not None:
            self.fisher += (self.original.grad * self.unit).square()


def trim(
    model: nn.Module,
    images: Tensor,
    divergence: float,
    *,
    seed: int = 0,
    progress: Callable[[float], None] = lambda done: None,
) -> TrimReport:
    """Changes the integers of a compressed classifier, in place, to ones that code in fewer bits.

    Args:
        model: A model of :func:`lilnetx.compress`; its output are logits ``(N, classes)``. It is
            left in eval mode.
        images: Calibration images, ``(N, C, H, W)`` float32, at least 20, as the network takes
            them. One half tells which latents matter, the other measures what was lost.
        divergence: Limit of the mean Kullback-Leibler divergence from the trained network, in nats.
            About 0.01 costs a classifier no accuracy that can be told from chance.
        seed: Of the labels that are drawn.
        progress: Called with the share of the work done, 0 to 1.

    Returns:
        What was changed and what it costs.

    Raises:
        PackError: Nothing is compressed, too few images, or the output is not ``(N, classes)``.
    """
    if not (math.isfinite(divergence) and divergence > 0):
        raise PackError(f"the divergence allowed must be above 0, not {divergence}")
    if len(images) < 20:
        raise PackError(f"trimming needs at least 20 calibration images, not {len(images)}")
    layers = _layers(model)
    model.eval()
    half = len(images) // 2
    _estimate_fisher(model, layers, images[:half], seed, progress)
    judge = _Judge(model, images[half:])
    best = [layer.trained for layer in layers]
    work, done = _ROUNDS * _STEPS, 0
    for _ in range(_ROUNDS):
        bits = latent_bits(best, [layer.decoder for layer in layers])
        low, high = math.log(_LEAST_WEIGHT), math.log(_LARGEST_WEIGHT)
        for _ in range(_STEPS):
            weight = math.exp((low + high) / 2)
            candidate = [
                bits[i].cheapest(layer.trained, layer.fisher, weight)
                for i, layer in enumerate(layers)
            ]
            _apply(layers, candidate)
            if judge.divergence() <= divergence:
                low, best = math.log(weight), candidate
            else:
                high = math.log(weight)
            done += 1
            progress(0.3 + 0.7 * done / work)
    _apply(layers, best)
    return TrimReport(
        judge.divergence(),
        judge.agreement(),
        len(images) - half,
        _zero_slices([layer.trained for layer in layers]),
        _zero_slices(best),
        sum(int((b != a.trained).sum()) for a, b in zip(layers, best, strict=True))
        / sum(b.numel() for b in best),
    )


def _layers(model: nn.Module) -> list[_Layer]:
    layers = []
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            first = module.parametrizations["weight"][0]  # type: ignore[index]
            if isinstance(first, LatentParametrization):
                layers.append(_Layer(module, first))
    if not layers:
        raise PackError("nothing to trim: the model has no integer latents (lilnetx.compress)")
    return layers


def _estimate_fisher(
    model: nn.Module,
    layers: list[_Layer],
    images: Tensor,
    seed: int,
    progress: Callable[[float], None],
) -> None:
    generator = torch.Generator().manual_seed(seed)
    for first in range(0, len(images), _BATCH):
        model.zero_grad(set_to_none=True)
        logits = model(images[first : first + _BATCH])
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise PackError("trimming needs a classifier: one output of shape (N, classes)")
        chances = logits.detach().softmax(1).cpu()
        labels = torch.multinomial(chances, 1, generator=generator)[:, 0].to(logits.device)
        functional.cross_entropy(logits, labels, reduction="sum").backward()  # type: ignore
        for layer in layers:
            layer.add_gradient()
        progress(0.3 * min(1.0, (first + _BATCH) / len(images)))
    model.zero_grad(set_to_none=True)
    for layer in layers:
        layer.fisher /= len(images)


class _Judge:
    """Compares a changed network with what it answered before."""

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self._model, self._images = model, images
        self._reference = self._answers()

    def divergence(self) -> float:
        answers = self._answers()
        found = functional.kl_div(answers, self._reference, reduction="batchmean", log_target=True)
        return float(found)

    def agreement(self) -> float:
        same = self._answers().argmax(1) == self._reference.argmax(1)
        return float(same.double().mean())

    @torch.no_grad()
    def _answers(self) -> Tensor:
        """Log-probabilities of all images, float64."""
        starts = range(0, len(self._images), 10 * _BATCH)
        parts = [self._model(self._images[i : i + 10 * _BATCH]).double() for i in starts]
        return torch.cat(parts).log_softmax(1)


def _apply(layers: list[_Layer], integers: list[Tensor]) -> None:
    for layer, values in zip(layers, integers, strict=True):
        layer.set(values)


def _zero_slices(integers: list[Tensor]) -> float:
    zero = sum(int((values == 0).all(dim=-1).sum()) for values in integers)
    return zero / sum(values[..., 0].numel() for values in integers)


__all__ = ["TrimReport", "trim"]
