import dataclasses
import math

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn  # noqa: E402

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


@pytest.mark.parametrize(("exclude", "left"), [(["0", "6"], ["2", "3"]), ("[36]", ["0", "2"])])
def test_excluded_layers_stay_dense(exclude, left):
    handle = lilnetx.compress(make_network(), exclude=exclude)
    assert [layer.name for layer in handle.layers] == left


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"slice_1x1": 3}, "slice_1x1 must be 1 or 4"),
        ({"objective": Objective(slice_norm=3.0)}, "slice_norm must be"),
        ({"exclude": ["stem*"]}, "matches no layer; layers are: 0, 2, 3, 6"),
        ({"exclude": "*"}, "no Conv2d or Linear"),
        ({"latent_width": 0.0}, "latent_width must be above 0"),
        ({"objective": Objective(rate=-1.0)}, "rate must be a number of at least 0"),
        ({"objective": {"rate": 1.0}}, "must be an Objective, not dict"),
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


def test_the_area_of_a_layer_that_is_called_twice_is_that_of_both_calls():
    class Pyramid(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.head = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 4, 1)

        def forward(self, image):
            fine = self.stem(image)
            return self.head(fine), self.head(nn.functional.max_pool2d(fine, 2))

    model = Pyramid()
    handle = lilnetx.compress(model)
    for _ in range(3):
        model(torch.zeros(1, 1, 8, 8))
        assert [layer.output_area for layer in handle.layers] == [64, 80]
    # A layer on its own, outside of a pass of the model, counts once.
    for _ in range(2):
        model.head(torch.zeros(1, 2, 5, 5))
    assert handle.layers[1].output_area == 25


def test_frozen_layers_stay_dense():
    model = make_network()
    model[0].weight.requires_grad_(False)
    before = model[0].weight.clone()
    handle = lilnetx.compress(model)
    assert [layer.name for layer in handle.layers] == ["2", "3", "6"]
    assert torch.equal(model[0].weight, before)
    model.requires_grad_(False)
    with pytest.raises(CompressionError, match="only once"):
        lilnetx.compress(model)
    with pytest.raises(CompressionError, match="no Conv2d or Linear layer to compress"):
        lilnetx.compress(make_network().requires_grad_(False))


def test_a_head_of_zeros_learns():
    torch.manual_seed(0)
    x = torch.randn(64, 8)
    labels = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Conv2d(16, 4, 1), nn.Flatten())
    nn.init.zeros_(model[2].weight)
    handle = lilnetx.compress(model, Objective(rate=0.01))
    optimizer = torch.optim.Adam(handle.parameter_groups(0.003))
    for _ in range(200):
        hidden = model[1](model[0](x))[:, :, None, None]
        loss = nn.functional.cross_entropy(model[3](model[2](hidden)), labels)
        penalty = handle.penalty()
        assert penalty >= 0
        optimizer.zero_grad()
        (loss + penalty).backward()
        optimizer.step()
    assert loss < 0.3


def test_the_density_follows_the_latents_whatever_the_rate_weighs():
    model = make_network()
    handle = lilnetx.compress(model)
    densities = [p for n, p in model.named_parameters() if ".density." in n]
    gradients = []
    for objective in (Objective(slices=0.0), Objective(rate=1e-5, slices=0.0)):
        handle.objective = objective
        penalty = handle.penalty(0.5)
        bits = float(handle.penalty().detach()) / objective.rate
        assert float(penalty.detach()) == pytest.approx(0.5 * objective.rate * bits)
        layer = handle.layers[0].original
        by_density = torch.autograd.grad(penalty, densities, retain_graph=True)
        (by_latents,) = torch.autograd.grad(penalty, layer)
        gradients.append((by_density, by_latents / objective.rate))
    for a, b in zip(*(g[0] for g in gradients), strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(gradients[0][1], gradients[1][1])


def test_the_sampled_rate_is_the_mean_rate_on_average():
    model = make_network()
    handle = lilnetx.compress(model, Objective(slices=0.0))
    mean = handle.penalty().item()
    handle.objective = Objective(slices=0.0, sampled_noise=True)
    drawn = [handle.penalty().item() for _ in range(200)]
    assert len(set(drawn)) > 100
    assert sum(drawn) / len(drawn) == pytest.approx(mean, rel=2e-3)


def test_single_latents_are_left_to_the_rate_unless_they_are_to_count():
    model = make_network()
    handle = lilnetx.compress(model, Objective(rate=0.0, slices=1.0, cost_weighted=False))
    without = handle.penalty().item() * handle.latent_count
    handle.objective = dataclasses.replace(handle.objective, single_latents=True)
    alone = [layer.latents() for layer in handle.layers if layer.parametrization.length == 1]
    magnitudes = sum(float(phi.detach().abs().sum()) for phi in alone)
    assert magnitudes > 0
    assert handle.penalty().item() * handle.latent_count == pytest.approx(without + magnitudes)


def test_fixed_slices_stay_zero_in_the_model_its_checkpoint_and_its_average():
    model = make_network()
    handle = lilnetx.compress(model, Objective(rate=0.0, slices=0.0))
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    layer = handle.layers[0]
    with torch.no_grad():
        layer.original[:, 1] = 0
    handle.fix_zero_slices()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.randn(4, 3, 12, 12)).square().sum().backward()
        assert (layer.original.grad[:, 1] == 0).all()
        with torch.no_grad():  # as momentum would
            layer.original[:, 1] += layer.parametrization.unit
        average.update_parameters(model)
    other = make_network()
    lilnetx.compress(other)
    other.load_state_dict(model.state_dict())
    for network in (model, other, average.module):
        assert (network.eval()[0].weight[:, 1] == 0).all()
        assert (network[0].weight[:, 0] != 0).any()


def test_layers_that_cannot_be_compressed_are_refused_before_anything_changes():
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    pruned = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    prune.l1_unstructured(pruned[1], "weight", 0.5)
    mixed = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4).double())
    embedding = nn.Sequential(nn.Linear(4, 4), nn.Embedding(4, 4))
    embedding[1].weight = embedding[0].weight
    broken = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    nn.init.constant_(broken[1].weight, math.nan)
    for model, message in (
        (tied, "'0' and '1' share one weight: exclude both"),
        (embedding, "'0' and '1' share one weight: exclude both"),
        (pruned, "no plain"),
        (mixed, "float64"),
        (broken, "no finite numbers"),
    ):
        with pytest.raises(CompressionError, match=message):
            lilnetx.compress(model)
        assert not nn.utils.parametrize.is_parametrized(model[0])
