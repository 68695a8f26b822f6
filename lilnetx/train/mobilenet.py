"""MobileNetV2 for small images (Sandler et al. 2018): 1x1 and depthwise layers instead of 3x3."""

from __future__ import annotations

from torch import Tensor, nn

# Of each stage: expansion, output channels at width 32, blocks, stride of the first block. The
# original halves ImageNet's 224 pixels five times; images of 28 or 32 pixels keep their size in the
# stem and the second stage, and are halved three times.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_WIDTH, _LAST = 32, 1280  # Channels of the original's stem, and of its last convolution.


class InvertedResidual(nn.Module):
    """Expands channels by a 1x1 convolution, filters each by itself, and projects them back.

    Attributes:
        layers: The convolutions, each with its batch norm; no activation after the last.
        residual: Whether the input is added.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += _conv(in_channels, hidden, 1)
        layers += _conv(hidden, hidden, 3, stride, groups=hidden)
        layers += _conv(hidden, out_channels, 1)[:-1]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(N, C, H, W)`` to ``(N, C', H/stride, W/stride)``."""
        out: Tensor = self.layers(x)
        return x + out if self.residual else out


class MobileNetV2(nn.Module):
    """A MobileNetV2 whose strides suit images of about 32 pixels.

    Attributes:
        stem, stages, last, head: Its parts.
    """

    def __init__(self, in_channels: int, classes: int, width: int) -> None:
        """``width`` is the stem's channels, 32 in the original; all others follow, in eights."""
        super().__init__()
        channels = _scaled(_WIDTH, width)
        self.stem = nn.Sequential(*_conv(in_channels, channels, 3))
        blocks = []
        for expansion, full, count, stride in _STAGES:
            for index in range(count):
                out = _scaled(full, width)
                blocks.append(
                    InvertedResidual(channels, out, stride if index == 0 else 1, expansion)
                )
                channels = out
        self.stages = nn.Sequential(*blocks)
        last = _scaled(_LAST, width)
        self.last = nn.Sequential(*_conv(channels, last, 1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(last, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, classes)``."""
        x = self.pool(self.last(self.stages(self.stem(x)))).flatten(1)
        logits: Tensor = self.head(x)
        return logits


def _scaled(channels: int, width: int) -> int:
    """``channels * width / 32`` to the nearest multiple of 8, but not below nine tenths of it."""
    exact = channels * width / _WIDTH
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded


def _conv(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    return [
        nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(),
    ]
