"""Running a network, on the CPU unless a device is named."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lilnetx import _core
from lilnetx.errors import InputError, OutOfMemoryError
from lilnetx.graph.dead_channels import remove_dead_channels
from lilnetx.graph.ir import Graph, Shape
from lilnetx.graph.shapes import infer_shapes
from lilnetx.runtime.build import build_network
from lilnetx.runtime.isa import choose_isa
from lilnetx.runtime.packed import pack_graph
from lilnetx.runtime.plan import Plan, make_plan
from lilnetx.runtime.tuning import refine_plan
from lilnetx.runtime.tuning_cache import TuningCache

Array = NDArray[np.float32]


@dataclass(frozen=True)
class ProfileRow:
    """Time of one step.

    Attributes:
        name: Name of the step's node.
        kernel: Full name of its kernel.
        shape: Shapes that go in and come out, without the batch.
        density: Share of the weights that is computed, or None where there are none.
        ms: Median time for the whole batch, in milliseconds.
    """

    name: str
    kernel: str
    shape: str
    density: float | None
    ms: float


class Session:
    """A network, planned once and ready to run.

    Loading decodes the weights straight into the layouts of the kernels, without a dense copy of
    the network, and allocates the memory for one image; :meth:`run` then allocates only its outputs
    (and, at the first batch of at least as many images as threads, the memory that lets each thread
    take whole images). A session may be used from several threads; its runs follow each other.

    Sessions of one process share their threads: for each thread count there are as many teams as
    runs were ever under way at once. In a forked process, an inherited session runs on the calling
    thread only (do not fork while another thread is in :meth:`run`); a new one has its own threads.

    Args:
        source: A ``.lnx`` file or a graph.
        threads: Threads to use; None for as many as the process may use.
        isa: ``"avx512"``, ``"avx2"``, ``"neon"`` or ``"portable"``; None for the environment's
            ``LILNETX_ISA``, or else the best that this machine has.
        tune: How kernels and tiles are chosen. False: by rules alone. True: the candidates for each
            layer are timed now, for a second or so, and the best are remembered in the user's cache
            folder (``XDG_CACHE_HOME``, or else ``~/.cache``). ``"cache"``: as remembered, by rules
            what is not. Sums may be rounded otherwise by other kernels.
        device: ``"cpu"``, or ``"triton"`` or ``"cuda"`` for the kernels of a GPU; then the session
            is a :class:`~lilnetx.backends.session.DeviceSession`.
        dtype: Of activations on a GPU: ``"float32"``, ``"float16"`` or ``"bfloat16"``.

    Raises:
        DeviceError: The GPU cannot be used (see its subclasses).
        IsaError: The instruction set is unknown, or this machine lacks it.
        LnxFormatError: The file cannot be read (see its subclasses).
        GraphError: The graph contradicts itself.
        InputError: ``threads`` is below 1, or ``tune`` is something else, or the CPU is asked for
            another dtype than float32.
        OutOfMemoryError: Weights or activations do not fit into memory.
    """

    def __new__(cls, *args: object, device: str = "cpu", **kwargs: object) -> Session:
        """A session of the class that runs on the device; ``__init__`` follows."""
        if device != "cpu" and cls is Session:
            from lilnetx.backends.device import open_device

            open_device(device)  # says what is missing before anything of it is loaded
            from lilnetx.backends.session import DeviceSession

            return super().__new__(DeviceSession)
        return super().__new__(cls)

    def __init__(
        self,
        source: str | os.PathLike[str] | Graph,
        *,
        threads: int | None = None,
        isa: str | None = None,
        tune: bool | Literal["cache"] = "cache",
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        if (device, dtype) != ("cpu", "float32"):
            raise InputError(f"{dtype} on {device}: the CPU computes in float32")
        self._isa = choose_isa(isa)
        if threads is None:
            threads = available_threads()
        if threads < 1:
            raise InputError(f"threads={threads}: expected at least 1")
        if tune not in (True, False, "cache"):
            raise InputError(f"tune={tune!r}: expected True, False or 'cache'")
        self._threads = threads
        self._graph: Graph | None = None
        graph, weights = self._open(source)
        shapes = infer_shapes(graph)
        self._input_shape = tuple(graph.input_shape)
        self._output_shapes = tuple(shapes[name] for name in graph.outputs)
        try:
            graph, weights, removal = remove_dead_channels(graph, shapes, weights)
            plan = make_plan(graph, self._isa, weights, removal)
            if tune:
                plan = refine_plan(plan, weights, threads, TuningCache(), measure=tune is True)
            self._plan = plan
            self._network = build_network(self._plan, weights, threads)
        except MemoryError as error:
            largest = max(math.prod(shape) for shape in shapes.values())
            raise OutOfMemoryError(
                f"not enough memory to run the network: its largest value has {largest} elements; "
                "use a machine with more memory or a smaller input"
            ) from error

    def _open(
        self, source: str | os.PathLike[str] | Graph
    ) -> tuple[Graph, dict[str, _core.PackedWeight]]:
        """A graph, of whose weights only the shapes count, and the weights."""
        if isinstance(source, Graph):
            self._graph = source
            infer_shapes(source)
            return source, pack_graph(source)
        from lilnetx.format.reader import read_packed

        # The folder may change before the graph is asked for.
        self._path = Path(source).absolute()
        network = read_packed(Path(source), threads=self._threads)
        self._header = network.header
        return network.graph, network.weights

    @property
    def graph(self) -> Graph:
        """The network. That of a file is read again, when it is first asked for.

        Raises:
            FileChangedError: The file has changed since the session was made.
            LnxFormatError: The file can no longer be read.
        """
        if self._graph is None:
            from lilnetx.format.reader import read_same

            self._graph = read_same(self._path, self._header)
        return self._graph

    @property
    def plan(self) -> Plan:
        """How it runs; ``print(session.plan)`` shows a table."""
        return self._plan

    @property
    def isa(self) -> str:
        """Instruction set of the kernels: ``"avx512"``, ``"avx2"``, ``"neon"``, ``"portable"``."""
        return self._isa

    @property
    def threads(self) -> int:
        """Threads that share the work."""
        return self._threads

    @property
    def input_shape(self) -> Shape:
        """Shape of one input image, without the batch."""
        return self._input_shape

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Shape of each output, without the batch."""
        return self._output_shapes

    @property
    def weight_bytes(self) -> int:
        """Memory of the weights in the layouts of their kernels, in bytes."""
        return self._network.weight_bytes()

    @property
    def arena_bytes(self) -> int:
        """Memory of the activations of one image, in bytes."""
        return self._network.arena_bytes()

    def run(self, x: Array) -> Array | tuple[Array, ...]:
        """Runs the network.

        Args:
            x: float32, shape ``(N, *input_shape)``, N >= 0; made C-contiguous if it is not.

        Returns:
            float32, shape ``(N, *output_shape)``; a tuple of them when there are several outputs.

        Raises:
            InputError: ``x`` has another shape or dtype.
        """
        x = self._checked(x)
        flat = self._network.run(x)
        results = tuple(
            out.reshape(x.shape[0], *shape)
            for out, shape in zip(flat, self._output_shapes, strict=True)
        )
        return results[0] if len(results) == 1 else results

    def profile(self, x: Array, repeats: int = 20) -> list[ProfileRow]:
        """Times every step.

        Images are run one after the other, and all threads share each step.

        Args:
            x: Input as for :meth:`run`, at least one image.
            repeats: Runs to take the median of; one more goes before them.

        Returns:
            One row for each step of :attr:`plan`.
        """
        x = self._checked(x)
        if len(x) == 0 or repeats < 1:
            raise InputError("a profile needs at least one image and one repeat")
        seconds = self._network.profile(x, repeats + 1)[1:]
        return [
            ProfileRow(step.name, step.kernel, step.shape, step.density, float(ms))
            for step, ms in zip(self._plan.steps, np.median(seconds, axis=0) * 1e3, strict=True)
        ]

    def _checked(self, x: Array) -> Array:
        if not isinstance(x, np.ndarray):
            raise InputError(f"input is a {type(x).__name__}, expected a float32 numpy array")
        if x.dtype != np.float32:
            raise InputError(
                f"input has dtype {x.dtype}, expected float32: use x.astype('float32')"
            )
        if x.shape[1:] != self.input_shape or x.ndim != len(self.input_shape) + 1:
            expected = ", ".join(["N", *map(str, self.input_shape)])
            raise InputError(f"input has shape {x.shape}, expected ({expected})")
        return np.ascontiguousarray(x)


def available_threads() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
