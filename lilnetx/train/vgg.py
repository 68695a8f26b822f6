"""VGG-16 for small images (Simonyan and Zisserman 2014), with batch norm and one linear layer."""

from __future__ import annotations

from torch import Tensor, nn

# Channels of each 3x3 convolution at width 64; 0 halves the image. The original's last halving and
# its two wide linear layers belong to images of 224 pixels.
_LAYERS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)
_WIDTH = 64


class SmallVgg(nn.Module):
    """A VGG-16 of 13 convolutions, global average pooling and one linear layer.

    Attributes:
        features, head: Its parts.
    """

    def __init__(self, in_channels: int, classes: int, width: int) -> None:
        """``width`` is the first layers' channels, 64 in the original; all others follow."""
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for full in _LAYERS:
            if full == 0:
                layers.append(nn.MaxPool2d(2))
                continue
            out = full * width // _WIDTH
            layers += [
                nn.Conv2d(channels, out, 3, padding=1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(),
            ]
            channels = out
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, classes)``."""
        x = self.pool(self.features(x)).flatten(1)
        logits: Tensor = self.head(x)
        return logits
