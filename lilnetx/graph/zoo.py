"""ResNets as graphs without weights: shapes and wiring only, named as torchvision names modules."""

from __future__ import annotations

from lilnetx.graph.ir import (
    Add,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    Graph,
    Linear,
    MaxPool2d,
    Node,
    Op,
    Relu,
    Shape,
)


class _Builder:
    """Appends nodes; each method returns the name of the value that its node yields."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def add(self, name: str, op: Op, *inputs: str) -> str:
        self.nodes.append(Node(name, op, inputs))
        return name

    def conv(
        self, name: str, x: str, channels: int, filters: int, kernel: int, stride: int = 1
    ) -> str:
        padding = kernel // 2
        op = Conv2d(channels, filters, (kernel, kernel), (stride, stride), (padding, padding))
        return self.add(name, op, x)

    def block(
        self, name: str, x: str, channels: int, width: int, stride: int, bottleneck: bool
    ) -> tuple[str, int]:
        """A residual block with a projection where the shape changes; its value and channels."""
        out = width * 4 if bottleneck else width
        if bottleneck:
            y = self.conv(f"{name}.conv1", x, channels, width, 1)
            y = self.add(f"{name}.relu", Relu(), y)
            y = self.conv(f"{name}.conv2", y, width, width, 3, stride)
            y = self.add(f"{name}.relu_1", Relu(), y)
            y = self.conv(f"{name}.conv3", y, width, out, 1)
        else:
            y = self.conv(f"{name}.conv1", x, channels, width, 3, stride)
            y = self.add(f"{name}.relu", Relu(), y)
            y = self.conv(f"{name}.conv2", y, width, width, 3)
        if stride != 1 or channels != out:
            x = self.conv(f"{name}.downsample.0", x, channels, out, 1, stride)
        y = self.add(f"{name}.add", Add(), y, x)
        return self.add(f"{name}.relu_{2 if bottleneck else 1}", Relu(), y), out

    def stages(
        self, x: str, channels: int, widths: list[int], blocks: list[int], bottleneck: bool
    ) -> tuple[str, int]:
        """Stages of blocks; every stage but the first halves the image."""
        for i, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for j in range(count):
                stride = 2 if i > 0 and j == 0 else 1
                name = f"layer{i + 1}.{j}"
                x, channels = self.block(name, x, channels, width, stride, bottleneck)
        return x, channels

    def finish(self, x: str, channels: int, classes: int, input_shape: Shape) -> Graph:
        x = self.add("avgpool", GlobalAvgPool(), x)
        x = self.add("flatten", Flatten(), x)
        x = self.add("fc", Linear(channels, classes), x)
        return Graph("x", input_shape, tuple(self.nodes), (x,))


def _imagenet_resnet(
    blocks: list[int], bottleneck: bool, input_shape: Shape, classes: int
) -> Graph:
    build = _Builder()
    x = build.conv("conv1", "x", input_shape[0], 64, 7, 2)
    x = build.add("relu", Relu(), x)
    x = build.add("maxpool", MaxPool2d((3, 3), (2, 2), (1, 1)), x)
    x, channels = build.stages(x, 64, [64, 128, 256, 512], blocks, bottleneck)
    return build.finish(x, channels, classes, input_shape)


def resnet50(input_shape: Shape = (3, 224, 224), classes: int = 1000) -> Graph:
    """ResNet-50 v1.5 (the stride sits in the 3×3), 25.5 M parameters, 4.09 GMAC at 224×224."""
    return _imagenet_resnet([3, 4, 6, 3], True, input_shape, classes)


def resnet18(input_shape: Shape = (3, 224, 224), classes: int = 1000) -> Graph:
    """ResNet-18, 11.7 M parameters, 1.81 GMAC at 224×224."""
    return _imagenet_resnet([2, 2, 2, 2], False, input_shape, classes)


def resnet20(input_shape: Shape = (3, 32, 32), classes: int = 10) -> Graph:
    """ResNet-20 of CIFAR form with projection shortcuts, 0.27 M parameters, 41 MMAC at 32×32."""
    build = _Builder()
    x = build.conv("conv1", "x", input_shape[0], 16, 3)
    x = build.add("relu", Relu(), x)
    x, channels = build.stages(x, 16, [16, 32, 64], [3, 3, 3], False)
    return build.finish(x, channels, classes, input_shape)


ARCHITECTURES = {"resnet50": resnet50, "resnet18": resnet18, "resnet20": resnet20}

__all__ = ["ARCHITECTURES", "resnet18", "resnet20", "resnet50"]
