"""The dense engines that a ``.lnx`` file is timed against, each with its best settings."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lilnetx.bench.timing import time_once
from lilnetx.errors import LilnetxError, MissingExtraError, UsageError
from lilnetx.graph.ir import Graph

if TYPE_CHECKING:
    import onnx
    import torch

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Contender:
    """Something that runs one network on one input.

    Attributes:
        name: Name on the command line and in tables.
        precision: ``fp32``, ``bf16`` or ``int8``.
        version: Of the engine.
        settings: What was set, for the table's footnote.
        call: Runs the network and returns its first output, shape ``(N, ...)``.
    """

    name: str
    precision: str
    version: str
    settings: str
    call: Callable[[], NDArray[Any]]


def _torch(graph: Graph, x: Array, threads: int) -> Contender:
    torch = _import("torch", "torch")
    from lilnetx.graph.to_torch import to_torch

    torch.set_num_threads(threads)
    # Traced, the network is plain calls in a row, without the cost of going through a graph.
    model = torch.fx.symbolic_trace(to_torch(graph))
    layouts = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

    def caller(layout: str) -> Callable[[], NDArray[Any]]:
        image = len(graph.input_shape) == 3
        placed = model.to(memory_format=layouts[layout])
        tensor = torch.from_numpy(x)
        tensor = tensor.contiguous(memory_format=layouts[layout]) if image else tensor

        def call() -> NDArray[Any]:
            with torch.inference_mode():
                return _first(placed(tensor))

        return call

    trial = {}
    for layout in layouts:
        call = caller(layout)
        call()
        trial[layout] = min(time_once(call) for _ in range(5))
    best = min(trial, key=lambda layout: trial[layout])
    settings = f"eager, {best} (the faster layout here), inference mode"
    return Contender("torch", "fp32", torch.__version__, settings, caller(best))


def _torch_compile(graph: Graph, x: Array, threads: int) -> Contender:
    torch = _import("torch", "torch-compile")
    import torch._inductor.config as inductor_config

    from lilnetx.graph.to_torch import to_torch

    torch.set_num_threads(threads)
    # A few per cent faster than contiguous images on ResNet-50; max-autotune is not. Of a single
    # channel both layouts look alike, which the compiler takes for a contradiction.
    image = len(graph.input_shape) == 3 and graph.input_shape[0] > 1
    layout = torch.channels_last if image else torch.contiguous_format
    model: Any = to_torch(graph)
    compiled = torch.compile(model.to(memory_format=layout))
    tensor = torch.from_numpy(x).contiguous(memory_format=layout)

    def call() -> NDArray[Any]:
        # Freezing works without gradients only, and is refused in inference mode.
        with torch.no_grad():
            return _first(compiled(tensor))

    try:
        with inductor_config.patch(freezing=True):
            call()
    except Exception as error:  # whatever the compiler behind it finds wrong
        raise LilnetxError(
            f"torch.compile failed ({type(error).__name__}: {str(error).splitlines()[0]}); it "
            "needs a C++ compiler; leave torch-compile out of --against"
        ) from error
    settings = f"inductor, freezing, {'channels_last' if image else 'contiguous'}"
    return Contender("torch-compile", "fp32", torch.__version__, settings, call)


def _onnxruntime(graph: Graph, x: Array, threads: int) -> Contender:
    ort = _import("onnxruntime", "onnxruntime")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Its threads spin as usual while it runs, and stop when it returns: they would take the cores
    # from whoever comes next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(
        _onnx_model(graph, len(x)).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {session.get_inputs()[0].name: x}
    settings = "all graph optimisations, sequential"
    return Contender(
        "onnxruntime", "fp32", ort.__version__, settings, lambda: session.run(None, feed)[0]
    )


def _openvino(graph: Graph, x: Array, threads: int) -> Contender:
    ov = _import("openvino", "openvino")
    core = ov.Core()
    compiled = core.compile_model(
        core.read_model(_onnx_model(graph, len(x)).SerializeToString()),
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            # The system places all contenders' threads alike.
            "ENABLE_CPU_PINNING": False,
        },
    )
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(x, shared_memory=True))

    def call() -> NDArray[Any]:
        request.infer()
        output: NDArray[Any] = request.get_output_tensor(0).data
        return output

    version = ov.__version__.split("-")[0]
    return Contender("openvino", "fp32", version, "latency hint, f32 precision hint", call)


_MAKERS: dict[str, Callable[[Graph, Array, int], Contender]] = {
    "torch": _torch,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "torch-compile": _torch_compile,
}
# torch-compile is asked for by name: it compiles for seconds to minutes.
_DEFAULT = ("torch", "onnxruntime", "openvino")


def default_contenders() -> tuple[str, ...]:
    """Names of the usual contenders whose packages are installed."""
    if importlib.util.find_spec("onnx") is None:
        return tuple(name for name in ("torch",) if importlib.util.find_spec(name))
    return tuple(name for name in _DEFAULT if importlib.util.find_spec(name))


def check_names(names: tuple[str, ...]) -> None:
    """UsageError for a name that is no contender, before anything is loaded."""
    for name in names:
        if name not in _MAKERS:
            raise UsageError(f"unknown contender {name!r}; known: {', '.join(_MAKERS)}, or none")


def make_contender(name: str, graph: Graph, x: Array, threads: int) -> Contender:
    """A contender that is ready to run.

    Args:
        name: One of torch, onnxruntime, openvino, torch-compile.
        graph: The network; it is run dense.
        x: The input, float32, shape ``(N, C, H, W)``.
        threads: Threads to use.

    Raises:
        UsageError: No such contender.
        MissingExtraError: Its package is not installed.
    """
    check_names((name,))
    return _MAKERS[name](graph, x, threads)


def _import(package: str, contender: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, "bench", f"the contender {contender}") from error


def _onnx_model(graph: Graph, batch: int) -> onnx.ModelProto:
    """The dense network as ONNX with a fixed batch, for which engines plan better."""
    from lilnetx.graph.to_onnx import to_onnx

    model = to_onnx(graph)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    return model


def _first(output: torch.Tensor | tuple[torch.Tensor, ...]) -> NDArray[Any]:
    tensor = output[0] if isinstance(output, tuple) else output
    array: NDArray[Any] = tensor.numpy()
    return array
