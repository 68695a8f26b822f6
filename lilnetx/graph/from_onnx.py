"""An ONNX model as a graph."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lilnetx.arguments import PATH, require_type
from lilnetx.errors import GraphError, InputError, MissingExtraError, UnsupportedOperatorError
from lilnetx.graph.builder import Array, GraphBuilder, Operand, RefusalError, Value
from lilnetx.graph.free_size import merge_sizes
from lilnetx.graph.ir import Graph, Shape
from lilnetx.graph.onnx_context import NeedsConstantError, OnnxNode
from lilnetx.graph.onnx_patterns import fuse_gelu
from lilnetx.graph.problems import Problem, Report, error_of

if TYPE_CHECKING:
    import onnx

_MIN_OPSET = 13
# Sizes for axes that the file leaves open: of images, and to see that the network does not depend
# on the first ones. Batches are imported twice for the same reason.
_SIDES = (224, 256)
_BATCHES = (2, 3)


def from_onnx(
    model: onnx.ModelProto | str | os.PathLike[str],
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> Graph:
    """Imports an ONNX model of opset 13 or later, with float32 inputs.

    The first axis of each input is the batch, whatever size the file gives it. Where a file leaves
    height and width open, the graph has ``free_size`` if the network means the same at all sizes.

    Args:
        model: The model, or a file.
        input_shapes: Shape of inputs without the batch, for sizes that the file leaves open (224
            where it is not given).

    Returns:
        The graph, checked by shape inference.

    Raises:
        InputError: The file is no ONNX model, or a shape does not fit it.
        UnsupportedOperatorError: It holds an operator that the graph cannot express; the message
            names the node and what would help.
        MissingExtraError: onnx is not installed.
    """
    proto = load_model(model)
    shapes = _input_shapes(proto, input_shapes or {})
    first = OnnxImport(proto, _batched(shapes, _BATCHES[0])).graph()
    # Again with another batch, and other sizes where they are open.
    other = {name: tuple(_other(n) for n in shape) for name, shape in shapes.items()}
    if other != shapes and (merged := _merged(proto, first, other)) is not None:
        return merged
    again = merge_sizes(first, OnnxImport(proto, _batched(shapes, _BATCHES[1])).graph())
    if again is None:
        raise UnsupportedOperatorError(
            "the network does something else for another number of images; export it with a batch "
            "axis that every operator leaves alone"
        )
    return first


def _batched(shapes: Mapping[str, Shape], batch: int) -> dict[str, Shape]:
    return {name: (batch, *shape) for name, shape in shapes.items()}


class _OpenSize(int):
    """A size that the file leaves open."""


def _other(size: int) -> int:
    """Another size for an open axis; fixed ones stay."""
    return (_SIDES[1] if size == _SIDES[0] else size + 32) if isinstance(size, _OpenSize) else size


def _merged(proto: Any, first: Graph, other: Mapping[str, Shape]) -> Graph | None:
    """The graph for all sizes, where the network is the same at another one."""
    try:
        second = OnnxImport(proto, _batched(other, _BATCHES[1])).graph()
    except (UnsupportedOperatorError, GraphError):
        return None
    merged = merge_sizes(first, second)
    return None if merged is None else dataclasses.replace(merged, free_size=True)


def load_model(model: onnx.ModelProto | str | os.PathLike[str]) -> Any:
    """Reads a file and checks what the import relies on; local functions become plain nodes."""
    try:
        import onnx
        import onnx.inliner
    except ImportError:
        raise MissingExtraError("onnx", "onnx", "importing an ONNX model") from None
    if isinstance(model, onnx.ModelProto):
        proto = model
    else:
        require_type(model, PATH, InputError, "an onnx.ModelProto or an .onnx file")
        path = Path(model)
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise InputError(f"{path}: {what}; give an .onnx file")
        try:
            proto = onnx.load(path)
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"{path}: is no ONNX model ({first})") from error
    if not proto.graph.node and not proto.graph.output:
        raise InputError("the file is no ONNX model: it holds no graph")
    versions = {o.domain: o.version for o in proto.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 0))
    if opset < _MIN_OPSET:
        raise UnsupportedOperatorError(
            f"the model has opset {opset}, expected {_MIN_OPSET} or later; convert it with "
            "onnx.version_converter.convert_version(model, 17)"
        )
    return fuse_gelu(onnx.inliner.inline_local_functions(proto) if proto.functions else proto)


def data_inputs(proto: Any) -> list[Any]:
    """Inputs that are no initializers."""
    stored = {tensor.name for tensor in proto.graph.initializer}
    return [value for value in proto.graph.input if value.name not in stored]


def _input_shapes(proto: Any, given: Mapping[str, Sequence[int]]) -> dict[str, Shape]:
    """Shape of each input without the batch; open sizes are marked as such."""
    inputs = data_inputs(proto)
    unknown = set(given) - {value.name for value in inputs}
    if unknown:
        names = ", ".join(repr(value.name) for value in inputs)
        raise InputError(f"there is no input {sorted(unknown)[0]!r}; the model takes {names}")
    shapes: dict[str, Shape] = {}
    for value in inputs:
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or kind.elem_type != 1:
            raise UnsupportedOperatorError(
                f"input {value.name!r} is no float32 tensor; export the network with float32 inputs"
            )
        if not kind.HasField("shape") or len(kind.shape.dim) < 1:
            if value.name not in given:
                raise InputError(
                    f"input {value.name!r} has no batch axis or no known shape; give its shape"
                )
            shapes[value.name] = tuple(int(n) for n in given[value.name])
            continue
        sizes = []
        for i, dim in enumerate(kind.shape.dim[1:]):
            fixed = dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else 0
            if fixed == 0 and i == 0 and len(kind.shape.dim) == 4 and value.name not in given:
                raise InputError(
                    f"input {value.name!r} leaves the number of channels open; give its shape "
                    "(--input-shape)"
                )
            sizes.append(fixed or _OpenSize(_SIDES[0]))
        wanted = given.get(value.name)
        if wanted is not None:
            fits = len(wanted) == len(sizes) and all(
                isinstance(size, _OpenSize) or size == w
                for size, w in zip(sizes, wanted, strict=True)
            )
            if not fits or min(wanted, default=1) < 1:
                shown = ", ".join("?" if isinstance(n, _OpenSize) else str(n) for n in sizes)
                raise InputError(f"input {value.name!r} takes ({shown}), not {tuple(wanted)}")
            sizes = [
                _OpenSize(w) if isinstance(size, _OpenSize) else size
                for size, w in zip(sizes, wanted, strict=True)
            ]
        shapes[value.name] = tuple(sizes)
    if not shapes:
        raise UnsupportedOperatorError("the model has no input")
    return shapes


class OnnxImport:
    """One pass over a model, for one batch and one size of each input.

    Args:
        proto: The model.
        shapes: Shape of each input, all axes.
        constants: Values of inputs that are taken as constants.
        batched: Whether the first axis is the batch, or like any other.
    """

    def __init__(
        self,
        proto: Any,
        shapes: Mapping[str, Shape],
        constants: Mapping[str, Array] | None = None,
        batched: bool = True,
    ) -> None:
        import onnx

        from lilnetx.graph import onnx_images, onnx_values

        self.proto = proto
        self.handlers = {**onnx_images.HANDLERS, **onnx_values.HANDLERS}
        versions = {o.domain: o.version for o in proto.opset_import}
        self.opset = versions.get("", versions.get("ai.onnx", 0))
        self.build = GraphBuilder(int(batched))
        self.values: dict[str, Operand] = {
            tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer
        }
        self.values.update(constants or {})
        for name, shape in shapes.items():
            if name not in self.values:
                self.values[name] = self.build.input(name, tuple(map(int, shape)))
        # Where a value comes from: its node's inputs.
        self.sources: dict[str, list[str]] = {}

    def graph(self) -> Graph:
        """The whole network."""
        problems = self.report().problems
        if problems:
            raise error_of(problems)
        graph, outputs = self.finish()
        if not all(isinstance(output, str) for output in outputs):
            raise UnsupportedOperatorError(
                "an output does not depend on the input; leave it out of the model"
            )
        return graph

    def finish(self) -> tuple[Graph, list[str | Array]]:
        """The network after :meth:`report` found nothing, and for each output of the model its
        name in the network, or its value where it does not depend on the input.
        """  # noqa: D205
        results = [self.values[value.name] for value in self.proto.graph.output]
        computed = [result for result in results if isinstance(result, Value)]
        if not computed:
            raise UnsupportedOperatorError("no output depends on the input")
        graph, _ = self.build.finish(computed)
        names = iter(graph.outputs)
        return graph, [next(names) if isinstance(r, Value) else r for r in results]

    def report(self) -> Report:
        """Imports all nodes that can be; behind a problem, as far as shapes are known."""
        supported: Counter[str] = Counter()
        problems = []
        shapes: dict[str, Shape] | None = None
        for proto in self.proto.graph.node:
            self.sources.update({name: list(proto.input) for name in proto.output})
            known = all(not name or name in self.values for name in proto.input)
            try:
                if known or (proto.op_type not in self.handlers and not self._folds(proto)):
                    self.node(proto)
                supported[proto.op_type] += 1
            except RefusalError as refusal:
                where = f"node {proto.name or next(iter(proto.output), '?')!r}"
                problems.append(Problem(where, proto.op_type, str(refusal), refusal))
                shapes = self._known_shapes() if shapes is None else shapes
                for name in proto.output:
                    if name in shapes:
                        self.values[name] = self.build.input(f"{name} (unknown)", shapes[name])
        return Report(dict(supported), tuple(problems))

    def node(self, proto: Any) -> None:
        """Imports one node; RefusalError where that cannot be."""
        if any(a.type in (5, 10) for a in proto.attribute):  # graphs
            raise RefusalError("is control flow")
        values = [self.values.get(name) for name in proto.input if name]
        if all(not isinstance(value, Value) for value in values) and proto.op_type != "Dropout":
            self._fold(proto)
            return
        if proto.domain not in ("", "ai.onnx") or proto.op_type not in self.handlers:
            raise RefusalError("is not supported")
        self.build.name = self._name(proto)
        results = self.handlers[proto.op_type](OnnxNode(proto, self.build, self.values, self.opset))
        if isinstance(results, Value | np.ndarray):
            results = [results]
        for name, result in zip(proto.output, results, strict=False):
            if name:
                self.values[name] = result

    def _folds(self, proto: Any) -> bool:
        """Whether nothing is known against evaluating a node now."""
        return proto.op_type in _CONSTANT_OPERATORS

    def _fold(self, proto: Any) -> None:
        """Evaluates a node of constants."""
        import onnx
        from onnx.reference import ReferenceEvaluator

        graph = onnx.helper.make_graph(
            [proto],
            "constant",
            [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(proto.input) if name],
            [onnx.ValueInfoProto(name=name) for name in proto.output if name],
        )
        model = onnx.helper.make_model(graph, opset_imports=self.proto.opset_import)
        inputs = {name: self.values[name] for name in proto.input if name}
        try:
            results = ReferenceEvaluator(model).run(None, inputs)
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise RefusalError(f"of constants cannot be evaluated ({first})") from error
        names = [name for name in proto.output if name]
        self.values.update(
            {name: np.asarray(result) for name, result in zip(names, results, strict=True)}
        )

    def _name(self, proto: Any) -> str:
        """A weight's own name, as frameworks keep it, or that of the node or its output."""
        weight = proto.input[1] if len(proto.input) > 1 else ""
        if proto.op_type in ("Conv", "ConvTranspose", "Gemm", "BatchNormalization"):
            for ending in (".weight", "/weight"):
                if weight.endswith(ending) and len(weight) > len(ending):
                    return str(weight.removesuffix(ending))
        name = str(proto.name or next((name for name in proto.output if name), proto.op_type))
        return name[:512]

    def _known_shapes(self) -> dict[str, Shape]:
        """What onnx's own shape inference knows, for a pass behind what is not supported."""
        import onnx

        model = onnx.ModelProto()
        model.CopyFrom(self.proto)
        for value in model.graph.input:
            known = self.values.get(value.name)
            if isinstance(known, Value):
                value.type.tensor_type.ClearField("shape")
                for size in known.shape:
                    value.type.tensor_type.shape.dim.add().dim_value = size
        try:
            inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        except Exception:  # whatever it finds wrong, the pass goes on without shapes
            return {}
        shapes = {}
        for value in inferred.graph.value_info:
            kind = value.type.tensor_type
            if kind.elem_type == 1 and all(d.dim_value > 0 for d in kind.shape.dim):
                shapes[value.name] = tuple(int(d.dim_value) for d in kind.shape.dim)
        return shapes

    def roots(self, error: NeedsConstantError) -> set[str]:
        """The inputs of the model on which a value depends that must be a constant."""
        found, queue, seen = set(), [error.name], set()
        while queue:
            name = queue.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self.sources:
                queue += self.sources[name]
            elif isinstance(self.values.get(name), Value):
                found.add(name)
        return found


_CONSTANT_OPERATORS = frozenset({"Constant", "ConstantOfShape", "Range", "Gather", "Shape"})


def report_onnx(
    model: onnx.ModelProto | str | os.PathLike[str],
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> Report:
    """All that keeps a model from being imported, by one pass; see :func:`from_onnx`."""
    proto = load_model(model)
    shapes = _batched(_input_shapes(proto, input_shapes or {}), _BATCHES[0])
    return OnnxImport(proto, shapes).report()


__all__ = ["OnnxImport", "data_inputs", "from_onnx", "load_model", "report_onnx"]
