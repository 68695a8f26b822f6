"""U-Net (Ronneberger et al. 2015, arXiv 1505.04597), padded, with batch norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Blocks down to a sixteenth of the image, and up again with what was there before."""

    def __init__(self, classes: int, in_channels: int, width: int, *, bilinear: bool) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(5)]
        self.down = nn.ModuleList(
            _block(a, b) for a, b in zip([in_channels, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        ups, blocks = [], []
        for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True):
            up: nn.Module = nn.ConvTranspose2d(a, b, 2, 2)
            if bilinear:
                up = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(a, b, 1))
            ups.append(up)
            blocks.append(_block(2 * b, b))
        self.up, self.blocks = nn.ModuleList(ups), nn.ModuleList(blocks)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, C, H, W)``, of sides that are multiples of 16, to ``(N, classes, H, W)``."""
        kept = []
        for i, block in enumerate(self.down):
            x = block(self.pool(x) if i > 0 else x)
            kept.append(x)
        for up, block, before in zip(self.up, self.blocks, kept[-2::-1], strict=True):
            x = block(torch.cat([before, up(x)], 1))
        logits: Tensor = self.head(x)
        return logits


def unet(
    classes: int = 2, *, in_channels: int = 3, width: int = 64, bilinear: bool = False
) -> UNet:
    """U-Net; ``width`` is the first block's channels, ``bilinear`` resizes without weights."""
    return UNet(classes, in_channels, width, bilinear=bilinear)
