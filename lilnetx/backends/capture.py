"""CUDA graphs: a network's kernels recorded once for each batch, then started as one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Batches whose graphs are kept at once; each keeps the memory of its activations.
KEPT_GRAPHS = 4
# Runs before recording, in which kernels are compiled and planned.
_WARM_UP_RUNS = 3
# Torch records all graphs of a process on one stream.
_recording = threading.Lock()

Outputs = tuple[Tensor, ...]


class CapturedNetwork:
    """Runs a network on a GPU without the cost of starting its kernels one by one.

    Calls share memory, so one must be over, and its outputs read, before the next begins.

    Args:
        run: The network.
        cuda: ``torch.cuda``, or what stands for it in tests.
    """

    def __init__(self, run: Callable[..., Outputs], cuda: Any = torch.cuda) -> None:
        self._run = run
        self._cuda = cuda
        self._graphs: dict[tuple[torch.Size, ...], tuple[Any, Outputs, Outputs]] = {}

    def __call__(self, *inputs: Tensor) -> Outputs:
        """The outputs for inputs, in memory that the next call with these shapes overwrites.

        Args:
            inputs: On the GPU.
        """
        shapes = tuple(x.shape for x in inputs)
        found = self._graphs.pop(shapes, None)
        if found is None:
            while len(self._graphs) >= KEPT_GRAPHS:
                del self._graphs[next(iter(self._graphs))]
            found = self._record(inputs)
        self._graphs[shapes] = found
        graph, held, outputs = found
        for place, x in zip(held, inputs, strict=True):
            place.copy_(x)
        graph.replay()
        return outputs

    def _record(self, inputs: Outputs) -> tuple[Any, Outputs, Outputs]:
        held = tuple(x.clone() for x in inputs)
        # Recording wants a stream other than the default one, and everything done that waits.
        stream = self._cuda.Stream()
        stream.wait_stream(self._cuda.current_stream())
        with self._cuda.stream(stream):
            for _ in range(_WARM_UP_RUNS):
                self._run(*held)
        self._cuda.current_stream().wait_stream(stream)
        graph = self._cuda.CUDAGraph()
        # Other networks may run and allocate in other threads, which would else end the recording.
        with _recording, self._cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = self._run(*held)
        return graph, held, outputs


__all__ = ["KEPT_GRAPHS", "CapturedNetwork"]
