"""A graph in the making: what all importers share.

Importers hand over values with all their axes, the batch included, as frameworks count them; the
builder makes operators without the batch, computes what is constant, and refuses what mixes images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lilnetx.errors import GraphError, UnsupportedOperatorError
from lilnetx.graph import ir
from lilnetx.graph.folding import fold_affines
from lilnetx.graph.ir import DenseWeight, Graph, Node, Op, Shape
from lilnetx.graph.shapes import infer_shapes


class RefusalError(Exception):
    """Why the graph cannot hold an operator; the importer adds which operator it is."""


@dataclass(frozen=True)
class Value:
    """What a node yields, or an input.

    Attributes:
        name: Of the node or the input.
        shape: All axes, the batch included where there is one.
    """

    name: str
    shape: Shape


Array = NDArray[np.generic]
Operand = Value | Array


@dataclass
class Draft:
    """A node in the making; scale and bias stay float64 until the graph is finished."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    path: str = ""
    weight: NDArray[np.float32] | None = None
    scale: NDArray[np.float64] | None = None
    bias: NDArray[np.float64] | None = None

    def node(self) -> Node:
        """The finished node."""
        scale, bias = self.scale, self.bias
        if isinstance(self.op, ir.ChannelAffine):
            scale = np.ones(self.op.channels) if scale is None else scale
            bias = np.zeros(self.op.channels) if bias is None else bias
        return Node(
            self.name,
            self.op,
            self.inputs,
            None if self.weight is None else DenseWeight(self.weight),
            None if scale is None else scale.astype(np.float32),
            None if bias is None else bias.astype(np.float32),
        )


@dataclass
class GraphBuilder:
    """Appends operators.

    Attributes:
        lead: 1 if the first axis of all values is the batch, 0 if values are whole.
        drafts: The nodes so far, by name.
        inputs: Shapes of the inputs by name, without the batch.
        name: Name for the next node, which the importer sets; made unique.
        path: Module that the next nodes come from.
        batch: Images that values have while the network is imported.
    """

    lead: int = 1
    drafts: dict[str, Draft] = field(default_factory=dict)
    inputs: dict[str, Shape] = field(default_factory=dict)
    name: str = ""
    path: str = ""
    batch: int = 1

    def input(self, name: str, shape: Shape) -> Value:
        """An input of the network, with all its axes."""
        self.inputs[name] = shape[self.lead :]
        self.batch = shape[0] if self.lead and shape else 1
        return Value(name, shape)

    def axis(self, axis: int, rank: int) -> int:
        """An axis without the batch; RefusalError where it is the batch."""
        counted = axis % rank - self.lead
        if counted < 0:
            raise RefusalError("works along the batch axis, which must stay as it is")
        return counted

    def add(self, op: Op, *values: Value, keep: Draft | None = None) -> Value:
        """Appends a node; ``keep`` has its weight, scale and bias."""
        try:
            op.check()
            shape = op.output_shape([value.shape[self.lead :] for value in values])
        except GraphError as error:
            raise RefusalError(str(error)) from error
        name, count = self.name, 0
        while name in self.drafts or name in self.inputs:
            count += 1
            name = f"{self.name}_{count}"
        draft = keep or Draft("", op, ())
        draft.name, draft.op, draft.path = name, op, self.path
        draft.inputs = tuple(value.name for value in values)
        self.drafts[name] = draft
        batch = values[0].shape[: self.lead] if values else (self.batch,) * self.lead
        return Value(name, (*batch, *shape))

    def constant(self, values: Array) -> Value:
        """A node that yields the same for each image, of values without the batch."""
        array = np.asarray(values, np.float32)
        op = ir.Constant(tuple(array.shape))
        return self.add(op, keep=Draft("", op, (), weight=array))

    def finish(self, outputs: Sequence[Operand]) -> tuple[Graph, dict[str, str]]:
        """The graph of what the outputs need, and the paths of its weighted nodes."""
        names = []
        for output in outputs:
            if not isinstance(output, Value):
                raise UnsupportedOperatorError("an output does not depend on the input")
            names.append(output.name)
        renamed = fold_affines(self.drafts, names, self.inputs)
        names = [renamed.get(name, name) for name in names]
        needed = set(names)
        for draft in reversed(self.drafts.values()):
            if draft.name in needed:
                needed.update(draft.inputs)
        kept = [draft for draft in self.drafts.values() if draft.name in needed]
        if not self.inputs:
            raise UnsupportedOperatorError("the network has no input that is not a constant")
        (first, shape), *more = self.inputs.items()
        graph = Graph(
            first,
            shape,
            tuple(draft.node() for draft in kept),
            tuple(names),
            more_inputs=dict(more),
        )
        infer_shapes(graph)
        weighted = [draft for draft in kept if isinstance(draft.op, ir.Weighted)]
        return graph, {draft.name: draft.path for draft in weighted}

    # Shapes.

    def reshape(self, x: Value, target: Sequence[int]) -> Value:
        """The same elements in C order in a shape that counts all axes; one size may be -1."""
        known = math.prod(n for n in target if n != -1)
        total = math.prod(x.shape)
        if known == 0 or (total % known if -1 in target else total != known):
            raise RefusalError(f"cannot make {tuple(target)} of shape {x.shape}")
        shape = tuple(total // known if n == -1 else int(n) for n in target)
        if shape == x.shape:
            return x
        if self.lead and (not shape or shape[0] != x.shape[0]):
            raise RefusalError(
                f"reshapes {x.shape} to {shape}: the first axis, the batch, must stay as it is"
            )
        inner = shape[self.lead :]
        if len(inner) == 1:
            return self.add(ir.Flatten(), x)
        return self.add(ir.Reshape(inner), x)

    def transpose(self, x: Value, axes: Sequence[int]) -> Value:
        """Axis i of the result is axis ``axes[i]``, all axes counted."""
        axes = [axis % len(x.shape) for axis in axes]
        if axes == list(range(len(axes))):
            return x
        if self.lead and axes[0] != 0:
            raise RefusalError("moves the batch axis, which must stay the first")
        return self.add(ir.Transpose(tuple(a - self.lead for a in axes[self.lead :])), x)

    def concat(self, operands: Sequence[Operand], axis: int) -> Value:
        """Values behind each other; constants count too."""
        first = next(o for o in operands if isinstance(o, Value))
        inner = self.axis(axis, len(first.shape))
        values = [o if isinstance(o, Value) else self.dynamic(o, first) for o in operands]
        return self.add(ir.Concat(inner), *values)

    def dynamic(self, array: Array, like: Value) -> Value:
        """A constant as a value, for operators of values such as ``like``."""
        values = np.asarray(array)
        if self.lead and values.ndim == len(like.shape):
            if values.shape[0] not in (1, like.shape[0]):
                raise RefusalError("has a constant with a batch of its own")
            if (values != values[:1]).any():
                raise RefusalError("has a constant that differs between images")
            values = values[0]
        return self.constant(values)

    def slice(self, x: Value, axis: int, start: int, stop: int | None, step: int) -> Value:
        """Elements ``start:stop:step`` of an axis, as Python counts."""
        size = x.shape[axis % len(x.shape)]
        indices = range(size)[start:stop:step]
        if indices == range(size):
            return x
        inner = self.axis(axis, len(x.shape))
        limit = 1 << 20
        start = min(max(start, -limit), limit)
        if stop is not None:
            stop = None if abs(stop) >= limit else stop
        return self.add(ir.Slice(inner, start, stop, step), x)

    def pad(
        self,
        x: Value,
        before: Sequence[int],
        after: Sequence[int],
        mode: str = "constant",
        value: float = 0.0,
    ) -> Value:
        """Padding of all axes."""
        if not any(before) and not any(after):
            return x
        if self.lead and (before[0] or after[0]):
            raise RefusalError("pads the batch")
        op = ir.Pad(
            tuple(int(n) for n in before[self.lead :]),
            tuple(int(n) for n in after[self.lead :]),
            mode,  # type: ignore[arg-type]
            float(np.float32(value)),
        )
        return self.add(op, x)

    def reduce(self, kind: str, x: Value, axes: Sequence[int], keep: bool) -> Value:
        """A reduction over some axes, all axes counted."""
        rank = len(x.shape)
        inner = tuple(sorted({self.axis(axis, rank) for axis in axes}))
        if kind == "mean" and rank - self.lead == 3 and inner == (1, 2):
            pooled = self.add(ir.GlobalAvgPool(), x)
            if keep:
                return pooled
            self.name = f"{self.name}.flatten"
            return self.add(ir.Flatten(), pooled)
        return self.add(ir.Reduce(kind, inner, keep), x)  # type: ignore[arg-type]

    def softmax(self, x: Value, axis: int) -> Value:
        """Softmax along an axis, all axes counted."""
        return self.add(ir.Softmax(self.axis(axis, len(x.shape))), x)


__all__ = ["Draft", "GraphBuilder", "Operand", "RefusalError", "Value"]
