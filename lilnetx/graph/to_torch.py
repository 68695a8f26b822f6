"""A graph as a plain dense torch module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lilnetx.errors import GraphError, MissingExtraError
from lilnetx.graph.ir import (
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    Graph,
    HardSigmoid,
    HardSwish,
    Linear,
    MaxPool2d,
    Node,
    Relu,
    Relu6,
    Sigmoid,
    Silu,
    Softmax,
)
from lilnetx.graph.shapes import infer_shapes
from lilnetx.graph.weights import dense_weight

if TYPE_CHECKING:
    import torch


def to_torch(graph: Graph) -> torch.nn.Module:
    """Builds a dense float32 network of the same outputs.

    Args:
        graph: The network.

    Returns:
        A module in eval mode, on the CPU, with frozen weights. It takes ``(N, *input_shape)`` and
        returns a tensor, or a tuple where the graph has several outputs. Weighted layers sit at
        the paths of their nodes (``state_dict`` keys such as ``"layer1.0.conv1.weight"``).

    Raises:
        GraphError: The graph contradicts itself.
        MissingExtraError: torch is not installed.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "train", "building a torch model") from None
    infer_shapes(graph)
    functional = torch.nn.functional

    class Network(torch.nn.Module):
        """Runs a graph's nodes in order."""

        def forward(self, x: torch.Tensor) -> Any:
            values = {graph.input_name: x}
            for node in graph.nodes:
                values[node.name] = evaluate(self, node, [values[name] for name in node.inputs])
            outputs = tuple(values[name] for name in graph.outputs)
            return outputs[0] if len(outputs) == 1 else outputs

    def evaluate(network: torch.nn.Module, node: Node, inputs: list[torch.Tensor]) -> torch.Tensor:
        op, x = node.op, inputs[0]
        match op:
            case Conv2d() | Linear():
                y: torch.Tensor = network.get_submodule(node.name)(x)
                return y
            case MaxPool2d():
                return functional.max_pool2d(
                    x, op.kernel, op.stride, op.padding, ceil_mode=op.ceil_mode
                )
            case AvgPool2d():
                return functional.avg_pool2d(
                    x, op.kernel, op.stride, op.padding, op.ceil_mode, op.count_include_pad
                )
            case GlobalAvgPool():
                return x.mean((2, 3), keepdim=True)
            case Flatten():
                return x.flatten(1)
            case Relu():
                return x.relu()
            case Relu6():
                return functional.relu6(x)
            case HardSwish():
                return functional.hardswish(x)
            case Silu():
                return functional.silu(x)
            case HardSigmoid():
                return functional.hardsigmoid(x)
            case Sigmoid():
                return x.sigmoid()
            case Add():
                return x + inputs[1]
            case Softmax():
                return x.softmax(1)
        raise GraphError(f"node {node.name!r}: {type(op).__name__} has no torch form")

    network = Network()
    for node in graph.nodes:
        if isinstance(node.op, Conv2d | Linear):
            _attach(network, node.name, _layer(graph, node, node.op))
    return network.eval().requires_grad_(False)


def _layer(graph: Graph, node: Node, op: Conv2d | Linear) -> torch.nn.Module:
    """The torch layer of a weighted node."""
    import torch

    bias = node.bias is not None
    layer: torch.nn.Conv2d | torch.nn.Linear
    if isinstance(op, Linear):
        layer = torch.nn.Linear(op.in_features, op.out_features, bias)
    else:
        layer = torch.nn.Conv2d(
            op.in_channels,
            op.out_channels,
            op.kernel,
            op.stride,
            op.padding,
            op.dilation,
            op.groups,
            bias,
        )
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(dense_weight(graph, node).copy()))
        if node.bias is not None and layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(node.bias.copy()))
    return layer


def _attach(root: torch.nn.Module, path: str, layer: torch.nn.Module) -> None:
    """Makes ``layer`` the submodule at a dotted path, with plain modules on the way."""
    import torch

    *parents, leaf = path.split(".")
    for name in parents:
        if name not in root._modules:
            root.add_module(name, torch.nn.Module())
        root = root.get_submodule(name)
    # A layer and the layers below it may come in either order.
    for name, child in getattr(root._modules.get(leaf), "_modules", {}).items():
        layer.add_module(name, child)
    root.add_module(leaf, layer)


__all__ = ["to_torch"]
