"""Running a network, on the CPU unless a device is named."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lilnetx import _core
from lilnetx.arguments import PATH, require_threads, require_type
from lilnetx.errors import GraphError, InputError, OutOfMemoryError
from lilnetx.graph.dead_channels import remove_dead_channels
from lilnetx.graph.ir import Graph, Shape
from lilnetx.graph.meta import Normalisation, class_names, normalisation
from lilnetx.graph.shapes import infer_shapes
from lilnetx.runtime.build import build_network
from lilnetx.runtime.isa import choose_isa
from lilnetx.runtime.packed import pack_graph
from lilnetx.runtime.plan import Plan, make_plan
from lilnetx.runtime.tuning import refine_plan
from lilnetx.runtime.tuning_cache import TuningCache

if TYPE_CHECKING:
    from lilnetx.format.layout import Header

Array = NDArray[np.float32]

# Plans for other sizes of images that are kept at once.
_KEPT_SIZES = 4


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
        InputError: ``source`` is neither of the two, ``threads`` is below 1, or ``tune`` is
            something else, or the CPU is asked for another dtype than float32.
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
        require_source(source)
        if (device, dtype) != ("cpu", "float32"):
            raise InputError(f"{dtype} on {device}: the CPU computes in float32")
        self._isa = choose_isa(isa)
        if threads is None:
            threads = available_threads()
        require_threads(threads)
        if tune not in (True, False, "cache"):
            raise InputError(f"tune={tune!r}: expected True, False or 'cache'")
        self._threads = threads
        self._tune: bool | Literal["cache"] = tune
        self._graph: Graph | None = source if isinstance(source, Graph) else None
        # The folder may change before the file is read again.
        self._path = None if isinstance(source, Graph) else Path(source).absolute()
        self._header: Header | None = None
        graph, weights = self._open()
        self._inputs = graph.inputs
        self._free_size = graph.free_size
        self._meta = graph.meta
        self._lock = threading.Lock()
        self._main = self._prepare(graph, weights)
        # Plans for images of other sizes, by the shapes of all inputs; the last used one last.
        self._others: dict[tuple[Shape, ...], _Prepared] = {}

    def _open(self) -> tuple[Graph, dict[str, _core.PackedWeight]]:
        """The network, of whose weights only the shapes count, and the weights."""
        if self._path is None:
            assert self._graph is not None
            infer_shapes(self._graph)
            return self._graph, pack_graph(self._graph)
        from lilnetx.format.reader import read_packed

        network = read_packed(self._path, threads=self._threads)
        if self._header not in (None, network.header):
            from lilnetx.format.reader import file_changed

            raise file_changed(self._path)
        self._header = network.header
        return network.graph, network.weights

    def _prepare(self, graph: Graph, weights: dict[str, _core.PackedWeight]) -> _Prepared:
        """Plans the network for the shapes of its inputs, and lays its weights out.

        ``weights`` is empty afterwards: each is let go of when it has been laid out, and the caller
        would hold on to them.
        """
        shapes = infer_shapes(graph)
        outputs = tuple(shapes[name] for name in graph.outputs)
        try:
            graph, kept, removal = remove_dead_channels(graph, shapes, weights)
            if kept is not weights:
                weights.clear()
            plan = make_plan(graph, self._isa, kept, removal)
            if self._tune:
                cache = TuningCache()
                plan = refine_plan(plan, kept, self._threads, cache, measure=self._tune is True)
            return _Prepared(plan, build_network(plan, kept, self._threads), outputs)
        except MemoryError as error:
            largest = max(math.prod(shape) for shape in shapes.values())
            raise OutOfMemoryError(
                f"not enough memory to run the network: its largest value has {largest} elements; "
                "use a machine with more memory or a smaller input"
            ) from error

    def _prepared(self, shapes: tuple[Shape, ...]) -> _Prepared:
        """The plan for inputs of these shapes."""
        if shapes == tuple(self._inputs.values()):
            return self._main
        with self._lock:
            found = self._others.pop(shapes, None)
            if found is None:
                graph, weights = self._open()
                given = dict(zip(self._inputs, shapes, strict=True))
                first = given.pop(graph.input_name)
                try:
                    found = self._prepare(
                        replace(graph, input_shape=first, more_inputs=given), weights
                    )
                except GraphError as error:
                    raise InputError(f"the network cannot take this size: {error}") from error
                while len(self._others) >= _KEPT_SIZES:
                    del self._others[next(iter(self._others))]
            self._others[shapes] = found
            return found

    @property
    def graph(self) -> Graph:
        """The network. That of a file is read again, when it is first asked for.

        Raises:
            FileChangedError: The file has changed since the session was made.
            LnxFormatError: The file can no longer be read.
        """
        if self._graph is None:
            from lilnetx.format.reader import read_same

            assert self._path is not None
            assert self._header is not None
            self._graph = read_same(self._path, self._header)
        return self._graph

    @property
    def plan(self) -> Plan:
        """How it runs; ``print(session.plan)`` shows a table."""
        return self._main.plan

    def plan_for(self, batch: int) -> Plan:
        """How a batch of so many images runs: on the CPU, as :attr:`plan` says."""
        return self.plan

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
        """Shape of one input image, without the batch; of the first input of several."""
        return next(iter(self._inputs.values()))

    @property
    def input_shapes(self) -> dict[str, Shape]:
        """Shape of each input by name, without the batch."""
        return dict(self._inputs)

    @property
    def free_size(self) -> bool:
        """Whether :meth:`run` takes images of other heights and widths too."""
        return self._free_size

    @property
    def meta(self) -> Mapping[str, Any]:
        """The facts that were stored with the network, see :class:`lilnetx.Graph`."""
        return self._meta

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the outputs; empty where none were stored."""
        return class_names(self._meta)

    @property
    def normalisation(self) -> Normalisation | None:
        """Mean and standard deviation of each channel's pixels, which :meth:`run` does not apply.

        ``lilnetx.data.normalise(images, *session.normalisation)`` makes input of uint8 images. None
        where none were stored: pixels are then fed as in training, which only whoever trained the
        network can tell.
        """
        return normalisation(self._meta, self.input_shape)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Shape of each output, without the batch."""
        return self._main.output_shapes

    @property
    def weight_bytes(self) -> int:
        """Memory of the weights in the layouts of their kernels, in bytes."""
        return self._main.network.weight_bytes()

    @property
    def arena_bytes(self) -> int:
        """Memory of the activations of one image, in bytes."""
        return self._main.network.arena_bytes()

    def run(self, *inputs: Array | Mapping[str, Array]) -> Array | tuple[Array, ...]:
        """Runs the network.

        Images of another height and width, where :attr:`free_size` allows them, are planned at the
        first run with that size; some plans are kept.

        Args:
            inputs: float32, shape ``(N, *input_shape)``, N >= 0, one array for each input of the
                network, or one mapping by name; made C-contiguous where they are not.

        Returns:
            float32, shape ``(N, *output_shape)``; a tuple of them when there are several outputs.

        Raises:
            InputError: An input is missing or has another shape or dtype.
        """
        arrays = self._checked(inputs)
        prepared = self._prepared(tuple(x.shape[1:] for x in arrays))
        flat = prepared.network.run(arrays)
        results = tuple(
            out.reshape(len(arrays[0]), *shape)
            for out, shape in zip(flat, prepared.output_shapes, strict=True)
        )
        return results[0] if len(results) == 1 else results

    def profile(self, *inputs: Array | Mapping[str, Array], repeats: int = 20) -> list[ProfileRow]:
        """Times every step.

        Images are run one after the other, and all threads share each step.

        Args:
            inputs: As for :meth:`run`, at least one image.
            repeats: Runs to take the median of; one more goes before them.

        Returns:
            One row for each step of the plan for inputs of this size.
        """
        arrays = self._checked(inputs)
        if len(arrays[0]) == 0 or repeats < 1:
            raise InputError("a profile needs at least one image and one repeat")
        prepared = self._prepared(tuple(x.shape[1:] for x in arrays))
        seconds = prepared.network.profile(arrays, repeats + 1)[1:]
        return [
            ProfileRow(step.name, step.kernel, step.shape, step.density, float(ms))
            for step, ms in zip(prepared.plan.steps, np.median(seconds, axis=0) * 1e3, strict=True)
        ]

    def _checked(self, inputs: tuple[Array | Mapping[str, Array], ...]) -> list[Array]:
        """The inputs in the order of the network, as the executor takes them."""
        names = ", ".join(map(repr, self._inputs))
        if len(inputs) == 1 and isinstance(inputs[0], Mapping):
            given = inputs[0]
            if set(given) != set(self._inputs):
                raise InputError(f"found inputs {', '.join(map(repr, given))}, expected {names}")
            arrays = [given[name] for name in self._inputs]
        else:
            arrays = list(inputs)  # type: ignore[arg-type]
        if len(arrays) != len(self._inputs):
            raise InputError(f"found {len(arrays)} input(s), expected {len(self._inputs)}: {names}")
        checked = [
            self._checked_array(x, name, shape)
            for x, (name, shape) in zip(arrays, self._inputs.items(), strict=True)
        ]
        if len({len(x) for x in checked}) != 1:
            batches = ", ".join(str(len(x)) for x in checked)
            raise InputError(f"inputs have batches of {batches}, expected one size")
        return checked

    def _checked_array(self, x: Array, name: str, shape: Shape) -> Array:
        what = "input" if len(self._inputs) == 1 else f"input {name!r}"
        if not isinstance(x, np.ndarray):
            raise InputError(f"{what} is a {type(x).__name__}, expected a float32 numpy array")
        if x.dtype != np.float32:
            raise InputError(
                f"{what} has dtype {x.dtype}, expected float32: use x.astype('float32')"
            )
        free = self._free_size and len(shape) == 3
        fixed = shape[:1] if free else shape
        if x.ndim != len(shape) + 1 or x.shape[1 : 1 + len(fixed)] != fixed or 0 in x.shape[1:]:
            sizes = [*map(str, fixed), "H", "W"] if free else map(str, shape)
            raise InputError(f"{what} has shape {x.shape}, expected ({', '.join(['N', *sizes])})")
        return np.ascontiguousarray(x)


@dataclass(frozen=True)
class _Prepared:
    """A plan, its executor, and the shapes of its outputs without the batch."""

    plan: Plan
    network: _core.Network
    output_shapes: tuple[Shape, ...]


def require_source(source: object) -> None:
    """Refuses what no session can be made from; InputError."""
    expected = "the path of a .lnx file or a lilnetx.Graph; a model is packed first (lilnetx.pack)"
    require_type(source, (*PATH, Graph), InputError, expected)


def available_threads() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
