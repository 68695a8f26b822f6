"""A network with given weights into one with integers: the whole way."""

from __future__ import annotations

import math
from collections.abc import Callable

from lilnetx.errors import CalibrationError, CompressionError
from lilnetx.graph.ir import Graph
from lilnetx.packing.calibrate.judge import Judge
from lilnetx.packing.calibrate.losses import is_classifier, random_projections
from lilnetx.packing.calibrate.network import RoundedNetwork
from lilnetx.packing.calibrate.report import CalibrationReport, make_report
from lilnetx.packing.calibrate.search import find_drop, find_size
from lilnetx.packing.calibrate.statistics import (
    Images,
    LayerStatistics,
    collect_importance,
    collect_moments,
    weighted_nodes,
)

LEAST_IMAGES = 8
# How much filters matter is one number each, and gradients take longest: so many images will do.
_GRADIENT_IMAGES = 256


def compress_trained(
    graph: Graph,
    images: Images,
    *,
    target_bytes: int | None = None,
    max_drop: float | None = None,
    slice_1x1: int = 1,
    seed: int = 0,
    compensate: bool = True,
    progress: Callable[[float], None] = lambda done: None,
) -> tuple[Graph, CalibrationReport]:
    """Replaces the weights of convolutions and linear layers by integers, without training.

    Args:
        graph: A network of one input, with weights of any kind.
        images: ``(N, *input_shape)``, float32, as the network takes them; at least 8, some hundred
            are better. One half tells which integers to take; the other measures what was lost,
            and nothing else.
        target_bytes: Size of the file, which will be met within 5 % below where the network allows.
        max_drop: Share of the held-out images, 0 to 1, whose most likely class may change; for
            networks that are no classifiers, the relative error that the outputs may have.
        slice_1x1: Input channels of a slice of 1×1 convolutions and linear layers.
        seed: Of the split and of random numbers.
        compensate: Whether weights make up for the rounding of others.
        progress: Called with the share of the work done, 0 to 1.

    Returns:
        The network and what was done to it.

    Raises:
        CalibrationError: Images that are too few, do not fit, hardly differ from each other, or
            make a layer's inputs overflow.
        CompressionError: A target that cannot be met, or nothing to compress.
    """
    if (target_bytes is None) == (max_drop is None):
        raise CompressionError("give either a size in bytes or a limit of the drop, not both")
    if max_drop is not None and not (math.isfinite(max_drop) and max_drop > 0):
        raise CompressionError(f"the drop allowed must be above 0, not {max_drop}")
    _check(graph, images)
    half = len(images) // 2
    calibration, held_out = images[:half], images[half:]
    classifier = is_classifier(graph)
    judge = Judge(graph, held_out, classifier)
    statistics = calibrate(
        graph, calibration, judge.energies, slice_1x1, seed, lambda done: progress(0.4 * done)
    )
    network = RoundedNetwork(graph, statistics, slice_1x1, compensate=compensate)

    def later(done: float) -> None:
        progress(0.4 + 0.6 * done)

    if target_bytes is not None:
        found = find_size(network, target_bytes, later)
    else:
        assert max_drop is not None
        found = find_drop(network, lambda c: judge.compare(c.graph).drop, max_drop, later)
    answers = judge.compare(found.graph)
    progress(1.0)
    return found.graph, make_report(graph, found.graph, statistics, half, answers)


def calibrate(
    graph: Graph,
    images: Images,
    energies: list[float],
    slice_1x1: int,
    seed: int,
    progress: Callable[[float], None] = lambda done: None,
) -> dict[str, LayerStatistics]:
    """What all layers must know before they are rounded, for any size.

    Args:
        graph: The network.
        images: ``(N, *input_shape)``.
        energies: Mean over images of the sum of squares of each output.
        slice_1x1: Input channels of a slice of 1×1 convolutions and linear layers.
        seed: Of random numbers.
        progress: Called with the share of the work done.
    """
    statistics = collect_moments(graph, images, slice_1x1, seed, lambda d: progress(0.5 * d))
    loss = random_projections(seed, energies)
    some = images[:_GRADIENT_IMAGES]
    collect_importance(graph, some, loss, statistics, lambda d: progress(0.5 + 0.5 * d))
    return statistics


def _check(graph: Graph, images: Images) -> None:
    if not weighted_nodes(graph):
        raise CompressionError("the network has no convolution or linear layer to compress")
    if graph.more_inputs:
        raise CalibrationError(
            f"the network has {len(graph.inputs)} inputs; calibration knows networks of one"
        )
    if images.shape[1:] != tuple(graph.input_shape):
        raise CalibrationError(
            f"calibration images have shape {images.shape[1:]}, the network takes "
            f"{tuple(graph.input_shape)}"
        )
    if len(images) < LEAST_IMAGES:
        raise CalibrationError(
            f"{len(images)} calibration images are too few: at least {LEAST_IMAGES} are needed, "
            "and some hundred are better"
        )


__all__ = ["LEAST_IMAGES", "calibrate", "compress_trained"]
