"""Functions of one number, applied to every element."""

from __future__ import annotations

from dataclasses import dataclass

from lilnetx.graph.ops.base import Op, Shape, require


class Activation(Op):
    """An operator whose output has the shape of its input."""

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """The shape of its input."""
        return inputs[0]


@dataclass(frozen=True)
class Relu(Activation):
    """``max(x, 0)``."""


@dataclass(frozen=True)
class Relu6(Activation):
    """``min(max(x, 0), 6)``."""


@dataclass(frozen=True)
class HardSwish(Activation):
    """``x * min(max(x + 3, 0), 6) / 6``."""


@dataclass(frozen=True)
class Silu(Activation):
    """``x / (1 + exp(-x))``."""


@dataclass(frozen=True)
class HardSigmoid(Activation):
    """``min(max(x + 3, 0), 6) / 6``."""


@dataclass(frozen=True)
class Sigmoid(Activation):
    """``1 / (1 + exp(-x))``."""


@dataclass(frozen=True)
class LeakyRelu(Activation):
    """x where it is at least 0, else ``slope * x``; the slope is a float32."""

    slope: float


@dataclass(frozen=True)
class Clip(Activation):
    """``min(max(x, least), most)``; the bounds are float32 and may be infinite."""

    least: float
    most: float

    def check(self) -> None:
        """See :class:`Op`."""
        require(self.least <= self.most, f"the bounds {self.least} and {self.most} are crossed")


@dataclass(frozen=True)
class Gelu(Activation):
    """``x * Phi(x)``, Phi being the standard normal distribution."""


@dataclass(frozen=True)
class GeluTanh(Activation):
    """``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``."""


__all__ = [
    "Activation",
    "Clip",
    "Gelu",
    "GeluTanh",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Relu",
    "Relu6",
    "Sigmoid",
    "Silu",
]
