"""GoogLeNet, the first Inception network (Szegedy et al. 2014, arXiv 1409.4842).

As torchvision has it: with batch norm, and 3x3 convolutions where the paper has 5x5.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        padding = kernel // 2
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(N, C, H, W)`` to ``(N, F, H/stride, W/stride)``."""
        activated: Tensor = self.bn(self.conv(x)).relu()
        return activated


class Inception(nn.Module):
    """Four branches side by side: 1x1, 3x3, 3x3 again, and pooling."""

    def __init__(
        self,
        in_channels: int,
        one: int,
        reduce3: int,
        three: int,
        reduce5: int,
        five: int,
        pool: int,
    ) -> None:
        super().__init__()
        self.branch1 = ConvBlock(in_channels, one, 1)
        self.branch2 = nn.Sequential(
            ConvBlock(in_channels, reduce3, 1), ConvBlock(reduce3, three, 3)
        )
        self.branch3 = nn.Sequential(
            ConvBlock(in_channels, reduce5, 1), ConvBlock(reduce5, five, 3)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, 1, 1, ceil_mode=True), ConvBlock(in_channels, pool, 1)
        )
        self.out_channels = one + three + five + pool

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(N, C, H, W)`` to ``(N, out_channels, H, W)``."""
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(x) for branch in branches], 1)


# Channels of each module's branches in sixteenths of the width, at the original's width of 64.
_MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class GoogLeNet(nn.Module):
    """A stem that divides the image's size by eight, and nine Inception modules."""

    def __init__(self, classes: int, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = ConvBlock(in_channels, width, 7, 2)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = ConvBlock(width, width, 1)
        self.conv3 = ConvBlock(width, 3 * width, 3)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        channels = 3 * width
        for name, branches in _MODULES.items():
            scaled = [max(1, branch * width // 64) for branch in branches]
            module = Inception(channels, *scaled)
            self.add_module(f"inception{name}", module)
            channels = module.out_channels
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, classes)``."""
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        for name in _MODULES:
            if name == "4a":
                x = self.maxpool3(x)
            elif name == "5a":
                x = self.maxpool4(x)
            x = self.get_submodule(f"inception{name}")(x)
        logits: Tensor = self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))
        return logits


def googlenet(classes: int = 1000, *, in_channels: int = 3, width: int = 64) -> GoogLeNet:
    """GoogLeNet without its auxiliary classifiers; ``width`` is the stem's channels."""
    return GoogLeNet(classes, in_channels, width)
