import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from lilnetx.graph.ir import Decoder  # noqa: E402
from lilnetx.graph.weights import decode_slices  # noqa: E402
from lilnetx.train.latents import (  # noqa: E402
    LatentDecoder,
    LatentParametrization,
    to_slices,
    unslice,
)


def test_rounding_has_the_identity_as_its_gradient():
    decoder = LatentDecoder("1x1", 1, 0.25)
    phi = torch.tensor([[-1.5], [-0.4], [0.5], [0.6], [300.0]], requires_grad=True)
    decoded = decoder(phi, unit=1.0, exact=False)
    torch.testing.assert_close(decoded, torch.round(phi) * 0.25, rtol=0, atol=0)
    weights = torch.arange(5.0)[:, None]
    (decoded * weights).sum().backward()
    torch.testing.assert_close(phi.grad, weights * 0.25, rtol=0, atol=0)
    expected = (torch.round(phi) * weights).sum().reshape(1, 1)
    torch.testing.assert_close(decoder.matrix.grad, expected.detach(), rtol=0, atol=0)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_decoder_entry_beyond_its_grid_comes_back_and_goes_no_further(sign):
    decoder = LatentDecoder("1x1", 1, 0.25)
    with torch.no_grad():
        decoder.matrix.fill_(sign * 10.0)
    assert decoder.integers().item() == sign * (2**15 - 1)
    for wanted, moves in ((-sign, True), (sign, False)):
        decoder.matrix.grad = None
        # Gradient descent goes where the gradient is negative.
        (decoder(torch.ones(1, 1), unit=1.0, exact=False) * -wanted).sum().backward()
        assert (decoder.matrix.grad.item() != 0) == moves


@pytest.mark.parametrize(
    ("shape", "length"),
    [((5, 3, 3, 3), 9), ((4, 2, 5, 3), 15), ((6, 7, 1, 1), 4), ((6, 8, 1, 1), 1), ((3, 10), 4)],
)
def test_slices_round_trip(shape, length):
    weight = torch.randn(shape)
    slices = to_slices(weight, length)
    assert slices.shape[0] == shape[0]
    assert slices.shape[2] == length
    torch.testing.assert_close(unslice(slices, shape), weight, rtol=0, atol=0)


def test_slices_of_a_pointwise_layer_are_consecutive_channels():
    weight = torch.arange(12.0).reshape(2, 6, 1, 1)
    slices = to_slices(weight, 4)
    assert slices.shape == (2, 2, 4)
    assert slices[0, 0].tolist() == [0, 1, 2, 3]
    assert slices[0, 1].tolist() == [4, 5, 0, 0]


@pytest.mark.parametrize("length", [1, 4, 9, 25])
def test_eval_weights_equal_the_readers_bit_for_bit(length):
    generator = torch.Generator().manual_seed(length)
    decoder = LatentDecoder("group", length, 0.037)
    with torch.no_grad():
        decoder.matrix += torch.randn(length, length, generator=generator) * 0.02
    shape = (7, 5, 1, length) if length > 4 else (7, 5 * length, 1, 1)
    parametrization = LatentParametrization(decoder, shape, 0.02).eval()
    original = torch.randn(7, 5, length, generator=generator) * 0.1
    weight = parametrization(original)
    expected = decode_slices(
        parametrization.integers(original).numpy(),
        Decoder("group", decoder.integers().numpy(), decoder.exponent),
    )
    np.testing.assert_array_equal(to_slices(weight, length).detach().numpy(), expected)
    # Training sums in float32; for latents of this size that is exact as well.
    np.testing.assert_array_equal(
        to_slices(parametrization.train()(original), length).detach().numpy(), expected
    )


def test_zero_latents_decode_to_zero_weights():
    decoder = LatentDecoder("3x3", 9, 0.05)
    with torch.no_grad():
        decoder.matrix.normal_()
    parametrization = LatentParametrization(decoder, (2, 2, 3, 3), 1.0)
    original = torch.full((2, 2, 9), 0.49)
    original[1, 0, 4] = 2.0
    weight = parametrization(original)
    assert (weight[0] == 0).all()
    assert (weight[1, 1] == 0).all()
    assert (weight[1, 0] != 0).all()


def test_right_inverse_recovers_a_weight_up_to_rounding():
    torch.manual_seed(0)
    decoder = LatentDecoder("3x3", 9, 0.01)
    with torch.no_grad():
        decoder.matrix += torch.randn(9, 9) * 0.001
    parametrization = LatentParametrization(decoder, (8, 4, 3, 3), 0.01)
    weight = torch.randn(8, 4, 3, 3)
    error = (parametrization(parametrization.right_inverse(weight)) - weight).abs().max()
    # Rounding moves each latent by at most 1/2, so each weight by half a column's sum.
    assert error <= 0.5 * decoder.matrix.abs().sum(0).max() + 1e-4


def test_gradients_reach_latents_and_decoder():
    decoder = LatentDecoder("3x3", 9, 0.05)
    parametrization = LatentParametrization(decoder, (2, 3, 3, 3), 0.05)
    original = torch.nn.Parameter(torch.randn(2, 3, 9))
    parametrization(original).square().sum().backward()
    assert original.grad is not None
    assert decoder.matrix.grad is not None
    assert original.grad.abs().sum() > 0
    assert decoder.matrix.grad.abs().sum() > 0


def test_autocast_does_not_blur_the_integers():
    torch.manual_seed(1)
    decoder = LatentDecoder("3x3", 9, 0.037)
    parametrization = LatentParametrization(decoder, (4, 4, 3, 3), 0.01)
    original = torch.randn(4, 4, 9)
    plain = parametrization(original)
    with torch.autocast("cpu", torch.bfloat16):
        cast = parametrization(original)
    torch.testing.assert_close(cast, plain, rtol=0, atol=0)
