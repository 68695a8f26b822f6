"""``compress``: attach latents to any torch module, and the penalty that makes it small."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lilnetx.errors import CompressionError
from lilnetx.train.fit import decorrelating_rotation, group_step
from lilnetx.train.handle import CompressedLayer, CompressionHandle
from lilnetx.train.latents import LatentDecoder, LatentParametrization, is_pointwise
from lilnetx.train.objective import Objective


def compress(
    model: nn.Module,
    objective: Objective | None = None,
    *,
    slice_1x1: int = 1,
    exclude: str | Iterable[str] = (),
    latent_width: float = 3.0,
) -> CompressionHandle:
    """Make a model's convolutions and linear layers train as integer latents, in place.

    An existing training loop needs two lines: this call before the optimiser is made, and
    ``loss = loss + handle.penalty()`` in the loop. Layers whose weight is frozen
    (``requires_grad=False``) stay dense, with the weights that they have.

    Args:
        model: Any module with ``Conv2d`` or ``Linear`` layers. Its present weights, trained or
            fresh, are what the latents start from.
        objective: Weights of the penalty.
        slice_1x1: Input channels in a slice of 1x1 and linear layers: 1 (the paper) or 4.
        exclude: A name or pattern (``"stem*"``) of layers to leave dense, or several.
        latent_width: Root mean square of a group's latents at the start, in quantisation steps.

    Returns:
        The handle.

    Raises:
        CompressionError: Nothing to compress, already compressed, or a bad argument.
    """
    objective = objective or Objective()
    if not isinstance(objective, Objective):
        raise CompressionError(f"objective must be an Objective, not {type(objective).__name__}")
    objective.check()
    if slice_1x1 not in (1, 4):
        raise CompressionError(f"slice_1x1 must be 1 or 4, not {slice_1x1}")
    if not (math.isfinite(latent_width) and latent_width > 0):
        raise CompressionError(f"latent_width must be above 0, not {latent_width}")
    patterns = (exclude,) if isinstance(exclude, str) else tuple(exclude)
    chosen = _layers_to_compress(model, patterns)
    groups: dict[str, list[tuple[str, nn.Conv2d | nn.Linear]]] = {}
    for name, module in chosen:
        groups.setdefault(_group_name(module, slice_1x1), []).append((name, module))
    parametrizations: dict[str, LatentParametrization] = {}
    for group, members in groups.items():
        weights = [module.weight.detach() for _, module in members]
        length = _slice_length(weights[0], slice_1x1)
        unit = group_step(weights, latent_width)
        rotation = decorrelating_rotation(weights, length)
        decoder = LatentDecoder(group, length, unit, rotation).to(weights[0].device)
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
    chosen = [(n, m) for n, m in chosen if _check_weight(n, m._parameters.get("weight"))]
    if not chosen:
        raise CompressionError("the model has no Conv2d or Linear layer to compress")
    _refuse_shared_weights(model, chosen)
    return chosen


def _check_weight(name: str, weight: Tensor | None) -> bool:
    """Whether a layer's weight is trained; CompressionError if latents cannot stand for it."""
    if weight is None:
        raise CompressionError(
            f"layer {name!r} has no plain weight (pruned or normalised): make it permanent "
            "first, for example by torch.nn.utils.prune.remove"
        )
    if not weight.requires_grad:
        return False
    if weight.dtype != torch.float32:
        raise CompressionError(
            f"layer {name!r} has a weight of {weight.dtype}; latents train in float32: use "
            "model.float(), and autocast for reduced precision"
        )
    if not bool(weight.isfinite().all()):
        raise CompressionError(f"layer {name!r} has weights that are no finite numbers")
    return True


def _refuse_shared_weights(
    model: nn.Module, chosen: list[tuple[str, nn.Conv2d | nn.Linear]]
) -> None:
    """The other module would find latents in a shape of their own where it looks for its weight."""
    ours: dict[int, str] = {}
    for name, module in chosen:
        ours.setdefault(id(module.weight), name)
    for name, module in model.named_modules():
        for parameter in module._parameters.values():
            owner = ours.get(id(parameter), name)
            if owner != name:
                raise CompressionError(
                    f"modules {owner!r} and {name!r} share one weight: exclude both, or give each "
                    "a copy of its own"
                )


def _group_name(module: nn.Conv2d | nn.Linear, slice_1x1: int) -> str:
    suffix = f"g{slice_1x1}" if slice_1x1 > 1 else ""
    if isinstance(module, nn.Linear):
        return f"linear{suffix}"
    kernel = f"{module.kernel_size[0]}x{module.kernel_size[1]}"
    return kernel + (suffix if kernel == "1x1" else "")


def _slice_length(weight: Tensor, slice_1x1: int) -> int:
    return slice_1x1 if is_pointwise(tuple(weight.shape)) else math.prod(weight.shape[2:])
