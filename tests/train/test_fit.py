import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from torch import nn  # noqa: E402

import lilnetx  # noqa: E402
from lilnetx.train.fit import decorrelating_rotation  # noqa: E402


def correlated_conv() -> nn.Conv2d:
    """3x3 kernels whose taps are alike, as those of trained networks are."""
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 32, 3, padding=1, bias=False)
    with torch.no_grad():
        blurred = nn.functional.avg_pool2d(torch.randn(32, 16, 5, 5), 3, stride=1)
        conv.weight.copy_(blurred + 0.05 * torch.randn(32, 16, 3, 3))
    return conv


def test_the_rotation_is_orthogonal_and_decorrelates():
    weight = correlated_conv().weight.detach()
    rotation = decorrelating_rotation([weight], 9).double()
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(9).double(), rtol=0, atol=1e-6)
    rows = weight.double().reshape(-1, 9) @ rotation.T
    moment = rows.T @ rows
    off = moment - torch.diag(moment.diagonal())
    assert off.abs().max() < 1e-5 * moment.diagonal().max()
    assert (rotation.diagonal() >= 0).all()


def test_fresh_weights_keep_the_identity():
    torch.manual_seed(0)
    assert torch.equal(decorrelating_rotation([torch.randn(64, 64, 3, 3)], 9), torch.eye(9))


@pytest.mark.parametrize("width", [2.0, 8.0])
def test_decoded_weights_are_within_half_a_step_of_the_given_ones(width):
    conv = correlated_conv()
    given = conv.weight.detach().clone()
    handle = lilnetx.compress(conv, latent_width=width)
    step = handle.layers[0].parametrization.unit
    error = (conv.eval().weight.detach() - given).reshape(-1, 9)
    # An orthogonal transform keeps lengths: nine roundings by at most half a step each.
    assert error.norm(dim=1).max() <= step * 1.5 * 1.01
    # Uniform rounding errors: a root mean square of step / sqrt(12).
    assert float(error.square().mean().sqrt()) == pytest.approx(step / 12**0.5, rel=0.1)


def test_decorrelated_latents_of_the_same_step_need_fewer_bits():
    conv = correlated_conv()
    weight = conv.weight.detach()
    handle = lilnetx.compress(conv)
    layer = handle.layers[0]
    plain = torch.round(weight / layer.parametrization.unit).reshape(-1, 9)

    def entropy(integers):
        bits = 0.0
        for tap in integers.T:
            counts = torch.unique(tap, return_counts=True)[1].double()
            bits -= float((counts * torch.log2(counts / counts.sum())).sum())
        return bits

    assert entropy(layer.integers().reshape(-1, 9)) < 0.9 * entropy(plain)
