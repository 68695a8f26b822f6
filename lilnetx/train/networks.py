"""Networks of ``lilnetx train``, by name; here ResNets of CIFAR form (He et al. 2015, 4.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from lilnetx import networks
from lilnetx.errors import UsageError
from lilnetx.networks.mobilenet import mobilenet_v2_small
from lilnetx.train.vgg import SmallVgg


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where shapes change."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = _conv3x3(out_channels, out_channels, 1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(N, C, H, W)`` to ``(N, C', H/stride, W/stride)``."""
        out = self.bn1(self.conv1(x)).relu()
        out = self.bn2(self.conv2(out)) + self.shortcut(x)
        activated: Tensor = out.relu()
        return activated


class CifarResNet(nn.Module):
    """A ResNet for small images: a 3x3 stem and three stages of ``depth`` blocks.

    Attributes:
        stem, stages, head: Its parts.
    """

    def __init__(self, depth: int, in_channels: int, classes: int, width: int = 16) -> None:
        """``width`` is the first stage's channels; later stages have 2 and 4 times as many."""
        super().__init__()
        self.stem = nn.Sequential(_conv3x3(in_channels, width, 1), nn.BatchNorm2d(width), nn.ReLU())
        stages, channels = [], width
        for stage in range(3):
            out_channels = width * 2**stage
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(BasicBlock(channels, out_channels, stride))
                channels = out_channels
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, classes)``."""
        x = self.pool(self.stages(self.stem(x))).flatten(1)
        logits: Tensor = self.head(x)
        return logits


def _by_keyword(build: Callable[..., nn.Module]) -> Callable[[int, int, int], nn.Module]:
    return lambda in_channels, classes, width: build(classes, in_channels=in_channels, width=width)


def _conv3x3(in_channels: int, out_channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)


# Name -> builder of (in_channels, classes, width).
NETWORKS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "resnet20": partial(CifarResNet, 3),
    "resnet32": partial(CifarResNet, 5),
    "resnet56": partial(CifarResNet, 9),
    "mobilenet_v2": _by_keyword(mobilenet_v2_small),
    "vgg16": SmallVgg,
    # For larger images, with torchvision's names of parameters.
    "resnet18": _by_keyword(networks.resnet18),
    "resnet34": _by_keyword(networks.resnet34),
    "resnet50": _by_keyword(networks.resnet50),
    "vgg16_bn": _by_keyword(networks.vgg16_bn),
    "mobilenet_v2_large": _by_keyword(networks.mobilenet_v2),
    "densenet121": _by_keyword(networks.densenet121),
}
# Of the original; the others have 16.
WIDTHS = {
    "resnet18": 64,
    "resnet34": 64,
    "resnet50": 64,
    "vgg16_bn": 64,
    "mobilenet_v2_large": 32,
    "densenet121": 64,
}


def build_network(name: str, in_channels: int, classes: int, width: int = 16) -> nn.Module:
    """A fresh network by name; UsageError when the name is unknown."""
    if name not in NETWORKS:
        raise UsageError(f"unknown network {name!r}; known: {', '.join(NETWORKS)}")
    return NETWORKS[name](in_channels, classes, width)
