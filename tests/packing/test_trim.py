"""Trimming: fewer bytes, zeros stay zeros, and no more divergence than was allowed."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="trims torch models")
from test_freeze import compressed  # noqa: E402
from torch import nn  # noqa: E402

from lilnetx.errors import PackError  # noqa: E402
from lilnetx.format import inspect_lnx  # noqa: E402
from lilnetx.packing import pack  # noqa: E402
from lilnetx.packing.latent_bits import latent_bits  # noqa: E402
from lilnetx.packing.trim import trim  # noqa: E402

SHAPE = (3, 9, 9)


def classifier():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 5),
    )


def trained():
    """A compressed classifier whose answers differ from image to image."""
    model, handle = compressed(classifier())
    with torch.no_grad():
        model[3].weight.mul_(100)
    return model.eval(), handle


def images(count=200):
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))


def integers(handle):
    return [layer.integers() for layer in handle.layers]


@pytest.mark.parametrize("limit", [1e-4, 1e-2])
def test_the_divergence_stays_within_the_limit_and_the_file_shrinks(limit, tmp_path):
    model, handle = trained()
    x = images()
    with torch.no_grad():
        reference = model(x[100:]).double().log_softmax(1)
    before = integers(handle)
    pack(model, tmp_path / "before.lnx", input_shape=SHAPE)
    report = trim(model, x, limit)
    pack(model, tmp_path / "after.lnx", input_shape=SHAPE)
    with torch.no_grad():
        answers = model(x[100:]).double().log_softmax(1)
    divergence = (reference.exp() * (reference - answers)).sum(1).mean()
    assert 0 < divergence <= limit
    assert report.divergence == pytest.approx(float(divergence), rel=1e-6)
    same = (answers.argmax(1) == reference.argmax(1)).double().mean()
    assert report.agreement == pytest.approx(float(same))
    sizes = [
        inspect_lnx(tmp_path / f"{name}.lnx").bytes_by_section["LATS"]
        for name in ("before", "after")
    ]
    assert sizes[1] < sizes[0]
    for old, new in zip(before, integers(handle), strict=True):
        assert (new[old == 0] == 0).all()
        assert (new.abs() <= old.abs()).all()
        assert (new.sign() * old.sign() >= 0).all()
    assert report.zero_slices_after >= report.zero_slices_before
    assert report.changed > 0


def test_a_larger_limit_gives_a_smaller_file(tmp_path):
    sizes = []
    for limit in (1e-4, 1e-3, 1e-2, 1e-1):
        model, _ = trained()
        trim(model, images(), limit)
        pack(model, tmp_path / "model.lnx", input_shape=SHAPE)
        sizes.append(inspect_lnx(tmp_path / "model.lnx").bytes_by_section["LATS"])
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.8 * sizes[0]


def test_it_keeps_what_matters_to_the_answers():
    """The same number of changes at random costs many times the divergence."""
    model, handle = trained()
    x = images()
    with torch.no_grad():
        reference = model(x[100:]).double().log_softmax(1)
    before = integers(handle)
    report = trim(model, x, 1e-3)
    generator = torch.Generator().manual_seed(0)
    for layer, old in zip(handle.layers, before, strict=True):
        lost = int((old.abs() - layer.integers().abs()).sum())
        live = old.flatten().nonzero()[:, 0]
        changed = old.clone().flatten()
        for index in live[torch.randperm(len(live), generator=generator)].tolist():
            taken = min(lost, abs(int(changed[index])))
            changed[index] -= taken * int(changed[index].sign())
            lost -= taken
        with torch.no_grad():
            layer.original.copy_(changed.view_as(old) * layer.parametrization.unit)
    with torch.no_grad():
        answers = model(x[100:]).double().log_softmax(1)
    at_random = float((reference.exp() * (reference - answers)).sum(1).mean())
    assert at_random > 3 * report.divergence


def test_prices_are_those_of_what_occurs():
    values = torch.zeros(64, 32, 9)
    values[:8] = 1.0
    values[:8, :, 0] = 2.0
    prices = latent_bits([values], ["3x3"])[0]
    assert prices.values[1, 1] < 1.2  # always 1: the sign alone
    assert prices.values[1, 2] > 5
    assert prices.values[0, 2] < 1.2
    assert (prices.nonzero[:8] < prices.zero[:8]).all()
    assert (prices.nonzero[8:] > prices.zero[8:]).all()


def test_what_cannot_be_trimmed_is_refused():
    model, _ = trained()
    with pytest.raises(PackError, match="no integer latents"):
        trim(classifier(), images(), 0.01)
    with pytest.raises(PackError, match="at least 20"):
        trim(model, images(19), 0.01)
    for limit in (0.0, -1.0, float("nan")):
        with pytest.raises(PackError, match="above 0"):
            trim(model, images(), limit)
    with pytest.raises(PackError, match=r"\(N, classes\)"):
        trim(compressed(classifier()[:5])[0], images(), 0.01)
