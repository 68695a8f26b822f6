"""Sessions of synthetic ResNet-50, checked against the reference before they are timed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lilnetx.bench.run import MAX_REL_ERROR, relative_error
from lilnetx.errors import WrongResultError
from lilnetx.graph.ir import Graph, Shape
from lilnetx.packing import synth
from lilnetx.reference.ops import run as run_reference
from lilnetx.runtime import Session
from steps.results import Context

NETWORK = "resnet50"


def network(context: Context, density: float) -> Graph:
    """The network that sweep, instruction sets and threads are measured on."""
    shape: Shape | None = (3, 32, 32) if context.quick else None
    return synth(NETWORK, density=density, input_shape=shape)


def network_input(graph: Graph, batch: int) -> NDArray[np.float32]:
    """Random images, float32, shape ``(batch, C, H, W)``."""
    shape = (batch, *graph.input_shape)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def check(session: Session, x: NDArray[np.float32]) -> None:
    """Compares the first image's output with float64; WrongResultError when it is too far off."""
    (reference,) = run_reference(session.graph, x[:1])
    output = session.run(x)
    assert isinstance(output, np.ndarray)
    error = relative_error(output[:1], reference)
    if not error <= MAX_REL_ERROR:
        raise WrongResultError(
            f"{NETWORK}, {session.isa}: relative error {error:.2e}, at most {MAX_REL_ERROR:g}"
        )
