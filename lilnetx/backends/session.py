"""A session whose network runs on a GPU."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lilnetx.backends.capture import CapturedNetwork
from lilnetx.backends.convolutions import Maker, TritonConvolution
from lilnetx.backends.cuda import CudaConvolution
from lilnetx.backends.device import open_device
from lilnetx.backends.network import DeviceNetwork
from lilnetx.backends.plan import DevicePlan
from lilnetx.errors import InputError
from lilnetx.graph.dead_channels import remove_dead_channels
from lilnetx.graph.ir import Graph, Shape
from lilnetx.graph.shapes import infer_shapes
from lilnetx.runtime.packed import pack_graph
from lilnetx.runtime.session import ProfileRow, Session, require_source

Array = NDArray[np.float32]
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_MAKERS: dict[str, Maker] = {"triton": TritonConvolution, "cuda": CudaConvolution}


class DeviceSession(Session):
    """What ``Session(source, device=...)`` gives for a GPU; see :class:`lilnetx.Session`.

    The first run with a batch compiles and plans its kernels and records them in a CUDA graph.
    Several threads may use a session; each waits until the one before has its results.

    Args:
        source: A ``.lnx`` file or a graph.
        device: ``"triton"`` or ``"cuda"``.
        dtype: Of activations and, in the kernels on tensor cores, weights: ``"float32"``,
            ``"float16"`` or ``"bfloat16"``. Inputs and outputs stay float32.
        threads: None, or 1: a GPU takes no part in it.
        isa: None.
        tune: True to measure kernels at the first run with a batch; else the cost model chooses.

    Raises:
        DeviceError: The device cannot be used (see its subclasses).
        MissingExtraError: torch or Triton is not installed.
        InputError: An argument has no meaning on a GPU.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Graph,
        *,
        device: str = "triton",
        dtype: str = "float32",
        threads: int | None = None,
        isa: str | None = None,
        tune: bool | Literal["cache"] = "cache",
    ) -> None:
        require_source(source)
        if dtype not in DTYPES:
            raise InputError(f"dtype={dtype!r}: expected one of {', '.join(DTYPES)}")
        if isa is not None or threads not in (None, 1):
            raise InputError(f"isa and threads are the CPU's: leave them out with {device=!r}")
        self._torch_device = open_device(device)
        self._device = device
        self._dtype = DTYPES[dtype]
        self._tune_device = tune is True
        if isinstance(source, Graph):
            graph = source
        else:
            from lilnetx.format import read_lnx

            graph = read_lnx(Path(source))
        self._graph = graph
        shapes = infer_shapes(graph)
        self._inputs = graph.inputs
        self._meta = graph.meta
        self._free_size = False  # the plan is for one size
        self._shapes_out = tuple(shapes[name] for name in graph.outputs)
        live, weights, _ = remove_dead_channels(graph, shapes, pack_graph(graph))
        self._weight_bytes = sum(weight.nbytes for weight in weights.values())
        self._device_network = DeviceNetwork(
            live, weights, _MAKERS[device], self._torch_device, self._dtype
        )
        on_gpu = self._torch_device.type == "cuda"
        run = self._device_network.run
        self._call = CapturedNetwork(run) if on_gpu else run
        self._tuned: set[tuple[torch.Size, ...]] = set()
        # Runs share the memory of the graphs, inputs and outputs included: until its results are in
        # the CPU's memory, a run must be the only one. Methods call each other with it held.
        self._running = threading.RLock()

    @property
    def graph(self) -> Graph:
        """The network."""
        assert self._graph is not None
        return self._graph

    @property
    def plan(self) -> DevicePlan:  # type: ignore[override]  # as much of a plan as a GPU has
        """How a single image is computed."""
        return self.plan_for(1)

    def plan_for(self, batch: int) -> DevicePlan:  # type: ignore[override]  # as above
        """How a batch is computed; runs it once.

        Args:
            batch: Images of a call.
        """
        inputs = [
            torch.zeros((batch, *shape), dtype=self._dtype, device=self._torch_device)
            for shape in self._inputs.values()
        ]
        with self._running:
            self._ready(inputs)
            return DevicePlan(self._device, self._device_network.plan(*inputs), batch)

    @property
    def isa(self) -> str:
        """Name of the device and its kernels."""
        if self._torch_device.type == "cpu":
            return f"{self._device} (interpreter)"
        return f"{self._device} on {torch.cuda.get_device_name(self._torch_device)}"

    @property
    def threads(self) -> int:
        """1: the thread that starts kernels."""
        return 1

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Shape of each output, without the batch."""
        return self._shapes_out

    @property
    def weight_bytes(self) -> int:
        """Size of the packed weights, in bytes, before a form's own layout."""
        return self._weight_bytes

    @property
    def arena_bytes(self) -> int:
        """Memory that torch holds on the device, in bytes; 0 in the interpreter."""
        if self._torch_device.type == "cpu":
            return 0
        return int(torch.cuda.memory_reserved(self._torch_device))

    def run(self, *inputs: Array | Mapping[str, Array]) -> Array | tuple[Array, ...]:
        """Runs the network.

        Args:
            inputs: float32, shape ``(N, *input_shape)``, N >= 0, one array for each input of the
                network, or one mapping by name, in the CPU's memory.

        Returns:
            float32, shape ``(N, *output_shape)``; a tuple of them when there are several outputs.

        Raises:
            InputError: An input is missing, has another shape or dtype, or is too large for the
                kernels.
            DeviceError: CUDA refused to start a kernel.
        """
        with self._running:
            outputs = self.run_on_device(*self._moved(inputs))
            results = tuple(y.float().cpu().numpy() for y in outputs)
        return results[0] if len(results) == 1 else results

    def run_on_device(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Runs the network on tensors of the device and of the session's dtype.

        The results lie in memory that the next run with these shapes overwrites, also that of
        another thread (:meth:`run` is for several threads), and may not be ready until the current
        stream is.
        """
        if len(inputs[0]) == 0:
            return tuple(inputs[0].new_empty((0, *shape)) for shape in self._shapes_out)
        with self._running:
            self._ready(inputs)
            return self._call(*inputs)

    def profile(self, *inputs: Array | Mapping[str, Array], repeats: int = 20) -> list[ProfileRow]:
        """Times every step, started one by one: short ones show the time to start them.

        Args:
            inputs: As for :meth:`run`, at least one image.
            repeats: Runs to take the median of; one more goes before them.

        Returns:
            One row for each step of :meth:`plan_for` this batch.
        """
        with self._running:
            tensors = self._moved(inputs)
            if len(tensors[0]) == 0 or repeats < 1:
                raise InputError("a profile needs at least one image and one repeat")
            steps = self.plan_for(len(tensors[0])).steps
            marks = self._device_network.profile(tensors, repeats + 1, self._mark)[1:]
            times = np.array([self._differences(run) for run in marks])
        return [
            ProfileRow(step.name, step.kernel, step.shape, step.density, float(ms))
            for step, ms in zip(steps, np.median(times, axis=0), strict=True)
        ]

    def _moved(self, inputs: tuple[Array | Mapping[str, Array], ...]) -> tuple[torch.Tensor, ...]:
        return tuple(
            torch.from_numpy(x).to(self._torch_device, self._dtype) for x in self._checked(inputs)
        )

    def _ready(self, inputs: Sequence[torch.Tensor]) -> None:
        """Measures kernels for inputs like these, where that was asked for."""
        shapes = tuple(x.shape for x in inputs)
        if self._tune_device and shapes not in self._tuned:
            self._tuned.add(shapes)
            self._device_network.tune(*inputs)

    def _mark(self) -> Any:
        if self._torch_device.type == "cpu":
            return time.perf_counter() * 1e3
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _differences(self, marks: list[Any]) -> list[float]:
        """Milliseconds between marks."""
        if self._torch_device.type == "cpu":
            return [b - a for a, b in itertools.pairwise(marks)]
        marks[-1].synchronize()
        return [a.elapsed_time(b) for a, b in itertools.pairwise(marks)]


__all__ = ["DTYPES", "DeviceSession"]
