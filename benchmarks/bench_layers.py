"""ResNet-50's layers one by one under pytest-benchmark: before and after a change to a kernel.

``pytest benchmarks/bench_layers.py --benchmark-autosave`` before, ``--benchmark-compare`` after;
``-k 3x3`` for some. Each result is checked before it is timed. The time includes putting the
input into the runtime's layout and taking the output out; figures for the documentation come from
``run.py``. ``LILNETX_ISA`` chooses the instruction set.
"""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import LAYER

from lilnetx.bench.layers import layer_graph, layer_shapes, spot_check
from lilnetx.runtime import Session


@pytest.mark.parametrize("density", [0.19, 1.0])
@pytest.mark.parametrize("shape", layer_shapes("resnet50"), ids=str)
def test_layer(shape, density, benchmark):
    graph = layer_graph(shape, density)
    session = Session(graph, threads=1, tune=False)
    x = np.random.default_rng(0).standard_normal((1, *graph.input_shape), dtype=np.float32)
    assert spot_check(graph, x, session.run(x)) <= LAYER["float32"]

    benchmark(session.run, x)

    (step,) = [step for step in session.plan.steps if step.density is not None]
    benchmark.extra_info["kernel"] = step.kernel
