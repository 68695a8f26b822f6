"""Latents, their rounding, and the decoders that turn them into weights.

A compressed layer's weight is ``W_slice = round(phi_slice) @ Psi``: integer latents times a decoder
matrix that all layers of one kernel-size group share (LilNetX, arXiv 2204.02965, section 3). There
is no shift, so an all-zero latent slice is an all-zero weight slice.

Two choices of ours make the method fit existing training loops and files:

- The trained tensor is ``unit * phi``, in the scale of the weight it stands for, so that learning
  rates and weight decay that suit the dense network suit the compressed one.
- Decoder entries live on a fixed-point grid of ``2**-exponent``. Then ``round(phi) @ Psi`` is an
  integer product times a power of two, and every machine decodes the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from lilnetx.train.density import FactorisedDensity

_INT16 = 2**15 - 1
# Bits of the largest decoder entry at the start: far below the rounding of the latents, with room
# for the entries to grow eightfold within int16.
_START_BITS = 12


class _RoundAndDecode(torch.autograd.Function):
    """``round(latents / unit) @ grid``, roundings with an identity gradient: one node of the graph.

    The grid is the decoder's matrix rounded to multiples of ``2**-exponent`` within int16.
    """

    @staticmethod
    def forward(
        ctx: Any, latents: Tensor, matrix: Tensor, unit: float, exponent: int, exact: bool
    ) -> Tensor:
        rounded = (latents / unit).round_()
        # Many small layers: every operation that is saved here shows in the time of a step. Scaling
        # by a power of two changes no digit, so the values are those of the integer product.
        grid, inside = torch.ops.aten.fake_quantize_per_tensor_affine_cachemask(
            matrix, 2.0**-exponent, 0, -_INT16, _INT16
        )
        ctx.unit = unit
        ctx.save_for_backward(rounded, grid, inside)
        decoded: Tensor
        if exact:
            decoded = (rounded.double() @ grid.double()).to(latents.dtype)
        else:
            decoded = (rounded.view(-1, len(grid)) @ grid).view_as(latents)
        return decoded

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rounded, grid, inside = ctx.saved_tensors
        slices = grads[0].reshape(-1, len(grid))
        by_latents = slices @ (grid.T / ctx.unit)
        by_matrix = rounded.view_as(slices).T @ slices
        # An entry beyond the grid's end may only come back.
        by_matrix.mul_(inside | (by_matrix * grid > 0))
        return by_latents.view_as(rounded), by_matrix, None, None, None


class LatentDecoder(nn.Module):
    """The decoder ``Psi`` of one kernel-size group, with the density that prices its latents.

    Attributes:
        name: Name of the group, e.g. ``"3x3"``.
        matrix: Parameter, shape ``(n, n)``, float32; n is the slice length.
        exponent: Entries are evaluated on the grid ``2**-exponent``.
        density: One density channel per tap.
    """

    def __init__(
        self, name: str, length: int, scale: float, rotation: Tensor | None = None
    ) -> None:
        """Starts as ``scale`` times the identity, or times an orthogonal ``rotation``."""
        super().__init__()
        self.name = name
        self.matrix = nn.Parameter((torch.eye(length) if rotation is None else rotation) * scale)
        self.exponent = _START_BITS - math.ceil(math.log2(scale))
        self.density = FactorisedDensity(length)

    def integers(self) -> Tensor:
        """The entries as int32 multiples of ``2**-exponent``, within int16."""
        scaled = self.matrix.detach() * 2.0**self.exponent
        return torch.round(scaled).clamp_(-_INT16, _INT16).to(torch.int32)

    def forward(self, latents: Tensor, *, unit: float, exact: bool) -> Tensor:
        """Rounds latents ``(..., n)``, given times ``unit``, and decodes them.

        ``exact`` sums in float64, as the file's reader does. In float32 the product is exact too
        while sums stay below ``2**24``, which is nearly always.
        """
        decoded: Tensor = _RoundAndDecode.apply(  # type: ignore[no-untyped-call]
            latents, self.matrix, unit, self.exponent, exact
        )
        return decoded

    def get_extra_state(self) -> dict[str, Any]:
        """The grid belongs to a checkpoint as much as the matrix does."""
        return {"exponent": self.exponent}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores the grid."""
        self.exponent = int(state["exponent"])

    def extra_repr(self) -> str:
        """Shown by ``print(model)``."""
        return f"{self.name}, exponent={self.exponent}"


class LatentParametrization(nn.Module):
    """Presents latents as a layer's ``weight`` (for ``torch.nn.utils.parametrize``).

    The trained tensor has shape ``(F, S, n)``: F filters of S slices of n latents, times ``unit``.

    Attributes:
        decoder: The group's decoder.
        weight_shape: Shape of the weight it stands for.
        unit: Size of one latent step in the trained tensor.
    """

    kept: Tensor

    def __init__(self, decoder: LatentDecoder, weight_shape: tuple[int, ...], unit: float) -> None:
        super().__init__()
        self.decoder = decoder
        self.weight_shape = weight_shape
        self.length = decoder.matrix.shape[0]
        self.unit = unit
        # 0 for slices that are fixed to zero, else 1. A buffer, as what belongs to the layer in
        # checkpoints, on devices and in moving averages.
        slices = math.prod(weight_shape[1:]) / self.length
        self.register_buffer("kept", torch.ones(weight_shape[0], math.ceil(slices), 1))

    def latents(self, original: Tensor) -> Tensor:
        """The unrounded latents, shape ``(F, S, n)``, in units of the quantisation step."""
        return original * self.kept / self.unit

    def integers(self, original: Tensor) -> Tensor:
        """The latents as int32, shape ``(F, S, n)``."""
        return torch.round(self.latents(original.detach())).to(torch.int32)

    def fix_zero_slices(self, original: Tensor) -> None:
        """Keep the slices that are zero now at zero from here on."""
        zero = (self.integers(original) == 0).all(dim=-1, keepdim=True)
        # Anew, not in place: a step's backward pass may still need the old one.
        self.kept = (~zero).to(self.kept.dtype)

    def forward(self, original: Tensor) -> Tensor:
        """The weight that the layer uses, shape ``weight_shape``."""
        device = original.device.type
        if not torch.is_autocast_enabled(device):
            return self._decode(original)
        # Reduced precision would break the exactness of the integer product.
        with torch.autocast(device, enabled=False):
            return self._decode(original)

    def _decode(self, original: Tensor) -> Tensor:
        slices = self.decoder(original.float() * self.kept, unit=self.unit, exact=not self.training)
        return unslice(slices, self.weight_shape)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The latents whose decoded weight is nearest to ``weight`` before rounding."""
        slices = to_slices(weight.detach().float(), self.length)
        phi = torch.linalg.solve(self.decoder.matrix.detach().double().T, slices.double().mT)
        original: Tensor = (phi.mT * self.unit).float().contiguous()
        return original

    def get_extra_state(self) -> dict[str, Any]:
        """What belongs to a checkpoint as much as the latents do."""
        return {"unit": self.unit}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores the unit."""
        self.unit = float(state["unit"])

    def extra_repr(self) -> str:
        """Shown by ``print(model)``."""
        return f"weight_shape={self.weight_shape}, slice={self.length}"


def is_pointwise(weight_shape: tuple[int, ...]) -> bool:
    """Whether slices run over input channels (1x1 and linear) rather than over kernel taps."""
    return len(weight_shape) == 2 or weight_shape[2:] == (1, 1)


def to_slices(weight: Tensor, length: int) -> Tensor:
    """A weight ``(F, C, Kh, Kw)`` or ``(F, C)`` as slices ``(F, S, length)``, zero-padded."""
    filters = weight.shape[0]
    if not is_pointwise(tuple(weight.shape)):
        return weight.reshape(filters, weight.shape[1], length)
    rows = weight.reshape(filters, -1)
    padding = -rows.shape[1] % length
    return nn.functional.pad(rows, (0, padding)).reshape(filters, -1, length)


def unslice(slices: Tensor, weight_shape: tuple[int, ...]) -> Tensor:
    """The inverse of :func:`to_slices`."""
    if is_pointwise(weight_shape):
        rows = slices.reshape(weight_shape[0], -1)[:, : weight_shape[1]]
        return rows.reshape(weight_shape)
    return slices.reshape(weight_shape)
