"""MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381): for images of ImageNet's size, and small."""

from __future__ import annotations

from torch import Tensor, nn

# Of each stage: expansion, output channels at width 32, blocks, stride of the first block.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_WIDTH, _LAST = 32, 1280  # Channels of the original's stem, and of its last convolution.
# Stages that keep the size of small images: 28 or 32 pixels are halved three times, 224 five times.
_KEPT = (1,)


class InvertedResidual(nn.Module):
    """Expands channels by a 1x1 convolution, filters each by itself, and projects them back."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_activated(in_channels, hidden, 1))
        layers += [
            _activated(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(N, C, H, W)`` to ``(N, C', H/stride, W/stride)``."""
        out: Tensor = self.conv(x)
        return x + out if self.residual else out


class MobileNetV2(nn.Module):
    """A stem, seven stages of inverted residuals, and a linear layer."""

    def __init__(self, classes: int, in_channels: int, width: int, small: bool = False) -> None:
        super().__init__()
        channels = _scaled(_WIDTH, width)
        blocks: list[nn.Module] = [_activated(in_channels, channels, 3, 1 if small else 2)]
        for stage, (expansion, full, count, stride) in enumerate(_STAGES):
            for index in range(count):
                out = _scaled(full, width)
                step = stride if index == 0 and not (small and stage in _KEPT) else 1
                blocks.append(InvertedResidual(channels, out, step, expansion))
                channels = out
        last = _scaled(_LAST, width if small else max(width, _WIDTH))
        blocks.append(_activated(channels, last, 1))
        self.features = nn.Sequential(*blocks)
        dropout = 0.0 if small else 0.2
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, classes)``."""
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


def mobilenet_v2(classes: int = 1000, *, in_channels: int = 3, width: int = 32) -> MobileNetV2:
    """MobileNetV2; ``width`` is the stem's channels. The last convolution does not shrink."""
    return MobileNetV2(classes, in_channels, width)


def mobilenet_v2_small(classes: int = 10, *, in_channels: int = 3, width: int = 32) -> MobileNetV2:
    """Its form for images of about 32 pixels: strides that suit them, all channels scaled."""
    return MobileNetV2(classes, in_channels, width, small=True)


def _activated(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(inplace=True),
    )


def _scaled(channels: int, width: int) -> int:
    """``channels * width / 32`` to the nearest multiple of 8, but not below nine tenths of it."""
    exact = channels * width / _WIDTH
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded
