"""``compress``: attach latents to any torch module, and the penalty that makes it small."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lilnetx.errors import CompressionError
from lilnetx.train.latents import LatentDecoder, LatentParametrization, is_pointwise
from lilnetx.train.report import CompressionReport, LayerCount, summarise

SLICE_NORMS = (1.0, 2.0, math.inf)


@dataclass(frozen=True)
class Objective:
    """Weights of the penalty; every term is divided by the number of latents.

    Attributes:
        rate: Weight of the latents' self-information, in bits.
        slices: Weight of the slices' norms; slices of a single latent are left to the rate.
        slice_norm: p of ``||phi_slice||_p``: 1, 2 or infinity.
        l2: Weight of the squared latents.
        cost_weighted: Weight each slice's norm by what the slice costs to compute (its output
            area relative to the mean over all slices), so that computation falls with size.
    """

    rate: float = 0.7
    slices: float = 0.5
    slice_norm: float = 2.0
    l2: float = 0.0
    cost_weighted: bool = True


class CompressedLayer:
    """One compressed layer of a model: its latents, and the output area last seen."""

    def __init__(
        self, name: str, module: nn.Module, parametrization: LatentParametrization
    ) -> None:
        self.name = name
        self.module = module
        self.parametrization = parametrization
        # Pixels of one output image: every slice is applied once for each of them.
        self.output_area = 1
        module.register_forward_hook(self._record_output_area)

    def _record_output_area(self, module: nn.Module, args: Any, output: Tensor) -> None:
        # Linear layers may be applied at many positions, (N, ..., features).
        linear = isinstance(module, nn.Linear)
        self.output_area = math.prod(output.shape[1:-1] if linear else output.shape[-2:])

    @property
    def original(self) -> nn.Parameter:
        """The trained tensor: latents times the layer's unit."""
        parametrizations = cast(Any, self.module).parametrizations
        return cast(nn.Parameter, parametrizations.weight.original)

    def latents(self) -> Tensor:
        """Unrounded latents, shape ``(F, S, n)``, differentiable."""
        return self.parametrization.latents(self.original)

    def integers(self) -> Tensor:
        """Rounded latents, int32, shape ``(F, S, n)``."""
        return self.parametrization.integers(self.original)


class CompressionHandle:
    """What :func:`compress` returns: the penalty for the loss, and reports.

    Attributes:
        model: The compressed model (changed in place).
        objective: The weights of the penalty; may be replaced during training.
        layers: The compressed layers, in the model's order.
    """

    def __init__(
        self, model: nn.Module, objective: Objective, layers: list[CompressedLayer]
    ) -> None:
        self.model = model
        self.objective = objective
        self.layers = layers
        self._groups: dict[str, list[CompressedLayer]] = {}
        for layer in layers:
            self._groups.setdefault(layer.parametrization.decoder.name, []).append(layer)

    @property
    def latent_count(self) -> int:
        """Number of latents in the model."""
        return sum(layer.original.numel() for layer in self.layers)

    def penalty(self, ramp: float = 1.0) -> Tensor:
        """The term to add to the task loss: a scalar with gradient.

        Args:
            ramp: Factor in [0, 1] on the whole penalty, for a warm-up.
        """
        objective, count = self.objective, self.latent_count
        total = torch.zeros((), device=self.layers[0].original.device)
        mean_area = self._mean_output_area()
        for members in self._groups.values():
            latents = [layer.latents() for layer in members]
            if objective.rate:
                density = members[0].parametrization.decoder.density
                rows = torch.cat([phi.reshape(-1, phi.shape[-1]) for phi in latents])
                noisy = rows + torch.rand_like(rows) - 0.5
                total = total + objective.rate * density.bits(noisy).sum()
            for layer, phi in zip(members, latents, strict=True):
                if objective.slices and phi.shape[-1] > 1:
                    weight = layer.output_area / mean_area if objective.cost_weighted else 1.0
                    norms = torch.linalg.vector_norm(phi, ord=objective.slice_norm, dim=-1)
                    total = total + objective.slices * weight * norms.sum()
                if objective.l2:
                    total = total + objective.l2 * phi.square().sum()
        return total * (ramp / count)

    def _mean_output_area(self) -> float:
        slices = [layer.original.shape[0] * layer.original.shape[1] for layer in self.layers]
        areas = [layer.output_area for layer in self.layers]
        return sum(s * a for s, a in zip(slices, areas, strict=True)) / sum(slices)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Optimiser groups with the learning rates that we found to work with Adam.

        Any optimiser over ``model.parameters()`` trains the model; these groups train it better:
        decoders, shared by every slice of a group, need smaller steps, densities larger ones.

        Args:
            learning_rate: For latents, in the scale of the weights (0.0015 is a good start).
        """
        latents = [layer.original for layer in self.layers]
        decoders = {id(d): d for d in (layer.parametrization.decoder for layer in self.layers)}
        matrices = [d.matrix for d in decoders.values()]
        densities = [p for d in decoders.values() for p in d.density.parameters()]
        ours = {id(p) for p in (*latents, *matrices, *densities)}
        others = [p for p in self.model.parameters() if id(p) not in ours]
        return [
            {"params": latents, "lr": learning_rate},
            {"params": matrices, "lr": learning_rate / 2},
            {"params": densities, "lr": learning_rate * 5},
            {"params": others, "lr": learning_rate * 2.5},
        ]

    @torch.no_grad()
    def report(self) -> CompressionReport:
        """Bits, bytes, zero slices and multiply-accumulates left, of the rounded latents.

        Multiply-accumulates are those of one image of the size last seen; before the first forward
        pass, of one output pixel a layer.
        """
        rows = []
        for layer in self.layers:
            integers = layer.integers()
            n = integers.shape[-1]
            density = layer.parametrization.decoder.density
            bits = float(density.bits(integers.reshape(-1, n).float()).sum())
            slices = integers.reshape(-1, n)
            rows.append(
                LayerCount(
                    name=layer.name,
                    group=layer.parametrization.decoder.name,
                    pointwise=is_pointwise(layer.parametrization.weight_shape),
                    latents=integers.numel(),
                    bits=bits,
                    slices=slices.shape[0],
                    zero_slices=int((slices == 0).all(dim=1).sum()),
                    macs_per_slice=n * layer.output_area,
                )
            )
        return summarise(rows)


def compress(
    model: nn.Module,
    objective: Objective | None = None,
    *,
    slice_1x1: int = 1,
    exclude: Iterable[str] = (),
    latent_width: float = 3.0,
) -> CompressionHandle:
    """Make a model's convolutions and linear layers train as integer latents, in place.

    An existing training loop needs two lines: this call before the optimiser is made, and
    ``loss = loss + handle.penalty()`` in the loop.

    Args:
        model: Any module with ``Conv2d`` or ``Linear`` layers. Its present weights, trained or
            fresh, are what the latents start from.
        objective: Weights of the penalty.
        slice_1x1: Input channels in a slice of 1x1 and linear layers: 1 (the paper) or 4.
        exclude: Names or patterns (``"stem*"``) of layers to leave dense.
        latent_width: Root mean square of a group's latents at the start, in quantisation steps.

    Returns:
        The handle.

    Raises:
        CompressionError: Nothing to compress, already compressed, or a bad argument.
    """
    objective = objective or Objective()
    if objective.slice_norm not in SLICE_NORMS:
        raise CompressionError(f"slice_norm must be 1, 2 or infinity, not {objective.slice_norm}")
    if slice_1x1 not in (1, 4):
        raise CompressionError(f"slice_1x1 must be 1 or 4, not {slice_1x1}")
    chosen = _layers_to_compress(model, tuple(exclude))
    groups: dict[str, list[tuple[str, nn.Conv2d | nn.Linear]]] = {}
    for name, module in chosen:
        groups.setdefault(_group_name(module, slice_1x1), []).append((name, module))
    parametrizations: dict[str, LatentParametrization] = {}
    for group, members in groups.items():
        weights = [module.weight.detach() for _, module in members]
        length = _slice_length(weights[0], slice_1x1)
        square = sum(float(w.double().square().sum()) for w in weights)
        rms = math.sqrt(square / sum(w.numel() for w in weights))
        unit = max(rms, 1e-6) / latent_width
        decoder = LatentDecoder(group, length, unit).to(weights[0].device)
        for name, module in members:
            shape = tuple(module.weight.shape)
            parametrization = LatentParametrization(decoder, shape, unit)
            # unsafe: the trained tensor's shape is that of slices, not that of the weight.
            parametrize.register_parametrization(module, "weight", parametrization, unsafe=True)
            parametrizations[name] = parametrization
    layers = [CompressedLayer(name, module, parametrizations[name]) for name, module in chosen]
    return CompressionHandle(model, objective, layers)


def _layers_to_compress(
    model: nn.Module, exclude: tuple[str, ...]
) -> list[tuple[str, nn.Conv2d | nn.Linear]]:
    named = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for name, module in named:
        if parametrize.is_parametrized(module, "weight"):
            raise CompressionError(
                f"layer {name!r} already has a parametrized weight: compress a model only once"
            )
    for pattern in exclude:
        if not any(fnmatchcase(name, pattern) for name, _ in named):
            known = ", ".join(name for name, _ in named)
            raise CompressionError(f"exclude={pattern!r} matches no layer; layers are: {known}")
    chosen = [(n, m) for n, m in named if not any(fnmatchcase(n, p) for p in exclude)]
    if not chosen:
        raise CompressionError("the model has no Conv2d or Linear layer to compress")
    seen: dict[int, str] = {}
    for name, module in chosen:
        weight = module._parameters.get("weight")
        if weight is None:
            raise CompressionError(
                f"layer {name!r} has no plain weight (pruned or normalised): make it permanent "
                "first, for example by torch.nn.utils.prune.remove"
            )
        if weight.dtype != torch.float32:
            raise CompressionError(
                f"layer {name!r} has a weight of {weight.dtype}; latents train in float32: use "
                "model.float(), and autocast for reduced precision"
            )
        if id(weight) in seen:
            raise CompressionError(
                f"layers {seen[id(weight)]!r} and {name!r} share one weight; exclude one of them"
            )
        seen[id(weight)] = name
    return chosen


def _group_name(module: nn.Conv2d | nn.Linear, slice_1x1: int) -> str:
    suffix = f"g{slice_1x1}" if slice_1x1 > 1 else ""
    if isinstance(module, nn.Linear):
        return f"linear{suffix}"
    kernel = f"{module.kernel_size[0]}x{module.kernel_size[1]}"
    return kernel + (suffix if kernel == "1x1" else "")


def _slice_length(weight: Tensor, slice_1x1: int) -> int:
    return slice_1x1 if is_pointwise(tuple(weight.shape)) else math.prod(weight.shape[2:])
