"""One layer: what its inputs are, what changes of weights cost, and the integers that leads to."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="layers are torch modules")
from torch import nn  # noqa: E402

from lilnetx.errors import CalibrationError  # noqa: E402
from lilnetx.format.latents import encode_latents  # noqa: E402
from lilnetx.format.weight_info import WeightInfo  # noqa: E402
from lilnetx.graph.from_torch import from_torch  # noqa: E402
from lilnetx.graph.ir import Weighted  # noqa: E402
from lilnetx.graph.weights import dense_weight  # noqa: E402
from lilnetx.packing.calibrate.prices import layer_prices  # noqa: E402
from lilnetx.packing.calibrate.rounding import Quadratic, round_columns, upper_factor  # noqa: E402
from lilnetx.packing.calibrate.statistics import (  # noqa: E402
    collect_importance,
    collect_moments,
    groups_of,
    input_columns,
)

LAYERS = {
    "3x3": nn.Conv2d(6, 8, 3, padding=1),
    "2x3 strided": nn.Conv2d(6, 8, (2, 3), (2, 1), (1, 2), (2, 1)),
    "1x1 strided": nn.Conv2d(6, 8, 1, 2),
    "1x1 padded": nn.Conv2d(6, 8, 1, padding=1),
    "grouped": nn.Conv2d(6, 8, 3, groups=2),
    "depthwise": nn.Conv2d(6, 12, 5, padding=2, groups=6),
    "transposed": nn.ConvTranspose2d(6, 4, 3, 2, 1, 1),
    "transposed, grouped": nn.ConvTranspose2d(6, 4, (2, 3), (3, 1), (0, 3), groups=2, dilation=2),
    "linear": nn.Linear(7, 5),
}


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_are_weights_times_columns(name):
    layer = LAYERS[name]
    x = torch.randn(2, 6, 8, 7, generator=torch.Generator().manual_seed(0))
    graph = from_torch(nn.Sequential(layer).eval(), tuple(x.shape[1:]))
    node = next(node for node in graph.nodes if isinstance(node.op, Weighted))
    groups = groups_of(node.op)
    columns = input_columns(node.op, x)
    weight = torch.from_numpy(dense_weight(graph, node).copy()).reshape(
        groups, -1, columns.shape[1] // groups
    )
    found = weight @ columns.reshape(2, groups, columns.shape[1] // groups, -1)
    with torch.no_grad():
        expected = layer(x)
    bias = layer.bias.detach()
    if isinstance(layer, nn.Linear):
        expected = expected.reshape(2, -1, layer.out_features).mT
    expected = expected.reshape(2, len(bias), -1) - bias[:, None]
    torch.testing.assert_close(found.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["3x3", "2x3 strided", "1x1 strided", "transposed"])
def test_moments_of_some_positions_stand_for_all(name):
    images = np.random.default_rng(0).normal(size=(48, 6, 40, 40)).astype(np.float32)
    graph = from_torch(nn.Sequential(LAYERS[name]).eval(), (6, 40, 40))
    (known,) = collect_moments(graph, images, 1, 0, lambda done: None).values()
    node = next(node for node in graph.nodes if isinstance(node.op, Weighted))
    columns = input_columns(node.op, torch.from_numpy(images))
    exact = torch.einsum("icp,idp->cd", columns.double(), columns.double()) / len(images)
    assert known.positions == columns.shape[2]
    scale = exact.diagonal().mean()
    np.testing.assert_allclose(known.moments[0][0] / scale, exact / scale, atol=0.12)
    assert np.trace(known.moments[0][0]) == pytest.approx(float(exact.trace()), rel=0.05)


def test_importance_is_that_of_the_gradient():
    # The output is a sum: each filter's weights have the gradient sum(x), by a sign.
    model = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1)).eval()
    graph = from_torch(model, (3, 4, 4))
    images = np.random.default_rng(0).normal(size=(8, 3, 4, 4)).astype(np.float32)
    known = collect_moments(graph, images, 1, 0, lambda done: None)

    def loss(outputs):
        return (outputs[0].sum((1, 2, 3)) * torch.tensor([1.0, -1, 1, 1, -1, -1, 1, -1])).sum()

    collect_importance(graph, images, loss, known, lambda done: None)
    (layer,) = known.values()
    signs = np.array([1.0, -1, 1, 1, -1, -1, 1, -1])
    gradient = (images.mean((2, 3)) * signs[:, None]).sum(0)
    expected = (gradient**2).sum() / 8 / np.trace(layer.moments[0][0])
    np.testing.assert_allclose(layer.importance, [expected, expected], rtol=1e-4)


def correlated(columns, samples=400, seed=0):
    """A second moment of correlated inputs, ``(1, N, N)``."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(columns, samples)) + 2 * rng.normal(size=(1, samples))
    return (x @ x.T / samples)[None]


def rounded(weights, moment, length, *, bit_cost=1e-9, compensate=True, step=0.5):
    """Integers of a problem with equal steps: ``(groups, F, S, length)``."""
    groups, filters, columns = weights.shape
    steps = np.full((groups, filters), step)
    like = np.rint(weights / step).astype(np.int32).reshape(groups * filters, -1, length)
    quadratic = Quadratic(upper_factor(moment), np.arange(columns))
    return round_columns(
        weights.copy(),
        steps,
        np.ones((groups, filters)),
        quadratic,
        length,
        layer_prices(like),
        bit_cost,
        compensate=compensate,
    )


def error(weights, integers, moment, step=0.5):
    change = integers.reshape(weights.shape) * step - weights
    return float(((change @ moment) * change).sum())


def test_the_factor():
    moment = np.concatenate([correlated(7), correlated(7, seed=1)])
    upper = upper_factor(moment)
    np.testing.assert_allclose(upper.swapaxes(1, 2) @ upper @ moment, [np.eye(7)] * 2, atol=1e-8)
    assert (np.tril(upper, -1) == 0).all()


def test_rounding_errors_are_no_obstacle_to_the_factor():
    # Two columns that are one, but for the last digits of float32 sums.
    moment = np.array([[[1.0, 1.0], [1.0, 1.0 - 1e-6]]])
    upper = upper_factor(moment)
    grown = moment * [[1.001, 1.0], [1.0, 1.001]]
    np.testing.assert_allclose(upper.swapaxes(1, 2) @ upper @ grown, [np.eye(2)], atol=1e-8)
    assert moment[0, 0, 0] == 1.0  # as it was


def test_what_is_no_moment_has_no_factor():
    with pytest.raises(CalibrationError, match="no inverse"):
        upper_factor(-np.eye(3)[None])


@pytest.mark.parametrize(("columns", "length"), [(40, 1), (36, 9), (300, 1), (300, 4)])
def test_compensation_lowers_the_error_of_correlated_inputs(columns, length):
    rng = np.random.default_rng(1)
    weights, moment = rng.normal(size=(1, 16, columns)), correlated(columns, 3 * columns)
    plain = np.rint(weights / 0.5)
    compensated = rounded(weights, moment, length)
    assert error(weights, compensated, moment) < 0.5 * error(weights, plain, moment)
    np.testing.assert_array_equal(
        rounded(weights, moment, length, compensate=False).reshape(plain.shape), plain
    )


def test_inputs_without_correlation_need_no_compensation():
    weights = np.random.default_rng(2).normal(size=(3, 8, 18))
    moment = np.stack([np.eye(18)] * 3)
    found = rounded(weights, moment, 9)
    np.testing.assert_array_equal(found.reshape(weights.shape), np.rint(weights / 0.5))


@pytest.mark.parametrize("length", [1, 4])
def test_a_price_buys_bits_with_error(length):
    weights, moment = np.random.default_rng(3).normal(size=(1, 24, 64)), correlated(64)
    known = [
        rounded(weights, moment, length, bit_cost=cost) for cost in (1e-9, 0.02, 0.1, 1.0, 1e4)
    ]
    errors = [error(weights, integers, moment) for integers in known]
    bits = [coded_bytes(integers[0]) for integers in known]
    assert errors == sorted(errors)
    assert bits == sorted(bits, reverse=True)
    zero = [float((~integers.any(axis=-1)).mean()) for integers in known]
    assert zero == sorted(zero)
    assert zero[-1] == 1.0


def test_slices_of_silent_inputs_are_zero():
    moment = correlated(36)
    moment[:, 9:18], moment[:, :, 9:18] = 0, 0
    moment += 1e-6 * np.eye(36)
    weights = np.random.default_rng(4).normal(size=(1, 8, 36))
    found = rounded(weights, moment, 9, bit_cost=0.01)
    assert not found[:, :, 1].any()
    assert found[:, :, [0, 2, 3]].any(axis=-1).all()


def coded_bytes(integers):
    info = WeightInfo(
        False,
        integers.shape,
        integers.shape[0] * integers.shape[1],
        int(integers.any(axis=2).sum()),
    )
    return len(encode_latents([np.ascontiguousarray(integers)], [info]))


@pytest.mark.parametrize("length", [1, 9])
@pytest.mark.parametrize("width", [0.4, 3.0, 20.0])
def test_prices_are_about_what_the_coder_takes(length, width):
    rng = np.random.default_rng(5)
    by_row = np.exp(0.5 * rng.normal(size=(64, 1, 1)))
    integers = np.rint(rng.laplace(size=(64, 96, length)) * width * by_row).astype(np.int32)
    prices = layer_prices(integers)
    live = integers.any(axis=2)
    magnitudes, signs = np.abs(integers).sum(axis=2), (integers != 0).sum(axis=2)
    bits = np.where(
        live,
        prices.nonzero + length * prices.base + prices.slope * magnitudes + signs,
        prices.zero,
    )
    assert bits.sum() / 8 == pytest.approx(coded_bytes(integers), rel=0.12)
