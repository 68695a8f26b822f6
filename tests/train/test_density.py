import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from lilnetx.train.density import FactorisedDensity  # noqa: E402


def test_it_has_eleven_parameters_a_channel():
    assert sum(p.numel() for p in FactorisedDensity(9).parameters()) == 11 * 9


def test_probabilities_of_all_integers_sum_to_one():
    torch.manual_seed(0)
    density = FactorisedDensity(5)
    with torch.no_grad():
        for p in density.parameters():
            p += torch.randn_like(p) * 0.5
    integers = torch.arange(-400.0, 401.0)[:, None].expand(-1, 5)
    mass = torch.exp2(-density.bits(integers)).sum(0)
    torch.testing.assert_close(mass, torch.ones(5), rtol=0, atol=1e-3)


def test_cumulative_distribution_is_monotone():
    torch.manual_seed(1)
    density = FactorisedDensity(3)
    with torch.no_grad():
        for p in density.parameters():
            p += torch.randn_like(p)
    x = torch.linspace(-20, 20, 1001)[:, None].expand(-1, 3)
    assert (density.logits(x).diff(dim=0) >= 0).all()


def test_bits_agree_with_float64_in_both_tails():
    torch.manual_seed(2)
    density = FactorisedDensity(2)
    y = torch.tensor([[-12.0, 12.0], [0.0, 0.0], [7.0, -9.0]])
    bits = density.bits(y)
    exact = density.double().bits(y.double())
    torch.testing.assert_close(bits.double(), exact, rtol=1e-4, atol=1e-4)


def test_it_learns_the_entropy_of_a_source():
    torch.manual_seed(3)
    probabilities = torch.tensor([0.05, 0.15, 0.6, 0.15, 0.05])
    entropy = -(probabilities * probabilities.log2()).sum()
    source = torch.multinomial(probabilities, 20_000, replacement=True)[:, None] - 2.0
    density = FactorisedDensity(1)
    optimizer = torch.optim.Adam(density.parameters(), lr=0.03)
    for _ in range(600):
        optimizer.zero_grad()
        density.bits(source).mean().backward()
        optimizer.step()
    # The density is a mixture of sigmoids, so it comes near the entropy but not below it.
    assert entropy - 0.02 < density.bits(source).mean() < entropy + 0.05
