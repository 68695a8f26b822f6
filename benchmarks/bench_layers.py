"""Single layers through the runtime, sparse and dense, one thread: ``make bench``.

Each result is checked against the float64 reference before it is timed. The time includes putting
the input into the runtime's layout and taking the output out of it; ``lilnetx-bench`` shows kernels
alone. ``LILNETX_ISA`` chooses the instruction set.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from cases import ConvCase, conv_graph
from tolerances import LAYER

from lilnetx.graph.cost import layer_stats
from lilnetx.reference.ops import run as run_reference
from lilnetx.runtime import Session

DENSITIES = (0.1, 0.19, 0.5, 1.0)
# Layers of ResNet-50 at 224x224 and of ResNet-20 at 28x28, of every kind and image size.
LAYERS = {
    "stem7x7s2-224": ConvCase(3, 64, (224, 224), (7, 7), (2, 2), (3, 3)),
    "3x3-56": ConvCase(64, 64, (56, 56), padding=(1, 1)),
    "3x3-28": ConvCase(128, 128, (28, 28), padding=(1, 1)),
    "3x3-14": ConvCase(256, 256, (14, 14), padding=(1, 1)),
    "3x3-7": ConvCase(512, 512, (7, 7), padding=(1, 1)),
    "3x3s2-56": ConvCase(128, 128, (56, 56), stride=(2, 2), padding=(1, 1)),
    "1x1-56": ConvCase(256, 64, (56, 56), (1, 1)),
    "1x1-14": ConvCase(1024, 256, (14, 14), (1, 1)),
    "1x1-7": ConvCase(2048, 512, (7, 7), (1, 1)),
    "1x1s2-28": ConvCase(512, 1024, (28, 28), (1, 1), (2, 2)),
    "cifar3x3-28": ConvCase(16, 16, (28, 28), padding=(1, 1)),
    "cifar3x3-7": ConvCase(64, 64, (7, 7), padding=(1, 1)),
}


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, density, benchmark):
    graph = conv_graph(dataclasses.replace(LAYERS[name], density=density))
    session = Session(graph, threads=1)
    x = np.random.default_rng(0).standard_normal((1, *graph.input_shape), dtype=np.float32)
    (reference,) = run_reference(graph, x)
    assert np.abs(session.run(x) - reference).max() <= LAYER["float32"] * np.abs(reference).max()

    benchmark(session.run, x)

    (layer,) = layer_stats(graph)
    (step,) = [step for step in session.plan.steps if step.density is not None]
    benchmark.extra_info["kernel"] = step.kernel
    benchmark.extra_info["density"] = layer.density
    if benchmark.stats is not None:  # None with --benchmark-disable
        seconds = benchmark.stats.stats.median
        benchmark.extra_info["dense_equivalent_gflops"] = round(2e-9 * layer.macs / seconds, 1)
