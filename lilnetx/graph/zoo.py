"""Networks as graphs without weights: shapes and wiring only, named as torchvision names modules.

Batch norm is left out, since it is folded into the convolution before it.
"""

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
    Relu6,
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
        self,
        name: str,
        x: str,
        channels: int,
        filters: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
    ) -> str:
        padding = kernel // 2
        op = Conv2d(
            channels,
            filters,
            (kernel, kernel),
            (stride, stride),
            (padding, padding),
            groups=groups,
        )
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

    def inverted_residual(
        self, name: str, x: str, channels: int, filters: int, stride: int, expansion: int
    ) -> str:
        """MobileNetV2's block: 1×1 up, depthwise 3×3, 1×1 down, and the input added if it can."""
        width, y, i = channels * expansion, x, 0
        if expansion != 1:
            y = self.conv(f"{name}.conv.0.0", y, channels, width, 1)
            y = self.add(f"{name}.conv.0.2", Relu6(), y)
            i = 1
        y = self.conv(f"{name}.conv.{i}.0", y, width, width, 3, stride, groups=width)
        y = self.add(f"{name}.conv.{i}.2", Relu6(), y)
        y = self.conv(f"{name}.conv.{i + 1}", y, width, filters, 1)
        return self.add(f"{name}.add", Add(), y, x) if stride == 1 and channels == filters else y

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


def vgg16_bn(input_shape: Shape = (3, 224, 224), classes: int = 1000) -> Graph:
    """VGG-16 with batch norm, 138 M parameters, 15.5 GMAC at 224×224.

    The first linear layer takes whatever image is left: 7×7 at 224×224, the size to which
    torchvision pools, where that pooling changes nothing.
    """
    build = _Builder()
    x, channels, height, width, i = "x", *input_shape, 0
    for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            x = build.conv(f"features.{i}", x, channels, filters, 3)
            x = build.add(f"features.{i + 2}", Relu(), x)  # batch norm is i + 1
            channels, i = filters, i + 3
        x = build.add(f"features.{i}", MaxPool2d((2, 2), (2, 2)), x)
        height, width, i = height // 2, width // 2, i + 1
    x = build.add("flatten", Flatten(), x)
    features = channels * height * width
    for i in (0, 3):  # dropout follows each
        x = build.add(f"classifier.{i}", Linear(features, 4096), x)
        x = build.add(f"classifier.{i + 1}", Relu(), x)
        features = 4096
    x = build.add("classifier.6", Linear(features, classes), x)
    return Graph("x", input_shape, tuple(build.nodes), (x,))


def mobilenet_v2(input_shape: Shape = (3, 224, 224), classes: int = 1000) -> Graph:
    """MobileNetV2 of width 1, 3.5 M parameters, 0.30 GMAC at 224×224."""
    build = _Builder()
    x = build.conv("features.0.0", "x", input_shape[0], 32, 3, 2)
    x = build.add("features.0.2", Relu6(), x)
    channels, i = 32, 1
    for expansion, filters, count, stride in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for j in range(count):
            first = stride if j == 0 else 1
            name = f"features.{i}"
            x = build.inverted_residual(name, x, channels, filters, first, expansion)
            channels, i = filters, i + 1
    x = build.conv("features.18.0", x, channels, 1280, 1)
    x = build.add("features.18.2", Relu6(), x)
    x = build.add("adaptive_avg_pool2d", GlobalAvgPool(), x)
    x = build.add("flatten", Flatten(), x)
    x = build.add("classifier.1", Linear(1280, classes), x)
    return Graph("x", input_shape, tuple(build.nodes), (x,))


ARCHITECTURES = {
    "resnet50": resnet50,
    "resnet18": resnet18,
    "resnet20": resnet20,
    "vgg16_bn": vgg16_bn,
    "mobilenet_v2": mobilenet_v2,
}

__all__ = ["ARCHITECTURES", "mobilenet_v2", "resnet18", "resnet20", "resnet50", "vgg16_bn"]
