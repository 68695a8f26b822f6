"""The steps of ``benchmarks/run.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from steps import isas, layers, load, model, networks, sweep, threads
from steps.results import Context


@dataclass(frozen=True)
class Step:
    """A step.

    Attributes:
        run: Measures, writes the files and returns a line about the result.
        files: Names of the JSON files that it writes.
        seconds: How long it takes, about.
        cores: How many it uses.
    """

    run: Callable[[Context], str]
    files: tuple[str, ...]
    seconds: float
    cores: int = 1


def _network(name: str, seconds: float) -> Step:
    files = tuple(f"{name}-batch{batch}" for batch in networks.BATCHES)
    return Step(partial(networks.run, name), files, seconds)


STEPS = {
    "model": Step(model.run, ("resnet20-eval", "resnet20-inspect"), 15),
    "resnet20": _network("resnet20", 35),
    "resnet50": _network("resnet50", 90),
    "resnet18": _network("resnet18", 65),
    "mobilenet_v2": _network("mobilenet_v2", 70),
    "vgg16_bn": _network("vgg16_bn", 170),
    "sweep": Step(sweep.run, ("sweep",), 65),
    "layers": Step(layers.run, ("layers",), 70),
    "load": Step(load.run, (load.FILE,), 25),
    "isas": Step(isas.run, ("isas",), 20),
    "threads": Step(threads.run, ("threads",), 50, cores=2),
}

__all__ = ["STEPS", "Context", "Step"]
