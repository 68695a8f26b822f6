"""A single-shot detector (Liu et al. 2015, arXiv 1512.02325) on MobileNetV2's blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lilnetx.networks.mobilenet import InvertedResidual

# Channels in eighths of the width, stride and expansion of the blocks; 1 in the last column: its
# value goes to a head.
_BLOCKS = (
    (4, 2, 3, 0),
    (4, 1, 3, 0),
    (8, 2, 3, 0),
    (8, 1, 3, 1),
    (16, 2, 3, 0),
    (16, 1, 3, 1),
    (16, 2, 2, 1),
)


class SingleShotDetector(nn.Module):
    """Boxes and class scores for a few anchors at each pixel of three sizes of feature maps."""

    def __init__(self, classes: int, in_channels: int, width: int, anchors: int) -> None:
        super().__init__()
        self.classes = classes
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU6(inplace=True),
        )
        blocks, boxes, scores, channels = [], [], [], width
        for eighths, stride, expansion, read in _BLOCKS:
            out = width * eighths // 4
            blocks.append(InvertedResidual(channels, out, stride, expansion))
            channels = out
            if read:
                boxes.append(nn.Conv2d(channels, 4 * anchors, 3, padding=1))
                scores.append(nn.Conv2d(channels, classes * anchors, 3, padding=1))
        self.blocks = nn.ModuleList(blocks)
        self.boxes, self.scores = nn.ModuleList(boxes), nn.ModuleList(scores)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images ``(N, C, H, W)`` to boxes ``(N, A, 4)`` and probabilities ``(N, A, classes)``.

        A box is its centre and size as offsets from its anchor.
        """
        x = self.stem(x)
        maps = []
        for block, (_, _, _, read) in zip(self.blocks, _BLOCKS, strict=True):
            x = block(x)
            if read:
                maps.append(x)
        boxes = [self._rows(head(m), 4) for head, m in zip(self.boxes, maps, strict=True)]
        scores = [
            self._rows(head(m), self.classes) for head, m in zip(self.scores, maps, strict=True)
        ]
        return torch.cat(boxes, 1), torch.cat(scores, 1).softmax(-1)

    @staticmethod
    def _rows(values: Tensor, size: int) -> Tensor:
        """``(N, anchors * size, H, W)`` to ``(N, H * W * anchors, size)``."""
        return values.permute(0, 2, 3, 1).reshape(values.shape[0], -1, size)


def ssd(
    classes: int = 21, *, in_channels: int = 3, width: int = 32, anchors: int = 6
) -> SingleShotDetector:
    """A single-shot detector; ``width`` is the stem's channels."""
    return SingleShotDetector(classes, in_channels, width, anchors)
