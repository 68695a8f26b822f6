"""How pixels are normalised, as ``lilnetx pack`` is told it and ``lilnetx eval`` reads it."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Any

from lilnetx.cli.common import positive_float
from lilnetx.errors import UsageError
from lilnetx.graph.ir import Graph

# Without --scale, the largest pixel becomes 1.
_SCALE = 1 / 255


@dataclass(frozen=True)
class Normalisation:
    """From a pixel, 0 to 255, to what the network takes: ``(pixel * scale - mean) / std``.

    Attributes:
        mean: Of each channel, or one for all.
        std: Likewise.
        scale: Factor of the pixels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float


def add_options(group: argparse._ArgumentGroup) -> None:
    """The options ``--mean``, ``--std`` and ``--scale``."""
    group.add_argument(
        "--mean",
        metavar="M[,M,M]",
        help="of pictures, by channel: (pixel * scale - mean) / std; 'lilnetx eval' finds it in "
        "the file",
    )
    group.add_argument("--std", metavar="S[,S,S]", help="of pictures, likewise")
    group.add_argument(
        "--scale",
        type=positive_float,
        metavar="X",
        help="of pictures' pixels, 0 to 255, before mean and std (default: 1/255)",
    )


def normalisation(args: argparse.Namespace) -> Normalisation | None:
    """What the options say; None where they say nothing.

    Raises:
        UsageError: They say half of it, or something that cannot be meant.
    """
    if (args.mean is None) != (args.std is None):
        raise UsageError("--mean and --std belong together: give both")
    if args.mean is None:
        return None
    mean, std = _numbers("--mean", args.mean), _numbers("--std", args.std)
    if min(std) <= 0:
        raise UsageError(f"--std {args.std}: must be above 0")
    scale = _SCALE if args.scale is None else args.scale
    # No mean or deviation of pixels is larger than the largest pixel.
    if max(*map(abs, mean), *std) > max(1.0, 255 * scale):
        raise UsageError(
            f"--mean {args.mean} --std {args.std}: pixels are multiplied by {scale:.3g} before; "
            "means and deviations of pixels from 0 to 255 need --scale 1"
        )
    return Normalisation(mean, std, scale)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(map(math.isfinite, numbers)):
        raise UsageError(f"{option} {text}: expected numbers such as 0.485,0.456,0.406")
    return numbers


def input_meta(args: argparse.Namespace, graph: Graph) -> dict[str, Any]:
    """What a file's metadata say of its input: mean and deviation of pixels scaled to 1.

    Args:
        args: The options.
        graph: The network.

    Raises:
        UsageError: The options do not fit the network, or see :func:`normalisation`.
    """
    told = normalisation(args)
    if told is None:
        return {}
    if graph.more_inputs or len(graph.input_shape) != 3:
        shapes = " and ".join(str(tuple(shape)) for shape in graph.inputs.values())
        raise UsageError(f"--mean and --std are of pictures; the network's input is {shapes}")
    channels = graph.input_shape[0]
    stored = {}
    for name in ("mean", "std"):
        values = getattr(told, name)
        if len(values) not in (1, channels):
            raise UsageError(
                f"--{name} {getattr(args, name)}: {len(values)} values for {channels} channels; "
                "give one, or one for each channel"
            )
        wide = values * (channels // len(values))
        stored[name] = [value / (255 * told.scale) for value in wide]
    return {"input": stored}


__all__ = ["Normalisation", "add_options", "input_meta", "normalisation"]
