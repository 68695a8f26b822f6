"""What a network's metadata tell whoever runs it: names of classes, and how pixels become input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from lilnetx.graph.ops.base import Shape


class Normalisation(NamedTuple):
    """How pixels become input: ``(pixel / 255 - mean) / std``, as :func:`lilnetx.data.normalise`.

    Attributes:
        mean: One for each channel, of images scaled to [0, 1].
        std: Likewise; above 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


def class_names(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the classes, in the order of the outputs; empty where ``meta`` holds none.

    Args:
        meta: Of a graph or file; the key ``"classes"`` is a list of texts.
    """
    names = meta.get("classes")
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(names)


def normalisation(meta: Mapping[str, Any], input_shape: Shape) -> Normalisation | None:
    """The normalisation of the pixels; None where ``meta`` holds none that fits the input.

    Args:
        meta: Of a graph or file; the key ``"input"`` is ``{"mean": [...], "std": [...]}``.
        input_shape: ``(C, H, W)``, of the first input.
    """
    try:
        stored = meta["input"]
        mean, std = (tuple(map(float, stored[key])) for key in ("mean", "std"))
    except (KeyError, TypeError, ValueError):
        return None
    fits = len(mean) == len(std) == next(iter(input_shape), None)
    if not (fits and all(map(math.isfinite, mean + std)) and all(value > 0 for value in std)):
        return None
    return Normalisation(mean, std)


__all__ = ["Normalisation", "class_names", "normalisation"]
