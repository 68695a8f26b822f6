"""What :func:`lilnetx.compress` returns: the compressed layers, their penalty, and reports."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from lilnetx.train.distributed import place_among_processes
from lilnetx.train.latents import LatentParametrization, is_pointwise
from lilnetx.train.objective import Objective
from lilnetx.train.rate import expected_bits_tables, slice_norms, table_bits
from lilnetx.train.report import CompressionReport, LayerCount, summarise


class CompressedLayer:
    """One compressed layer of a model: its latents, and the output area last seen."""

    def __init__(
        self, name: str, module: nn.Module, parametrization: LatentParametrization
    ) -> None:
        self.name = name
        self.module = module
        self.parametrization = parametrization
        # Pixels of one output image: every slice is applied once for each of them. Of a layer that
        # the model calls several times, of all the calls.
        self.output_area = 1
        # Of the calls so far in the model's pass under way; None outside of one.
        self.area_so_far: int | None = None
        module.register_forward_hook(self._record_output_area)

    def _record_output_area(self, module: nn.Module, args: Any, output: Tensor) -> None:
        # Linear layers may be applied at many positions, (N, ..., features).
        linear = isinstance(module, nn.Linear)
        # Sizes are tensors while torch.jit traces.
        area = math.prod(
            int(size) for size in (output.shape[1:-1] if linear else output.shape[-2:])
        )
        if self.area_so_far is not None:
            area = self.area_so_far = self.area_so_far + area
        self.output_area = area

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
        model.register_forward_pre_hook(self._begin_pass)
        model.register_forward_hook(self._end_pass, always_call=True)
        self._groups: dict[str, list[CompressedLayer]] = {}
        self._weights: dict[str, tuple[Any, Tensor]] = {}
        for layer in layers:
            self._groups.setdefault(layer.parametrization.decoder.name, []).append(layer)

    def _begin_pass(self, module: nn.Module, args: Any) -> None:
        for layer in self.layers:
            layer.area_so_far = 0

    def _end_pass(self, module: nn.Module, args: Any, output: Any) -> None:
        for layer in self.layers:
            layer.area_so_far = None

    @property
    def latent_count(self) -> int:
        """Number of latents in the model."""
        return sum(layer.original.numel() for layer in self.layers)

    def penalty(self, ramp: float = 1.0) -> Tensor:
        """The term to add to the task loss: a scalar with gradient.

        Where several processes train one model (``torch.distributed``), gradients are averaged over
        them. The penalty does not depend on images: the first process works it out, times the
        number of processes, and all others return a zero that has gradients of zero.

        Args:
            ramp: Factor in [0, 1] on the whole penalty, for a warm-up.
        """
        rank, ranks = place_among_processes()
        if rank:
            return self._zero_penalty()
        penalty = self._penalty(ramp) * (ranks / self.latent_count)
        return penalty if ranks == 1 else penalty + self._zero_penalty()

    def _zero_penalty(self) -> Tensor:
        """Zero, with every parameter that only the penalty reaches in its graph."""
        decoders = {id(d): d for d in (layer.parametrization.decoder for layer in self.layers)}
        sums = [p.sum() for d in decoders.values() for p in d.density.parameters()]
        return torch.stack(sums).sum() * 0.0

    def _penalty(self, ramp: float) -> Tensor:
        objective = self.objective
        rows = {name: _rows(members) for name, members in self._groups.items()}
        total = self._rate(rows, objective.rate * ramp)
        mean_area = self._mean_output_area()
        for name in self._groups:
            if objective.slices and (rows[name].shape[1] > 1 or objective.single_latents):
                weights = None
                if objective.cost_weighted:
                    weights = self._row_weights(name, mean_area)
                norms = slice_norms(
                    rows[name], weights, objective.slice_norm, concave=objective.concave
                )
                total = total + ramp * objective.slices * norms
            if objective.l2:
                total = total + ramp * objective.l2 * rows[name].square().sum()
        return total

    def _rate(self, rows: dict[str, Tensor], weight: float) -> Tensor:
        """``weight`` times the latents' self-information under the rounding's noise.

        Densities follow the latents at full weight, whatever theirs is: they must know the latents
        well when the rate is raised, and count their bits when there is none.
        """
        rows = {name: _scale_gradient(r, weight) for name, r in rows.items()}
        bits = self._bits(rows)
        return weight * bits.detach() + (bits - bits.detach())

    def _bits(self, rows: dict[str, Tensor]) -> Tensor:
        densities = [
            members[0].parametrization.decoder.density for members in self._groups.values()
        ]
        if self.objective.sampled_noise:
            sums = [
                density.bits(phi + torch.rand_like(phi) - 0.5).sum()
                for density, phi in zip(densities, rows.values(), strict=True)
            ]
        else:
            tables = expected_bits_tables(densities)
            sums = [table_bits(r, t) for r, t in zip(rows.values(), tables, strict=True)]
        return torch.stack(sums).sum()

    def fix_zero_slices(self) -> None:
        """Keep every slice that is zero now at zero: late in training, nothing then flickers."""
        for layer in self.layers:
            layer.parametrization.fix_zero_slices(layer.original)

    def _row_weights(self, group: str, mean_area: float) -> Tensor:
        """Cost of each slice of a group relative to the mean, shape ``(slices,)``."""
        members = self._groups[group]
        device = members[0].original.device
        # Areas hardly ever change: a table built anew each step would cost as much as the norms.
        key = (device, mean_area, *(m.output_area for m in members))
        if self._weights.get(group, (None,))[0] != key:
            counts = torch.tensor([m.original.shape[:2].numel() for m in members])
            areas = torch.tensor([m.output_area / mean_area for m in members])
            self._weights[group] = (key, areas.repeat_interleave(counts).to(device))
        return self._weights[group][1]

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


def _scale_gradient(values: Tensor, factor: float) -> Tensor:
    """The values, whose gradient is multiplied by a factor."""
    same: Tensor = _ScaledGradient.apply(values, factor)  # type: ignore[no-untyped-call]
    return same


class _ScaledGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None


def _rows(members: list[CompressedLayer]) -> Tensor:
    """All latents of a group, shape ``(slices, n)``."""
    first = members[0].parametrization
    kept = [m.original * m.parametrization.kept for m in members]
    # The unit is the group's: one division for all layers instead of one for each.
    return torch.cat([k.reshape(-1, first.length) for k in kept]) / first.unit
