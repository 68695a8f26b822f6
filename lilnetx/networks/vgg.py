"""VGG-16 with batch norm (Simonyan and Zisserman 2014, arXiv 1409.1556, configuration D)."""

from __future__ import annotations

from torch import Tensor, nn

# Convolutions of each stage, and their channels relative to the first stage's.
_STAGES = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))
_POOLED = 7


class Vgg(nn.Module):
    """Five stages of 3x3 convolutions, each halved, and three linear layers."""

    def __init__(self, classes: int, in_channels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for count, factor in _STAGES:
            for _ in range(count):
                layers += [
                    nn.Conv2d(channels, width * factor, 3, padding=1),
                    nn.BatchNorm2d(width * factor),
                    nn.ReLU(inplace=True),
                ]
                channels = width * factor
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(_POOLED)
        hidden = width * 64
        self.classifier = nn.Sequential(
            nn.Linear(channels * _POOLED**2, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(hidden, classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, classes)``."""
        logits: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return logits


def vgg16_bn(classes: int = 1000, *, in_channels: int = 3, width: int = 64) -> Vgg:
    """VGG-16 with batch norm; ``width`` is the first stage's channels."""
    return Vgg(classes, in_channels, width)
