"""Compression of given weights: sizes and drops as asked, and rounding that knows the images."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="calibrates torch models")
from torch import nn  # noqa: E402

from lilnetx import reference  # noqa: E402
from lilnetx.errors import CalibrationError, CompressionError  # noqa: E402
from lilnetx.format import read_lnx, write_lnx  # noqa: E402
from lilnetx.format.writer import encode_lnx  # noqa: E402
from lilnetx.graph.from_torch import from_torch  # noqa: E402
from lilnetx.graph.ir import LatentWeight  # noqa: E402
from lilnetx.packing.calibrate import compress_trained  # noqa: E402
from lilnetx.packing.calibrate.compress import calibrate  # noqa: E402
from lilnetx.packing.calibrate.judge import Judge, wilson  # noqa: E402
from lilnetx.packing.calibrate.network import RoundedNetwork  # noqa: E402

SHAPE = (3, 12, 12)


def network(seed=0):
    """A classifier with full, depthwise, grouped and pointwise layers, and answers of all kinds."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(3, 24, 3, stride=2, padding=1),
        nn.ReLU6(),
        nn.Conv2d(24, 24, 3, padding=1, groups=24),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.Conv2d(24, 48, 1),
        nn.ReLU(),
        nn.Conv2d(48, 48, 3, padding=1, groups=4, bias=False),
        nn.ReLU(),
        nn.ConvTranspose2d(48, 32, 2, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    ).eval()
    with torch.no_grad():
        model[-1].bias -= model(torch.from_numpy(smooth_images(64, seed=9))).mean(0)
    return model


def smooth_images(count, seed=1):
    """Images whose pixels and channels are correlated, as those of natural ones are."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(count, 1, 4, 4)) + 0.3 * rng.normal(size=(count, 3, 4, 4))
    return np.repeat(np.repeat(coarse, 3, axis=2), 3, axis=3).astype(np.float32)


@pytest.fixture(scope="module")
def graph():
    return from_torch(network(), SHAPE)


@pytest.fixture(scope="module")
def images():
    return smooth_images(64)


@pytest.mark.parametrize("target", [7000, 14000])
def test_a_size_is_met_within_five_percent_below(graph, images, target, tmp_path):
    compressed, report = compress_trained(graph, images, target_bytes=target)
    size = write_lnx(compressed, tmp_path / "m.lnx")
    assert 0.95 * target <= size <= target
    assert report.file_bytes == size
    weighted = [node for node in graph.nodes if node.weight is not None]
    assert [layer.name for layer in report.layers] == [node.name for node in weighted]
    assert sum(layer.bytes for layer in report.layers) < size
    assert report.held_out.images == report.calibration_images == 32


def test_sizes_just_below_the_largest_are_met(graph, images):
    _, finest = compress_trained(graph, images, target_bytes=10**6)
    target = int(0.99 * finest.file_bytes)
    _, report = compress_trained(graph, images, target_bytes=target)
    assert 0.95 * target <= report.file_bytes <= target


def test_no_price_is_lower_than_one_that_matters(graph, images):
    network = RoundedNetwork(graph, calibrate(graph, images, [1.0], 1, 0), 1)
    least = network.cost_for(16)
    assert network.cost_for(30) == least
    finest, found, more = (network.at(cost).size for cost in (2.0**-160, least, 8 * least))
    assert found == pytest.approx(finest, rel=0.01)
    assert more < found


def test_the_file_answers_as_the_report_says(graph, images, tmp_path):
    compressed, report = compress_trained(graph, images, target_bytes=9000)
    write_lnx(compressed, tmp_path / "m.lnx")
    held_out = images[32:]
    before = reference.run(graph, held_out)[0]
    after = reference.run(read_lnx(tmp_path / "m.lnx"), held_out)[0]
    error = np.linalg.norm(after - before) / np.linalg.norm(before)
    assert report.held_out.output_error == pytest.approx(error, rel=1e-3)
    same = (after.argmax(1) == before.argmax(1)).mean()
    assert report.held_out.agreement == pytest.approx(same)
    assert all(isinstance(n.weight, LatentWeight) for n in compressed.nodes if n.weight is not None)


def test_more_bytes_make_smaller_errors(graph, images):
    small, large = (
        compress_trained(graph, images, target_bytes=target)[1] for target in (6000, 14000)
    )
    assert large.held_out.output_error < 0.5 * small.held_out.output_error
    for a, b in zip(small.layers, large.layers, strict=True):
        assert b.output_error < a.output_error
        assert b.bytes > a.bytes


def test_compensation_beats_plain_rounding_of_the_same_size(graph, images):
    errors = [
        compress_trained(graph, images, target_bytes=8000, compensate=compensate)[1]
        for compensate in (True, False)
    ]
    compensated, plain = (report.held_out.output_error for report in errors)
    assert compensated < 0.7 * plain


@pytest.mark.parametrize("limit", [0.03, 0.12])
def test_a_drop_is_kept_to(graph, images, limit):
    compressed, report = compress_trained(graph, images, max_drop=limit)
    assert 1 - report.held_out.agreement <= limit
    assert report.held_out.drop <= limit
    assert report.file_bytes == len(encode_lnx(compressed)) < 0.5 * len(encode_lnx(graph))


def test_the_drop_of_what_is_no_classifier_is_its_output_error(images):
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 4, 3))
    graph = from_torch(model.eval(), SHAPE)
    sizes = []
    for limit in (0.01, 0.1):
        _, report = compress_trained(graph, images, max_drop=limit)
        assert report.held_out.agreement is None
        assert report.held_out.output_error <= limit
        sizes.append(report.file_bytes)
    assert sizes[1] < sizes[0]


def test_the_same_seed_gives_the_same_bytes(graph, images):
    first, second = (
        encode_lnx(compress_trained(graph, images, target_bytes=8000)[0]) for _ in range(2)
    )
    assert first == second


def test_slices_of_several_channels(graph, images):
    compressed, report = compress_trained(graph, images, target_bytes=9000, slice_1x1=5)
    assert compressed.decoders["1x1g5"].matrix.shape == (5, 5)
    assert 0.95 * 9000 <= report.file_bytes <= 9000
    assert report.held_out.output_error < 0.3


def test_filters_that_nothing_sees_are_coarse(images):
    model = network()
    with torch.no_grad():
        model[5].bias[:40] = -1e3  # never above zero
    compressed, _ = compress_trained(from_torch(model, SHAPE), images, target_bytes=8000)
    latents = np.abs(compressed.node("5").weight.latents).mean(axis=(1, 2))
    assert latents[:40].mean() < 0.35 * latents[40:].mean()


class TestWrongUse:
    def test_no_target(self, graph, images):
        with pytest.raises(CompressionError, match="either a size in bytes or a limit"):
            compress_trained(graph, images)

    def test_a_target_that_nothing_can_meet(self, graph, images):
        with pytest.raises(CompressionError, match=r"no file of 300 bytes .* give a larger target"):
            compress_trained(graph, images, target_bytes=300)

    @pytest.mark.parametrize("drop", [0.0, -1.0, math.nan])
    def test_no_drop(self, graph, images, drop):
        with pytest.raises(CompressionError, match="must be above 0"):
            compress_trained(graph, images, max_drop=drop)

    def test_few_images(self, graph, images):
        with pytest.raises(CalibrationError, match="3 calibration images are too few"):
            compress_trained(graph, images[:3], target_bytes=9000)

    def test_images_of_another_shape(self, graph, images):
        with pytest.raises(CalibrationError, match=r"the network takes \(3, 12, 12\)"):
            compress_trained(graph, images[:, :, :8], target_bytes=9000)

    @pytest.mark.parametrize("contrast", [0.0, 0.003])
    def test_images_that_hardly_differ(self, graph, images, contrast):
        # As pixels from 0 to 1 are by a mean and a deviation of pixels from 0 to 255.
        with pytest.raises(CalibrationError, match=r"hardly differ .*\(by 0(\.41)? % of their"):
            compress_trained(graph, contrast * images - 0.8, target_bytes=9000)

    def test_images_beyond_all_measure(self, graph, images):
        with pytest.raises(CalibrationError, match=r"layer '0': .* normalised as the network"):
            compress_trained(graph, 1e25 * images, target_bytes=9000)

    def test_nothing_to_compress(self, images):
        graph = from_torch(nn.Sequential(nn.ReLU()).eval(), SHAPE)
        with pytest.raises(CompressionError, match="no convolution or linear layer"):
            compress_trained(graph, images, target_bytes=9000)


def test_the_original_agrees_with_itself(graph, images):
    answers = Judge(graph, images, True).compare(graph)
    assert (answers.output_error, answers.agreement, answers.drop) == (0.0, 1.0, 0.0)


def test_one_class_for_all_images_says_little(images):
    model = network()
    with torch.no_grad():
        model[-1].bias[2] += 10
    graph = from_torch(model, SHAPE)
    with pytest.warns(UserWarning, match=r"one class to 100\.0 % of the held-out images"):
        judge = Judge(graph, images, True)
    assert judge.compare(graph).commonest == 1.0


def test_several_classes_are_fine(graph, images, recwarn):
    answers = Judge(graph, images, True).compare(graph)
    classes = reference.run(graph, images)[0].argmax(1)
    assert answers.commonest == np.bincount(classes).max() / len(images) < 0.95
    assert not recwarn.list
    assert Judge(graph, images, False).compare(graph).commonest is None


@pytest.mark.parametrize("width", [16, 256])
def test_layers_whose_inputs_do_not_vary(images, width):
    # Sums of 2304 columns that never change: their rounding errors alone would be the covariance.
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 8, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).eval()
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.copy_(torch.rand(width) + 0.7)
    with pytest.warns(UserWarning, match="one class"):
        _, report = compress_trained(from_torch(model, SHAPE), images, target_bytes=90 * width)
    assert report.held_out.output_error < 0.01


@pytest.mark.parametrize(
    ("successes", "trials", "interval"), [(81, 263, (0.2553, 0.3662)), (20, 20, (0.8389, 1.0))]
)
def test_the_interval_of_a_share(successes, trials, interval):
    # Newcombe (1998), table I: 81 of 263 by Wilson's method is 0.2553 to 0.3662.
    assert wilson(successes, trials) == pytest.approx(interval, abs=5e-5)
