"""ONNX's backend interface, so that whatever is written for it runs on lilnetx.

``onnx.backend.test`` is an example: ``onnx.backend.test.BackendTest(lilnetx.onnx_backend, ...)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lilnetx.errors import InputError, MissingExtraError, UnsupportedOperatorError
from lilnetx.graph.builder import Value
from lilnetx.graph.from_onnx import OnnxImport, data_inputs, load_model
from lilnetx.graph.onnx_context import NeedsConstantError
from lilnetx.graph.problems import error_of
from lilnetx.runtime import Session

try:
    from onnx.backend.base import Backend, BackendRep
except ImportError:
    raise MissingExtraError("onnx", "onnx", "the ONNX backend") from None

Arrays = Sequence[NDArray[Any]]

# Operators that change no element.
_MOVING = frozenset({"Flatten", "Identity", "Pad", "Reshape", "Slice", "Split", "Transpose"})


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
            given = {name: _tensor(name, value) for name, value in inputs.items()}
        else:
            pairs = zip(self._names, inputs, strict=False)
            given = {name: _tensor(name, value) for name, value in pairs}
            if len(inputs) > len(self._names):
                raise InputError(f"found {len(inputs)} inputs, expected {len(self._names)}")
        missing = [name for name in self._names if name not in given]
        if missing:
            raise InputError(f"input {missing[0]!r} is missing")
        if self._plan is None or not self._plan.fits(given):
            self._plan = _plan(self._proto, given, self._options)
        return self._plan.run(given)


def _tensor(name: str, value: Any) -> NDArray[Any]:
    if isinstance(value, list) or value is None:
        raise UnsupportedOperatorError(f"input {name!r} is no tensor; give tensors")
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise UnsupportedOperatorError(f"input {name!r} has dtype {array.dtype}, expected float32")
    return array


class _Planned:
    """A session for inputs of some shapes, and for the values of those taken as constants."""

    def __init__(
        self,
        attempt: OnnxImport,
        given: Mapping[str, NDArray[Any]],
        constants: dict[str, NDArray[Any]],
        options: dict[str, Any],
    ) -> None:
        self._batched = attempt.build.lead == 1
        self._constants = constants
        self._shapes = {name: value.shape for name, value in given.items()}
        results = [attempt.values[value.name] for value in attempt.proto.graph.output]
        self._session: Session | None = None
        self._outputs: list[Any] = results
        if any(isinstance(result, Value) for result in results):
            graph, self._outputs = attempt.finish()
            self._session = Session(graph, **options)
            self._results = graph.outputs

    def fits(self, given: Mapping[str, NDArray[Any]]) -> bool:
        """Whether the plan is for such inputs."""
        return all(value.shape == self._shapes[name] for name, value in given.items()) and all(
            np.array_equal(given[name], value, equal_nan=value.dtype.kind == "f")
            for name, value in self._constants.items()
        )

    def run(self, given: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """All outputs of the model."""
        if self._session is None:
            return tuple(self._outputs)
        arrays = {
            name: (given[name] if self._batched else given[name][None]).astype(
                np.float32, copy=False
            )
            for name in self._session.input_shapes
        }
        # Integers are only moved: they come out as they went in.
        dtype = next(given[name].dtype for name in arrays)
        results = self._session.run(arrays)
        results = results if isinstance(results, tuple) else (results,)
        by_name = dict(zip(self._results, results, strict=True))
        return tuple(
            (by_name[output] if self._batched else by_name[output][0]).astype(dtype, copy=False)
            if isinstance(output, str)
            else output
            for output in self._outputs
        )


def _plan(proto: Any, given: dict[str, NDArray[Any]], options: dict[str, Any]) -> _Planned:
    """Imports by batches if that can be, else by whole values; the last error counts."""
    try:
        return _import(proto, given, True, options)
    except UnsupportedOperatorError:
        return _import(proto, given, False, options)


def _import(
    proto: Any, given: dict[str, NDArray[Any]], batched: bool, options: dict[str, Any]
) -> _Planned:
    moved = _moved(proto, given)
    constants = {n: v for n, v in given.items() if v.dtype != np.float32 and n not in moved}
    while True:
        data = {name: value for name, value in given.items() if name not in constants}
        if not data:
            raise UnsupportedOperatorError("no input is float32; convert the inputs to float32")
        if any(value.size == 0 for value in data.values()):
            raise UnsupportedOperatorError("an input is empty; give tensors with elements")
        attempt = OnnxImport(proto, {name: v.shape for name, v in data.items()}, constants, batched)
        problems = attempt.report().problems
        more: set[str] = set()
        for problem in problems:
            if isinstance(problem.cause, NeedsConstantError):
                more |= attempt.roots(problem.cause) & set(data)
        if not more:
            break
        constants.update({name: given[name] for name in more})
    if problems:
        raise error_of(problems)
    if batched and len({value.shape[:1] or None for value in data.values()} | {None}) > 2:
        raise UnsupportedOperatorError("the inputs have no batch in common")
    if batched and any(value.ndim == 0 for value in data.values()):
        raise UnsupportedOperatorError("an input has no batch")
    return _Planned(attempt, given, constants, options)


def _moved(proto: Any, given: Mapping[str, NDArray[Any]]) -> set[str]:
    """Inputs of integers that are only moved, and so small that float32 holds them."""
    if any(node.op_type not in _MOVING for node in proto.graph.node):
        return set()
    first = {node.input[0] for node in proto.graph.node}
    limit = 1 << 24
    return {
        name
        for name, value in given.items()
        if name in first and value.dtype.kind in "iu" and np.all(np.abs(value) <= limit)
    }


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
