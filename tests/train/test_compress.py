import math

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402

import lilnetx  # noqa: E402
from lilnetx.errors import CompressionError  # noqa: E402
from lilnetx.train import Objective  # noqa: E402


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 10, 1),
        nn.Conv2d(10, 6, 3, stride=2, padding=1, groups=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )


def test_the_compressed_network_starts_near_the_dense_one():
    dense, model = make_network().eval(), make_network()
    lilnetx.compress(model, latent_width=64.0)
    x = torch.randn(4, 3, 12, 12)
    expected = dense(x)
    error = (model.eval()(x) - expected).abs().max() / expected.abs().max()
    assert 0 < error < 0.05


def test_two_lines_in_a_plain_loop_make_the_network_small():
    model = make_network()
    handle = lilnetx.compress(model, Objective(rate=20.0))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    x, target = torch.randn(32, 3, 12, 12), torch.randint(5, (32,))
    model(x)
    before = handle.report()
    for _ in range(150):
        loss = nn.functional.cross_entropy(model(x), target)
        loss = loss + handle.penalty()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = handle.report()
    assert after.bits < 0.7 * before.bits
    assert after.sparsity_kxk > before.sparsity_kxk
    assert after.macs_left < before.macs_left


def test_report_counts_slices_and_computation():
    model = make_network()
    handle = lilnetx.compress(model, slice_1x1=4)
    model(torch.randn(2, 3, 12, 12))
    with torch.no_grad():
        for layer in handle.layers:
            layer.original.fill_(layer.parametrization.unit * 3)
        handle.layers[0].original[:, 1] = 0
        handle.layers[1].original[0] = 0
    report = handle.report()
    # Filters x slices: 8*3 and 6*5 K x K; 10*ceil(8/4) and 5*ceil(6/4) pointwise.
    assert [layer.slices for layer in report.layers] == [24, 20, 30, 10]
    assert [layer.zero_slices for layer in report.layers] == [8, 2, 0, 0]
    assert report.sparsity_kxk == 8 / 54
    assert report.sparsity_1x1 == 2 / 30
    macs = [24 * 9 * 144, 20 * 4 * 144, 30 * 9 * 36, 10 * 4]
    assert report.macs == sum(macs)
    assert report.macs_left == sum(macs) - 8 * 9 * 144 - 2 * 4 * 144


def test_layers_of_one_kernel_size_share_a_decoder():
    model = make_network()
    handle = lilnetx.compress(model)
    by_name = {layer.name: layer.parametrization.decoder for layer in handle.layers}
    assert by_name["0"] is by_name["3"]
    assert by_name["2"] is not by_name["0"]
    assert {d.name for d in by_name.values()} == {"3x3", "1x1", "linear"}


def test_groups_of_the_optimiser_cover_every_parameter_once():
    model = make_network()
    handle = lilnetx.compress(model)
    grouped = [id(p) for group in handle.parameter_groups(1e-3) for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in model.parameters()}


@pytest.mark.parametrize("norm", [1.0, 2.0, math.inf])
def test_slice_term_is_the_sum_of_norms_over_the_latent_count(norm):
    model = make_network()
    handle = lilnetx.compress(
        model, Objective(rate=0.0, slices=2.0, slice_norm=norm, cost_weighted=False)
    )
    total = 0.0
    for layer in handle.layers:
        phi = layer.latents().detach()
        if phi.shape[-1] > 1:
            total += float(torch.linalg.vector_norm(phi, ord=norm, dim=-1).sum())
    assert handle.penalty().item() == pytest.approx(2.0 * total / handle.latent_count, rel=1e-5)
    assert handle.penalty(0.5).item() == pytest.approx(total / handle.latent_count, rel=1e-5)


def test_cost_weighting_favours_layers_with_large_images():
    model = make_network()
    handle = lilnetx.compress(model, Objective(rate=0.0, slices=1.0))
    model(torch.randn(1, 3, 12, 12))
    handle.penalty().backward()
    early, late = handle.layers[0].original.grad, handle.layers[2].original.grad
    # Gradients of 2-norms have unit length a slice, so the ratio is that of the output areas.
    ratio = early.norm(dim=-1).mean() / late.norm(dim=-1).mean()
    assert float(ratio) == pytest.approx(144 / 36, rel=1e-4)


def test_excluded_layers_stay_dense():
    model = make_network()
    handle = lilnetx.compress(model, exclude=["0", "6"])
    assert [layer.name for layer in handle.layers] == ["2", "3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"slice_1x1": 3}, "slice_1x1 must be 1 or 4"),
        ({"objective": Objective(slice_norm=3.0)}, "slice_norm must be"),
        ({"exclude": ["stem*"]}, "matches no layer; layers are: 0, 2, 3, 6"),
        ({"exclude": ["*"]}, "no Conv2d or Linear"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(CompressionError, match=message):
        lilnetx.compress(make_network(), **arguments)


def test_compressing_twice_is_refused():
    model = make_network()
    lilnetx.compress(model)
    with pytest.raises(CompressionError, match="only once"):
        lilnetx.compress(model)


def test_state_dict_round_trip_restores_the_weights():
    model, other = make_network(), make_network()
    lilnetx.compress(model)
    lilnetx.compress(other, latent_width=5.0)
    with torch.no_grad():
        for p in model.parameters():
            p += torch.randn_like(p) * 0.01
    fresh = make_network()
    lilnetx.compress(fresh)
    fresh.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, 12, 12)
    torch.testing.assert_close(fresh.eval()(x), model.eval()(x), rtol=0, atol=0)
    # The latents' unit is part of the state too: another start must not change what is loaded.
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other.eval()(x), model.eval()(x), rtol=0, atol=0)


def test_output_area_of_linear_layers_and_single_images():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)
            self.linear = nn.Linear(8, 4)

        def forward(self, image, tokens):
            return self.conv(image), self.linear(tokens)

    model = Tokens()
    handle = lilnetx.compress(model)
    model(torch.zeros(1, 9, 8), torch.zeros(2, 5, 8))
    assert {layer.name: layer.output_area for layer in handle.layers} == {"conv": 42, "linear": 5}


def test_layers_that_cannot_be_compressed_are_refused_before_anything_changes():
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    pruned = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    prune.l1_unstructured(pruned[1], "weight", 0.5)
    mixed = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4).double())
    for model, message in ((tied, "share one"), (pruned, "no plain"), (mixed, "float64")):
        with pytest.raises(CompressionError, match=message):
            lilnetx.compress(model)
        assert not nn.utils.parametrize.is_parametrized(model[0])
