"""A network on a device: sparse convolutions by a backend, all other operators by torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lilnetx import _core
from lilnetx.backends.convolutions import Convolution, Maker
from lilnetx.backends.plan import DeviceStep
from lilnetx.graph.ir import Add, Conv2d, Graph, Linear, Node, Shape
from lilnetx.graph.shapes import infer_shapes
from lilnetx.graph.to_torch import to_torch
from lilnetx.runtime.fuse import FusedNode, fuse
from lilnetx.runtime.packed import computed_density, unpack_slices

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": torch.relu,
    "relu6": nn.functional.relu6,
    "hardswish": nn.functional.hardswish,
    "silu": nn.functional.silu,
    "hardsigmoid": nn.functional.hardsigmoid,
    "sigmoid": torch.sigmoid,
}


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
        graph: The network. Of its weights only the shapes count, but for linear layers.
        weights: Packed weight of each weighted node, by name.
        make: Makes the convolutions.
        device: Where.
        dtype: Of activations.

    Raises:
        GraphError: The graph contradicts itself.
        UnsupportedOperatorError: torch has no form of an operator.
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
        steps = fuse(graph)
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
        if isinstance(op, Conv2d | Linear):
            density = computed_density(weights[node.name], node.scale)
        if isinstance(op, Conv2d):
            slices = unpack_slices(weights[node.name], node.scale)
            bias = None if node.bias is None else torch.from_numpy(node.bias).to(self._device)
            convolution = make(op, slices, bias, self._device)
            return _Step(step, convolution, None, dead, density)
        activation = _ACTIVATIONS[step.activation]
        if isinstance(op, Add):
            return _Step(step, None, lambda a, b: activation(a + b), dead, None)
        module = self._module(node)
        # An activation that stands alone is its own node, and its name the step's activation.
        alone = not isinstance(op, Linear)
        call = module if alone else (lambda x: activation(module(x)))
        return _Step(step, None, call, dead, density)

    def _module(self, node: Node) -> nn.Module:
        """One node of one input as a torch module."""
        (source,) = node.inputs
        graph = Graph(
            source, self._shapes[source], (node,), (node.name,), self._graph.decoders
        )
        return to_torch(graph).to(self._device, self._dtype)

    def run(self, x: Tensor) -> tuple[Tensor, ...]:
        """The network's outputs.

        Args:
            x: Shape ``(N, *input_shape)``, on the device, of the network's dtype.
        """
        return self._walk(x, lambda step, *_: self._compute(step, *_))

    def _walk(self, x: Tensor, compute: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        values = {self._graph.input_name: x}
        with torch.no_grad():
            for step in self._steps:
                fused = step.fused
                residual = None if fused.residual is None else values[fused.residual]
                inputs = [values[name] for name in fused.inputs]
                values[fused.output] = compute(step, inputs, residual)
                for name in step.dead:
                    del values[name]
        return tuple(values[name] for name in self._graph.outputs)

    def _compute(self, step: _Step, inputs: list[Tensor], residual: Tensor | None) -> Tensor:
        if step.convolution is not None:
            return step.convolution(inputs[0], residual, step.fused.activation)
        assert step.call is not None
        return step.call(*inputs)

    def tune(self, x: Tensor) -> None:
        """Chooses the kernels of all convolutions by measuring, for inputs like ``x``."""

        def compute(step: _Step, inputs: list[Tensor], residual: Tensor | None) -> Tensor:
            if step.convolution is not None:
                step.convolution.tune(inputs[0], residual, step.fused.activation)
            return self._compute(step, inputs, residual)

        self._walk(x, compute)

    def plan(self, x: Tensor) -> tuple[DeviceStep, ...]:
        """How inputs like ``x`` are computed; runs the network once."""
        steps: list[DeviceStep] = []

        def compute(step: _Step, inputs: list[Tensor], residual: Tensor | None) -> Tensor:
            result = self._compute(step, inputs, residual)
            steps.append(self._describe(step, inputs[0], residual is not None))
            return result

        self._walk(x, compute)
        return tuple(steps)

    def profile(self, x: Tensor, repeats: int, mark: Callable[[], object]) -> list[list[object]]:
        """Marks before the first step and after each one.

        Args:
            x: As for :meth:`run`.
            repeats: Runs.
            mark: Gives a point in time.

        Returns:
            The marks of each run.
        """
        runs: list[list[object]] = []

        def compute(step: _Step, inputs: list[Tensor], residual: Tensor | None) -> Tensor:
            result = self._compute(step, inputs, residual)
            runs[-1].append(mark())
            return result

        for _ in range(repeats):
            runs.append([mark()])
            self._walk(x, compute)
        return runs

    def _describe(self, step: _Step, x: Tensor, residual: bool) -> DeviceStep:
        fused = step.fused
        kernel, reason = f"{type(fused.node.op).__name__.lower()}__torch", "by torch"
        if step.convolution is not None:
            kernel, reason = step.convolution.describe(x, residual)
        shapes = (self._shapes[fused.inputs[0]], self._shapes[fused.output])
        return DeviceStep(
            fused.node.name,
            type(fused.node.op).__name__,
            kernel,
            " -> ".join(map(_shape_text, shapes)),
            step.density,
            reason,
        )


def _reads(step: FusedNode) -> tuple[str, ...]:
    return (*step.inputs, *([step.residual] if step.residual else []))


def _shape_text(shape: Shape) -> str:
    return "x".join(map(str, shape))


__all__ = ["DeviceNetwork"]
