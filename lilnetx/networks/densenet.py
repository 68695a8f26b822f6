"""DenseNet-121 (Huang et al. 2016, arXiv 1608.06993)."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

_BOTTLENECK = 4


class DenseLayer(nn.Module):
    """Batch norm, ReLU and convolution, twice; the output joins the input's channels."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, _BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(_BOTTLENECK * growth)
        self.conv2 = nn.Conv2d(_BOTTLENECK * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(N, C, H, W)`` to ``(N, C + growth, H, W)``."""
        new = self.conv1(self.norm1(x).relu())
        return torch.cat((x, self.conv2(self.norm2(new).relu())), 1)


class Transition(nn.Module):
    """Halves channels and image."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, in_channels // 2, 1, bias=False)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(N, C, H, W)`` to ``(N, C/2, H/2, W/2)``."""
        halved: Tensor = self.pool(self.conv(self.norm(x).relu()))
        return halved


class DenseNet(nn.Module):
    """A stem that divides the image's size by four, four dense blocks, and a linear layer."""

    def __init__(
        self, depths: tuple[int, int, int, int], classes: int, in_channels: int, width: int
    ) -> None:
        super().__init__()
        growth = width // 2
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(in_channels, width, 7, 2, 3, bias=False),
            norm0=nn.BatchNorm2d(width),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, 2, 1),
        )
        channels = width
        for number, depth in enumerate(depths, 1):
            block: OrderedDict[str, nn.Module] = OrderedDict()
            for index in range(1, depth + 1):
                block[f"denselayer{index}"] = DenseLayer(channels, growth)
                channels += growth
            parts[f"denseblock{number}"] = nn.Sequential(block)
            if number < len(depths):
                parts[f"transition{number}"] = Transition(channels)
                channels //= 2
        parts["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(parts)
        self.classifier = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, classes)``."""
        logits: Tensor = self.classifier(self.features(x).relu().mean((2, 3)))
        return logits


def densenet121(classes: int = 1000, *, in_channels: int = 3, width: int = 64) -> DenseNet:
    """DenseNet-121; ``width`` is the stem's channels, twice the growth of a layer."""
    return DenseNet((6, 12, 24, 16), classes, in_channels, width)
