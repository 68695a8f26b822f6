"""A graph as a plain dense torch module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lilnetx.errors import GraphError, MissingExtraError
from lilnetx.graph import ir
from lilnetx.graph.ir import Graph, Node, Weighted
from lilnetx.graph.shapes import infer_shapes
from lilnetx.graph.weights import dense_weight, transposed_weight

if TYPE_CHECKING:
    import torch


def to_torch(graph: Graph) -> torch.nn.Module:
    """Builds a dense float32 network of the same outputs.

    Args:
        graph: The network.

    Returns:
        A module in eval mode, on the CPU, with frozen weights. It takes ``(N, *input_shape)``, one
        tensor for each input, and returns a tensor, or a tuple where the graph has several outputs.
        Weighted layers sit at the paths of their nodes (``state_dict`` keys such as
        ``"layer1.0.conv1.weight"``).

    Raises:
        GraphError: The graph contradicts itself.
        MissingExtraError: torch is not installed.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "train", "building a torch model") from None
    from lilnetx.graph.torch_functions import FUNCTIONS

    shapes = infer_shapes(graph)

    class Network(torch.nn.Module):
        """Runs a graph's nodes in order."""

        def forward(self, x: torch.Tensor) -> Any:
            return self.evaluate(x)

        def evaluate(self, *inputs: torch.Tensor) -> Any:
            values = dict(zip(graph.inputs, inputs, strict=True))
            for node in graph.nodes:
                given = [values[name] for name in node.inputs]
                values[node.name] = evaluate(self, node, given, inputs[0])
            outputs = tuple(values[name] for name in graph.outputs)
            return outputs[0] if len(outputs) == 1 else outputs

    class NetworkOfSeveral(Network):
        """The same with several inputs."""

        def forward(self, *inputs: torch.Tensor) -> Any:
            return self.evaluate(*inputs)

    def evaluate(
        network: torch.nn.Module, node: Node, inputs: list[torch.Tensor], first: torch.Tensor
    ) -> torch.Tensor:
        op = node.op
        if isinstance(op, ir.Constant):
            value: torch.Tensor = network.get_submodule(node.name).value  # type: ignore[assignment]
            return value.expand(first.shape[0], *value.shape)
        if isinstance(op, Weighted | ir.ChannelAffine):
            y: torch.Tensor = network.get_submodule(node.name)(inputs[0])
            return y
        if type(op) not in FUNCTIONS:
            raise GraphError(f"node {node.name!r}: {type(op).__name__} has no torch form")
        result: torch.Tensor = FUNCTIONS[type(op)](
            op, tuple(shapes[name] for name in node.inputs), *inputs
        )
        return result

    network = NetworkOfSeveral() if graph.more_inputs else Network()
    for node in graph.nodes:
        if isinstance(node.op, Weighted):
            _attach(network, node.name, _layer(graph, node, node.op))
        elif isinstance(node.op, ir.ChannelAffine | ir.Constant):
            _attach(network, node.name, _stored(node))
    return network.eval().requires_grad_(False)


def _layer(graph: Graph, node: Node, op: Weighted) -> torch.nn.Module:
    """The torch layer of a weighted node."""
    import torch

    bias = node.bias is not None
    layer: torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.Linear
    weight = dense_weight(graph, node)
    if isinstance(op, ir.Linear):
        layer = torch.nn.Linear(op.in_features, op.out_features, bias)
    elif isinstance(op, ir.ConvTranspose2d):
        layer = torch.nn.ConvTranspose2d(
            op.in_channels,
            op.out_channels,
            op.kernel,
            op.stride,
            op.padding,
            op.output_padding,
            op.groups,
            bias,
            op.dilation,
        )
        weight = transposed_weight(weight, op.groups)
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
        layer.weight.copy_(torch.from_numpy(weight.copy()))
        if node.bias is not None and layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(node.bias.copy()))
    return layer


def _stored(node: Node) -> torch.nn.Module:
    """The values of a constant, or the scale and shift of channels, as a module."""
    import torch

    class ChannelAffine(torch.nn.Module):
        """``x * weight[c] + bias[c]`` along the axis after the batch."""

        weight: torch.Tensor
        bias: torch.Tensor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            shape = (-1, *[1] * (x.dim() - 2))
            return x * self.weight.reshape(shape) + self.bias.reshape(shape)

    if isinstance(node.weight, ir.DenseWeight):
        constant = torch.nn.Module()
        constant.register_buffer("value", torch.from_numpy(node.weight.values.copy()))
        return constant
    module = ChannelAffine()
    for name, values in (("weight", node.scale), ("bias", node.bias)):
        assert values is not None
        setattr(module, name, torch.nn.Parameter(torch.from_numpy(values.copy())))
    return module


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
