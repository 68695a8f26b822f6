"""SqueezeNet 1.1 (Iandola et al. 2016, arXiv 1602.07360)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then 1x1 and 3x3 ones side by side."""

    def __init__(self, in_channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeeze, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(N, C, H, W)`` to ``(N, 2 * expand, H, W)``."""
        x = self.squeeze_activation(self.squeeze(x))
        one = self.expand1x1_activation(self.expand1x1(x))
        return torch.cat([one, self.expand3x3_activation(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """Fire modules between poolings, and a convolution as the classifier."""

    def __init__(self, classes: int, in_channels: int, width: int) -> None:
        super().__init__()
        unit = width // 4  # 16 in the original
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, 2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(width, unit, 4 * unit),
            Fire(8 * unit, unit, 4 * unit),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(8 * unit, 2 * unit, 8 * unit),
            Fire(16 * unit, 2 * unit, 8 * unit),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(16 * unit, 3 * unit, 12 * unit),
            Fire(24 * unit, 3 * unit, 12 * unit),
            Fire(24 * unit, 4 * unit, 16 * unit),
            Fire(32 * unit, 4 * unit, 16 * unit),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Conv2d(32 * unit, classes, 1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, classes)``."""
        return torch.flatten(self.classifier(self.features(x)), 1)


def squeezenet1_1(classes: int = 1000, *, in_channels: int = 3, width: int = 64) -> SqueezeNet:
    """SqueezeNet 1.1; ``width`` is the stem's channels, a multiple of 4."""
    return SqueezeNet(classes, in_channels, width)
