"""One ONNX node as its handler sees it: attributes, constants and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lilnetx.graph.builder import Array, GraphBuilder, Operand, RefusalError, Value


class NeedsConstantError(RefusalError):
    """An operator needs an input as a constant that depends on inputs of the network.

    Attributes:
        name: The ONNX value.
    """

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"has {what} {name!r} that depends on the input")
        self.name = name


class OnnxNode:
    """A node with its inputs looked up.

    Attributes:
        build: The graph in the making.
        kind: Name of the operator.
        opset: Version of the operator set.
        outputs: How many outputs are asked for.
    """

    def __init__(
        self, proto: Any, build: GraphBuilder, values: Mapping[str, Operand], opset: int
    ) -> None:
        import onnx

        self.build = build
        self.kind = str(proto.op_type)
        self.opset = opset
        self.names = list(proto.input)
        self.output_names = list(proto.output)
        self.outputs = sum(1 for name in proto.output if name)
        self._values = values
        self._attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute; texts are strings."""
        value = self._attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def has(self, index: int) -> bool:
        """Whether an optional input is there."""
        return index < len(self.names) and bool(self.names[index])

    def operand(self, index: int) -> Operand:
        """An input, constant or not."""
        if not self.has(index):
            raise RefusalError(f"has no input {index}")
        return self._values[self.names[index]]

    def value(self, index: int = 0) -> Value:
        """An input that is no constant."""
        operand = self.operand(index)
        if not isinstance(operand, Value):
            raise RefusalError("works on a constant")
        return operand

    def array(self, index: int, what: str) -> Array | None:
        """An optional constant input; None where it is absent."""
        if not self.has(index):
            return None
        operand = self.operand(index)
        if isinstance(operand, Value):
            raise NeedsConstantError(self.names[index], what)
        return operand

    def required(self, index: int, what: str) -> Array:
        """A constant input."""
        array = self.array(index, what)
        if array is None:
            raise RefusalError(f"has no {what}")
        return array

    def integers(self, index: int, what: str) -> list[int] | None:
        """An optional constant input as integers."""
        array = self.array(index, what)
        return None if array is None else [int(n) for n in np.asarray(array).reshape(-1)]

    def scalar(self, index: int, what: str, default: float) -> float:
        """An optional constant input of one number."""
        array = self.array(index, what)
        return default if array is None else float(np.asarray(array).reshape(-1)[0])


__all__ = ["NeedsConstantError", "OnnxNode"]
