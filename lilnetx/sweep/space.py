"""What a sweep varies: settings of a training run, each over a list of values or over a range."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lilnetx.errors import UsageError
from lilnetx.train.config import TrainConfig

# Trials of a range that are spread evenly before results steer the choice.
_EVEN = 10

Value = float | int


@dataclass(frozen=True)
class Choices:
    """A list of values."""

    values: tuple[Value, ...]


@dataclass(frozen=True)
class Range:
    """All values from ``low`` to ``high``; on a logarithmic scale where ``low`` is above 0."""

    low: Value
    high: Value

    @property
    def log(self) -> bool:
        """Whether distances are those of logarithms."""
        return self.low > 0

    def at(self, share: float) -> Value:
        """The value at a share in [0, 1] of the way from ``low`` to ``high``."""
        if self.log:
            value = math.exp(math.log(self.low) * (1 - share) + math.log(self.high) * share)
        else:
            value = self.low * (1 - share) + self.high * share
        value = min(max(value, self.low), self.high)
        return round(value) if isinstance(self.low, int) else value


class Space:
    """The settings that a sweep varies.

    Attributes:
        dimensions: Values by the name of a setting, a field of :class:`.TrainConfig`.
    """

    def __init__(self, dimensions: Mapping[str, Choices | Range]) -> None:
        if not dimensions:
            raise UsageError("a sweep must vary a setting: give --vary, such as rate=0.1..3")
        self.dimensions = dict(dimensions)

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Space:
        """From texts such as ``rate=0.1..3`` and ``target_bytes=8000,16000``.

        Raises:
            UsageError: A text is none of these, or names no number of a run's settings.
        """
        kinds = {
            field.name: type(field.default)
            for field in dataclasses.fields(TrainConfig)
            if type(field.default) in (int, float)
        }
        dimensions: dict[str, Choices | Range] = {}
        for text in texts:
            name, equals, values = text.partition("=")
            name = name.strip().replace("-", "_")
            if not equals or name not in kinds:
                raise UsageError(
                    f"--vary {text}: expected NAME=LOW..HIGH or NAME=A,B,C, where NAME is one of "
                    + ", ".join(kinds)
                )
            if name in dimensions:
                raise UsageError(f"--vary {text}: {name} is varied already")
            dimensions[name] = _dimension(text, values, kinds[name])
        return cls(dimensions)

    @property
    def grid_size(self) -> int | None:
        """How many points there are; None with a range, which has no end of them."""
        if any(isinstance(values, Range) for values in self.dimensions.values()):
            return None
        return math.prod(len(v.values) for v in self.dimensions.values() if isinstance(v, Choices))

    def point(self, slot: int) -> dict[str, Value]:
        """Values of one trial that are settled beforehand; those left out are for the sampler.

        Lists alone are a grid, taken in order. With a range, the first trials are spread evenly
        over all settings (the additive recurrence of Roberts 2018, "The unreasonable effectiveness
        of quasirandom sequences"), so that a curve is seen as a whole early.
        """
        if self.grid_size is not None:
            lists = [v.values for v in self.dimensions.values() if isinstance(v, Choices)]
            row = next(itertools.islice(itertools.product(*lists), slot, None))
            return dict(zip(self.dimensions, row, strict=True))
        if slot >= _EVEN:
            return {}
        shares = _even_shares(slot, len(self.dimensions))
        return {
            name: values.at(share)
            if isinstance(values, Range)
            else values.values[min(int(share * len(values.values)), len(values.values) - 1)]
            for (name, values), share in zip(self.dimensions.items(), shares, strict=True)
        }

    def suggest(self, trial: Any) -> dict[str, Value]:
        """The values of an Optuna trial: those settled beforehand, else what its sampler says."""
        found: dict[str, Value] = {}
        for name, values in self.dimensions.items():
            if isinstance(values, Choices):
                found[name] = trial.suggest_categorical(name, list(values.values))
            elif isinstance(values.low, int):
                found[name] = trial.suggest_int(name, values.low, int(values.high), log=values.log)
            else:
                found[name] = trial.suggest_float(name, values.low, values.high, log=values.log)
        return found

    def as_json(self) -> dict[str, str]:
        """Texts as :meth:`parse` takes them, by name."""
        return {
            name: f"{values.low}..{values.high}"
            if isinstance(values, Range)
            else ",".join(map(str, values.values))
            for name, values in self.dimensions.items()
        }


def _dimension(text: str, values: str, kind: type) -> Choices | Range:
    try:
        low, dots, high = values.partition("..")
        if not dots:
            chosen = tuple(kind(value) for value in values.split(","))
            if any(math.isnan(value) for value in chosen) or len(set(chosen)) < len(chosen):
                raise ValueError(values)
            return Choices(chosen)
        found = Range(kind(low), kind(high))
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise UsageError(
            f"--vary {text}: expected {what}, as LOW..HIGH or as a list without repetitions"
        ) from None
    if not (math.isfinite(found.low) and math.isfinite(found.high) and found.low < found.high):
        raise UsageError(f"--vary {text}: the range must rise from a number to a larger one")
    return found


def _even_shares(index: int, dimensions: int) -> list[float]:
    """The ``index``-th point of a low-discrepancy sequence in the unit cube."""
    ratio = 2.0
    for _ in range(50):
        ratio = (1 + ratio) ** (1 / (dimensions + 1))
    return [(0.5 + (index + 1) / ratio ** (axis + 1)) % 1.0 for axis in range(dimensions)]


__all__ = ["Choices", "Range", "Space", "Value"]
