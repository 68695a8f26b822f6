import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from torch import nn  # noqa: E402

import lilnetx  # noqa: E402
from lilnetx.train.precision import channels_last, keep_strided_depthwise_float32  # noqa: E402


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_images_keep_compressed_layers_in_that_layout(channels):
    images = torch.randn(2, channels, 8, 8)
    network = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Conv2d(4, 4, 3))
    lilnetx.compress(network)
    moved = channels_last(images)
    assert torch.equal(moved, images)
    assert moved.stride() == (64 * channels, 1, 8 * channels, channels)
    out = network.to(memory_format=torch.channels_last)(moved)
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_strided_depthwise_layers_stay_float32_under_autocast():
    network = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 4, 3, stride=2, groups=4),
        nn.Conv2d(4, 4, 3, stride=2),
    )
    lilnetx.compress(network)
    keep_strided_depthwise_float32(network)
    kinds = []
    for layer in network:
        layer.register_forward_hook(lambda module, args, out: kinds.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(1, 4, 16, 16))
    assert kinds == [torch.bfloat16, torch.float32, torch.bfloat16]
