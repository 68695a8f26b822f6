"""Memory layout and reduced precision as the CPU's convolutions like them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def channels_last(images: Tensor) -> Tensor:
    """``(N, C, H, W)`` with channels last in memory, and told so by its strides.

    ``contiguous(memory_format=torch.channels_last)`` leaves the strides of a one-channel image as
    they are; the first convolution then answers channels first, and so do all others after it.
    """
    count, channels, height, width = images.shape
    out = images.new_empty(count, height, width, channels).permute(0, 3, 1, 2)
    return out.copy_(images)


def keep_strided_depthwise_float32(model: nn.Module) -> None:
    """Take strided depthwise convolutions out of autocast, in place.

    Their gradient in bfloat16 has no fast kernel on the CPU (oneDNN falls back to its reference
    code: 54 ms instead of 2 ms for 96 channels of 14x14 pixels and 128 images).
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1 and max(module.stride) > 1:
            module.forward = _in_float32(module)  # type: ignore[method-assign]


def _in_float32(module: nn.Conv2d):  # type: ignore[no-untyped-def]
    def forward(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return nn.Conv2d.forward(module, x.float())

    return forward
