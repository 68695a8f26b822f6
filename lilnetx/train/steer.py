"""Targets instead of weights: the penalty is steered until the file, or the computation, fits.

Every few steps the size reached is compared with the size wanted at that moment, and the weight of
the term that moves it (the rate for bytes, the slice norms for multiply-accumulates) is multiplied
accordingly. What is wanted falls geometrically from the start's size to the target over the first
part of the run and then stays.

Computation settles at the end of that part: the slices that matter least are set to zero until it
is next to its target, those that are zero stay so, and the rest of the run recovers the accuracy.
Bytes settle a little later, and follow their target to the end. What little is then above either is
trimmed in the same way.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lilnetx.errors import UnsupportedOperatorError, UsageError
from lilnetx.format.latents import encode_latents
from lilnetx.format.weight_info import WeightInfo
from lilnetx.train.handle import CompressionHandle

# Corrections in a run.
_CORRECTIONS = 200
# How much stronger the answer is to a size below the wanted one: the penalty has to give way before
# much more is lost than was asked for. Far stronger, and slices come back in crowds.
_LET_GO = 12.0
# The part of a target that may lie in slices which the steered term does not reach.
_OUT_OF_REACH = 0.5
# The weight stays within this factor of its start.
_BOUND = 1e4
# When computation settles, as a share of what is left of the run after the target holds, and to how
# much of its target: the rate goes on to take slices with it, some percent of what is left, and the
# end takes what is still above.
_SETTLING = ((0.0, 1.02), (0.5, 1.005))
# The same for bytes: what is cut after the last step, nothing recovers.
_SETTLING_BYTES = ((0.85, 1.02), (0.93, 1.005))


@dataclass
class _Loop:
    """One controlled quantity: its target, the objective's field that moves it, and the past."""

    field: str
    target: float
    # Share of the run after which the target holds, and how the weight's logarithm answers to the
    # size's: at once, and by its integral over the run.
    arrival: float
    at_once: float
    integral_gain: float
    first: float = 0.0
    weight: float = 0.0
    integral: float = 0.0
    settled: int = 0


class Steering:
    """Adjusts ``handle.objective`` during training.

    Args:
        handle: Of the model in training.
        target_bytes: Whole file, or 0 for no target.
        target_macs: Multiply-accumulates of one image, or 0.
        file_bytes: Gives the bytes of the file that the model would be packed into now.
        macs_settled: Share of the run after which ``target_macs`` holds.
    """

    def __init__(
        self,
        handle: CompressionHandle,
        target_bytes: int,
        target_macs: int,
        file_bytes: Callable[[], int],
        macs_settled: float,
    ) -> None:
        self._handle, self._file_bytes = handle, file_bytes
        self._target_bytes, self._target_macs = target_bytes, target_macs
        self._loops = []
        if target_bytes:
            # What is above it at the end is trimmed; nothing brings back what is below.
            self._loops.append(_Loop("rate", target_bytes, 0.7, 4.0, 30.0))
        if target_macs:
            target = target_macs * _SETTLING[0][1]
            self._loops.append(_Loop("slices", target, macs_settled, 4.0, 25.0))
        self._beside = 0

    def prepare(self) -> None:
        """Let the slices' weight reach single latents too, if most of the computation is theirs.

        To be called when output areas are known, at the start and when a run goes on.
        """
        layers = self._handle.report().layers
        alone = sum(r.slices * r.macs_per_slice for r in layers if r.latents == r.slices)
        if alone > _OUT_OF_REACH * self._target_macs > 0:
            self._handle.objective = replace(self._handle.objective, single_latents=True)

    def calibrate(self) -> None:
        """Learn how many bytes the file has beside its coded latents.

        Raises:
            UsageError: They are more than the target.
        """
        if self._target_bytes:
            self._beside = self._file_bytes() - coded_bytes(self._handle)
            if self._beside >= self._target_bytes:
                raise UsageError(
                    f"target_bytes of {self._target_bytes} cannot be reached: names, decoders, "
                    f"biases and the shape of this network take {self._beside} bytes"
                )

    def _reached(self, loop: _Loop) -> float:
        if loop.field == "slices":
            return max(1.0, float(self._handle.report().macs_left))
        return max(1.0, coded_bytes(self._handle) + self._beside)

    def update(self, step: int, total: int) -> None:
        """Correct the weights, a fixed number of times in a run."""
        period = max(1, total // _CORRECTIONS)
        if step % period:
            return
        for loop in self._loops:
            if loop.field == "slices" and step / total >= loop.arrival:
                self._settle(loop, step / total)
                continue
            if loop.field == "rate":
                self._settle_bytes(loop, step / total)
            reached = self._reached(loop)
            if not loop.first:
                loop.first = reached
                loop.weight = getattr(self._handle.objective, loop.field)
            share = min(1.0, step / total / loop.arrival)
            deviation = math.log(reached) - (1 - share) * math.log(loop.first)
            deviation -= share * math.log(loop.target)
            bound = math.log(_BOUND)
            loop.integral += loop.integral_gain * deviation * period / total
            loop.integral = min(max(loop.integral, -bound), bound)
            at_once = loop.at_once * (_LET_GO if deviation < 0 else 1.0)
            answer = min(max(loop.integral + at_once * deviation, -bound), bound)
            self._set(loop, loop.weight * math.exp(answer))

    def _settle(self, loop: _Loop, done: float) -> None:
        left = (done - loop.arrival) / (1 - loop.arrival)
        if loop.settled < len(_SETTLING) and left >= _SETTLING[loop.settled][0]:
            self._cut_macs(_SETTLING[loop.settled][1])
            self._handle.fix_zero_slices()
            self._set(loop, 0.0)
            loop.settled += 1

    def _settle_bytes(self, loop: _Loop, done: float) -> None:
        if loop.settled < len(_SETTLING_BYTES) and done >= _SETTLING_BYTES[loop.settled][0]:
            most = _SETTLING_BYTES[loop.settled][1] * self._target_bytes
            trim_slices(self._handle, lambda: coded_bytes(self._handle) + self._beside <= most)
            self._handle.fix_zero_slices()
            loop.settled += 1

    def _cut_macs(self, factor: float) -> int:
        most = factor * self._target_macs
        return trim_slices(self._handle, lambda: self._handle.report().macs_left <= most)

    def _set(self, loop: _Loop, weight: float) -> None:
        objective = self._handle.objective
        self._handle.objective = (
            replace(objective, rate=weight)
            if loop.field == "rate"
            else replace(objective, slices=weight)
        )

    def trim(self) -> int:
        """Set the least slices to zero until the targets are met; returns their number."""
        count = self._cut_macs(1.0) if self._target_macs else 0
        if self._target_bytes:
            count += trim_slices(self._handle, lambda: self._file_bytes() <= self._target_bytes)
        return count

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "beside": self._beside,
            "loops": [[p.first, p.weight, p.integral, p.settled] for p in self._loops],
            "weights": [getattr(self._handle.objective, loop.field) for loop in self._loops],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from :meth:`state`."""
        self._beside = int(state["beside"])
        for loop, past, now in zip(self._loops, state["loops"], state["weights"], strict=True):
            loop.first, loop.weight, loop.integral = map(float, past[:3])
            loop.settled = int(past[3])
            self._set(loop, float(now))


@torch.no_grad()
def trim_slices(handle: CompressionHandle, fits: Callable[[], bool]) -> int:
    """Zero as few slices as make ``fits`` true, those of the least mean square first.

    The sum of squares would take the single latents of pointwise layers before all else, which save
    little and matter much.

    Returns:
        How many slices were set to zero.

    Raises:
        UsageError: Not even a network without slices fits; nothing is changed then.
    """
    if fits():
        return 0
    before = [layer.original.clone() for layer in handle.layers]
    scores = []
    for layer in handle.layers:
        norms = layer.integers().float().square().mean(dim=-1).flatten()
        scores.append(torch.where(norms == 0, math.inf, norms))
    joined = torch.cat(scores)
    order = joined.argsort(stable=True)
    least, most = 0, int(joined.isfinite().sum())
    while most - least > 1:
        middle = (least + most) // 2
        _zero(handle, before, order[:middle])
        least, most = (least, middle) if fits() else (middle, most)
    _zero(handle, before, order[:most])
    if not fits():
        _zero(handle, before, order[:0])
        raise UsageError("the target cannot be reached, even with every slice at zero")
    return most


def _zero(handle: CompressionHandle, before: list[torch.Tensor], chosen: torch.Tensor) -> None:
    first = 0
    for layer, original in zip(handle.layers, before, strict=True):
        layer.original.copy_(original)
        count = original.shape[0] * original.shape[1]
        mine = chosen[(chosen >= first) & (chosen < first + count)] - first
        layer.original.view(count, -1)[mine] = 0
        first += count


@torch.no_grad()
def coded_bytes(handle: CompressionHandle) -> int:
    """Bytes of the latents as a file codes them now.

    Their self-information is no measure early in a run, when the density is still to be learnt.
    """
    decoders: dict[str, int] = {}
    latents, infos = [], []
    for layer in handle.layers:
        integers = layer.integers().cpu().numpy()
        nonzero = int(np.count_nonzero(integers.any(axis=2)))
        slices = integers.shape[0] * integers.shape[1]
        decoder = decoders.setdefault(layer.parametrization.decoder.name, len(decoders))
        latents.append(np.ascontiguousarray(integers))
        infos.append(WeightInfo(False, integers.shape, slices, nonzero, decoder))
    return len(encode_latents(latents, infos))


def packed_bytes(
    model: nn.Module,
    handle: CompressionHandle,
    shape: tuple[int, ...],
    meta: dict[str, Any] | None = None,
) -> int:
    """Bytes of the file that the model packs into, its metadata included.

    Those of its latents alone, if it cannot be packed.
    """
    from lilnetx.packing import pack

    training = model.training
    model.eval()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.lnx"
            pack(model, path, input_shape=shape, meta=meta)
            return path.stat().st_size
    except UnsupportedOperatorError:
        return coded_bytes(handle)
    finally:
        model.train(training)
