"""A network on a device: sparse convolutions by a backend, all other operators by torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lilnetx import _core
from lilnetx.backends.convolutions import Convolution, Maker
from lilnetx.backends.plan import DeviceStep
from lilnetx.graph.ir import (
    Conv2d,
    DenseWeight,
    Flatten,
    GlobalAvgPool,
    Graph,
    Node,
    Op,
    Shape,
    Weighted,
)
from lilnetx.graph.shapes import infer_shapes
from lilnetx.graph.to_torch import to_torch
from lilnetx.graph.weights import unslice
from lilnetx.runtime.fuse import ACTIVATIONS, FusedNode, fuse
from lilnetx.runtime.packed import PackedSlices, computed_density, unpack_slices

Inputs = tuple[Tensor, ...]

# The operator of each fused activation.
_ACTIVATION_OPS = {name: op for op, name in ACTIVATIONS.items()}


@dataclass(frozen=True)
class _Step:
    """A fused node with what computes it.

    Attributes:
        fused: The node and what is fused into it.
        convolution: For sparse convolutions.
        call: For everything else.
        dead: Values that no later step reads.
        density: Share of weights that are computed.
    """

    fused: FusedNode
    convolution: Convolution | None
    call: Callable[..., Tensor] | None
    dead: tuple[str, ...]
    density: float | None


class DeviceNetwork:
    """Runs a graph's steps on device tensors.

    Args:
        graph: The network. Of its weights only the shapes count.
        weights: Packed weight of each weighted node, by name.
        make: Makes the convolutions.
        device: Where.
        dtype: Of activations.

    Raises:
        GraphError: The graph contradicts itself.
    """

    def __init__(
        self,
        graph: Graph,
        weights: Mapping[str, _core.PackedWeight],
        make: Maker,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._graph = graph
        self._shapes = infer_shapes(graph)
        self._device = device
        self._dtype = dtype
        self._steps: list[_Step] = []
        # A constant reads nothing; the network's input tells it the batch.
        steps = [s if s.inputs else replace(s, inputs=(graph.input_name,)) for s in fuse(graph)]
        last: dict[str, int] = {}
        for i, step in enumerate(steps):
            for name in _reads(step):
                last[name] = i
        for i, step in enumerate(steps):
            kept = graph.outputs
            dead = tuple(n for n in set(_reads(step)) if last[n] == i and n not in kept)
            self._steps.append(self._prepare(step, weights, make, dead))

    def _prepare(
        self,
        step: FusedNode,
        weights: Mapping[str, _core.PackedWeight],
        make: Maker,
        dead: tuple[str, ...],
    ) -> _Step:
        node, op = step.node, step.node.op
        density = None
        if isinstance(op, Weighted):
            density = computed_density(weights[node.name], node.scale)
        if isinstance(op, Conv2d):
            slices = unpack_slices(weights[node.name], node.scale)
            bias = None if node.bias is None else torch.from_numpy(node.bias).to(self._device)
            convolution = make(op, slices, bias, self._device)
            return _Step(step, convolution, None, dead, density)
        nodes = [node]
        if isinstance(op, Weighted):
            # The graph's own weight may be older than the packed one.
            dense = DenseWeight(_dense(unpack_slices(weights[node.name], node.scale), op))
            nodes = [replace(node, weight=dense, scale=None)]
        if step.absorbed:
            pooled = isinstance(op, GlobalAvgPool)
            last: Op = Flatten() if pooled else _ACTIVATION_OPS[step.activation]()
            nodes.append(Node(step.output, last, (node.name,)))
        return _Step(step, None, self._module(nodes), dead, density)

    def _module(self, nodes: list[Node]) -> Callable[..., Tensor]:
        """A step as a torch module that takes the values that its first node reads, in order."""
        names = nodes[0].inputs
        sources = list(dict.fromkeys(names)) or [self._graph.input_name]
        first, *more = sources
        graph = Graph(
            first,
            self._shapes[first],
            tuple(nodes),
            (nodes[-1].name,),
            more_inputs={name: self._shapes[name] for name in more},
        )
        module = to_torch(graph).to(self._device, self._dtype)

        def call(*values: Tensor) -> Tensor:
            # A value that is read twice is given once.
            given = dict(zip(names or sources, values, strict=True))
            result: Tensor = module(*(given[name] for name in sources))
            return result

        return call

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The network's outputs.

        Args:
            inputs: Shape ``(N, *input_shape)``, on the device, of the network's dtype.
        """
        return self._walk(inputs, self._compute)

    def _walk(self, inputs: Inputs, compute: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        values = dict(zip(self._graph.inputs, inputs, strict=True))
        with torch.no_grad():
            for step in self._steps:
                fused = step.fused
                residual = None if fused.residual is None else values[fused.residual]
                inputs = tuple(values[name] for name in fused.inputs)
                values[fused.output] = compute(step, inputs, residual)
                for name in step.dead:
                    del values[name]
        return tuple(values[name] for name in self._graph.outputs)

    def _compute(self, step: _Step, inputs: Inputs, residual: Tensor | None) -> Tensor:
        if step.convolution is not None:
            return step.convolution(inputs[0], residual, step.fused.activation)
        assert step.call is not None
        return step.call(*inputs)

    def tune(self, *inputs: Tensor) -> None:
        """Chooses the kernels of all convolutions by measuring, for inputs like these."""

        def compute(step: _Step, read: Inputs, residual: Tensor | None) -> Tensor:
            if step.convolution is not None:
                step.convolution.tune(read[0], residual, step.fused.activation)
            return self._compute(step, read, residual)

        self._walk(inputs, compute)

    def plan(self, *inputs: Tensor) -> tuple[DeviceStep, ...]:
        """How inputs like these are computed; runs the network once."""
        steps: list[DeviceStep] = []

        def compute(step: _Step, read: Inputs, residual: Tensor | None) -> Tensor:
            result = self._compute(step, read, residual)
            steps.append(self._describe(step, read[0], residual is not None))
            return result

        self._walk(inputs, compute)
        return tuple(steps)

    def profile(
        self, inputs: Inputs, repeats: int, mark: Callable[[], object]
    ) -> list[list[object]]:
        """Marks before the first step and after each one.

        Args:
            inputs: As for :meth:`run`.
            repeats: Runs.
            mark: Gives a point in time.

        Returns:
            The marks of each run.
        """
        runs: list[list[object]] = []

        def compute(step: _Step, read: Inputs, residual: Tensor | None) -> Tensor:
            result = self._compute(step, read, residual)
            runs[-1].append(mark())
            return result

        for _ in range(repeats):
            runs.append([mark()])
            self._walk(inputs, compute)
        return runs

    def _describe(self, step: _Step, x: Tensor, residual: bool) -> DeviceStep:
        fused = step.fused
        kernel, reason = f"{type(fused.node.op).__name__.lower()}__torch", "by torch"
        if step.convolution is not None:
            kernel, reason = step.convolution.describe(x, residual)
        shapes = [self._shapes[name] for name in (*fused.inputs[:1], fused.output)]
        return DeviceStep(
            fused.node.name,
            type(fused.node.op).__name__,
            kernel,
            " -> ".join(map(_shape_text, shapes)),
            step.density,
            reason,
        )


def _dense(slices: PackedSlices, op: Weighted) -> NDArray[np.float32]:
    """The dense weight of packed slices, as :func:`lilnetx.graph.weights.dense_weight` gives it."""
    shape = slices.shape
    values = np.zeros((shape.filters, shape.slices, shape.length), np.float32)
    row = np.repeat(np.arange(shape.filters), np.diff(slices.filter_ptr))
    within = slices.channel % (shape.channels // shape.groups)
    values[row, within // shape.channels_per_slice] = slices.values
    return unslice(values, op)


def _reads(step: FusedNode) -> tuple[str, ...]:
    return (*step.inputs, *([step.residual] if step.residual else []))


def _shape_text(shape: Shape) -> str:
    return "x".join(map(str, shape))


__all__ = ["DeviceNetwork"]
