"""ONNX's backend interface, so that whatever is written for it runs on lilnetx.

``onnx.backend.test`` is an example: ``onnx.backend.test.BackendTest(lilnetx.onnx_backend, ...)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lilnetx.errors import InputError, MissingExtraError, UnsupportedOperatorError
from lilnetx.graph.from_onnx import OnnxImport, data_inputs, load_model
from lilnetx.graph.ir import Graph
from lilnetx.graph.onnx_context import NeedsConstantError
from lilnetx.graph.problems import error_of
from lilnetx.runtime import Session

try:
    from onnx.backend.base import Backend, BackendRep
except ImportError:
    raise MissingExtraError("onnx", "onnx", "the ONNX backend") from None

Arrays = Sequence[NDArray[Any]]


class LilnetxRep(BackendRep):
    """A model that runs on arrays as ONNX has them, with all their axes.

    It is planned at the first run with inputs of some shapes, and kept. The batch is the first
    axis; a model that mixes that axis with others is planned for whole values. Inputs that an
    operator needs while the network is planned (weights, sizes, axes) are taken as constants: with
    other values of them, the network is planned anew.

    Args:
        model: The model, or a file.
        threads: As for :class:`lilnetx.Session`.
        isa: As for :class:`lilnetx.Session`.
    """

    def __init__(self, model: Any, *, threads: int = 1, isa: str | None = None) -> None:
        self._proto = load_model(model)
        self._options: dict[str, Any] = {"threads": threads, "isa": isa, "tune": False}
        self._names = [value.name for value in data_inputs(self._proto)]
        self._key: Any = None
        self._plan: _Planned | None = None

    def run(self, inputs: Arrays | Mapping[str, NDArray[Any]], **kwargs: Any) -> tuple[Any, ...]:
        """Runs the model on its inputs, in order or by name; returns all outputs, in order.

        Raises:
            InputError: There are more or fewer inputs than the model has.
            UnsupportedOperatorError: The model holds what lilnetx cannot run.
        """
        if isinstance(inputs, Mapping):
            given = {name: np.asarray(value) for name, value in inputs.items()}
        else:
            given = dict(zip(self._names, map(np.asarray, inputs), strict=False))
            if len(inputs) > len(self._names):
                raise InputError(f"found {len(inputs)} inputs, expected {len(self._names)}")
        missing = [name for name in self._names if name not in given]
        if missing:
            raise InputError(f"input {missing[0]!r} is missing")
        if self._plan is None or not self._plan.fits(given):
            self._plan = _plan(self._proto, given, self._options)
        return self._plan.run(given)


class _Planned:
    """A session for inputs of some shapes, and for the values of those taken as constants."""

    def __init__(
        self,
        graph: Graph,
        outputs: list[str | NDArray[Any]],
        batched: bool,
        constants: dict[str, NDArray[Any]],
        shapes: dict[str, tuple[int, ...]],
        options: dict[str, Any],
    ) -> None:
        self._session = Session(graph, **options)
        self._names = list(graph.inputs)
        self._results = list(graph.outputs)
        self._outputs = outputs
        self._batched = batched
        self._constants = constants
        self._shapes = shapes

    def fits(self, given: Mapping[str, NDArray[Any]]) -> bool:
        """Whether the plan is for such inputs."""
        return all(value.shape == self._shapes[name] for name, value in given.items()) and all(
            np.array_equal(given[name], value, equal_nan=value.dtype.kind == "f")
            for name, value in self._constants.items()
        )

    def run(self, given: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        arrays = [given[name] if self._batched else given[name][None] for name in self._names]
        results = self._session.run(*arrays)
        results = results if isinstance(results, tuple) else (results,)
        by_name = dict(zip(self._results, results, strict=True))
        found: list[NDArray[Any]] = []
        for output in self._outputs:
            if isinstance(output, str):
                found.append(by_name[output] if self._batched else by_name[output][0])
            else:
                found.append(output)
        return tuple(found)


def _plan(proto: Any, given: dict[str, NDArray[Any]], options: dict[str, Any]) -> _Planned:
    """Imports by batches if that can be, else by whole values; the first error counts."""
    failure: UnsupportedOperatorError | None = None
    for batched in (True, False):
        try:
            return _import(proto, given, batched, options)
        except UnsupportedOperatorError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _import(
    proto: Any, given: dict[str, NDArray[Any]], batched: bool, options: dict[str, Any]
) -> _Planned:
    constants = {n: v for n, v in given.items() if v.dtype != np.float32}
    while True:
        data = {name: value for name, value in given.items() if name not in constants}
        batches = {value.shape[:1] for value in data.values()}
        if batched and (len(batches) != 1 or () in batches):
            raise UnsupportedOperatorError("the inputs have no batch in common")
        batch = next(iter(batches))[0] if batched else None
        shapes = {name: value.shape[1:] if batched else value.shape for name, value in data.items()}
        attempt = OnnxImport(proto, shapes, batch, constants)
        report = attempt.report()
        more: set[str] = set()
        for problem in report.problems:
            if isinstance(problem.cause, NeedsConstantError):
                more |= attempt.roots(problem.cause) & set(data)
        if not more:
            break
        constants.update({name: given[name] for name in more})
    if report.problems:
        raise error_of(report.problems)
    graph, outputs = attempt.finish()
    every = {name: value.shape for name, value in given.items()}
    return _Planned(graph, outputs, batched, constants, every, options)


class LilnetxBackend(Backend):
    """The interface's entry points; the only device is the CPU."""

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether the model's operators can all be imported, as far as that is known now."""
        try:
            load_model(model)
        except (InputError, UnsupportedOperatorError):
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> LilnetxRep:
        """A model that can be run; ``threads`` and ``isa`` are options of its session."""
        if not cls.supports_device(device):
            raise InputError(f"device {device!r}: expected 'CPU'")
        return LilnetxRep(model, threads=kwargs.get("threads", 1), isa=kwargs.get("isa"))

    @classmethod
    def run_model(
        cls, model: Any, inputs: Any, device: str = "CPU", **kwargs: Any
    ) -> tuple[Any, ...]:
        """Prepares a model and runs it once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: Any,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Runs a single node."""
        import onnx

        arrays = [np.asarray(value) for value in inputs]
        names = [name for name in node.input if name]
        infos = [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in zip(names, arrays, strict=True)
        ]
        results = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = onnx.helper.make_graph([node], "node", infos, results)
        opset = onnx.helper.make_opsetid("", kwargs.get("opset", 17))
        return cls.run_model(onnx.helper.make_model(graph, opset_imports=[opset]), arrays, device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether it is the CPU."""
        return device.split(":")[0] == "CPU"


is_compatible = LilnetxBackend.is_compatible
prepare = LilnetxBackend.prepare
run_model = LilnetxBackend.run_model
run_node = LilnetxBackend.run_node
supports_device = LilnetxBackend.supports_device

__all__ = [
    "LilnetxBackend",
    "LilnetxRep",
    "is_compatible",
    "prepare",
    "run_model",
    "run_node",
    "supports_device",
]
