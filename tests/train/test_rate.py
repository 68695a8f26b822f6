import math

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from lilnetx.train.density import FactorisedDensity  # noqa: E402
from lilnetx.train.rate import expected_bits_tables, slice_norms, table_bits  # noqa: E402


def spread_density(channels: int) -> FactorisedDensity:
    torch.manual_seed(0)
    density = FactorisedDensity(channels)
    with torch.no_grad():
        for parameter in density.parameters():
            parameter += torch.randn_like(parameter) * 0.5
    return density


def test_the_table_is_the_mean_over_the_rounding_interval():
    density = spread_density(3)
    rows = torch.randn(200, 3) * 4
    (table,) = expected_bits_tables([density])
    noise = (torch.arange(2000) + 0.5) / 2000 - 0.5
    mean = sum(density.bits(rows + u) for u in noise) / len(noise)
    assert float(table_bits(rows, table)) == pytest.approx(float(mean.sum()), rel=2e-3)


def test_gradients_are_those_of_the_interpolated_table():
    density = spread_density(2)
    rows = (torch.randn(50, 2) * 5).requires_grad_()
    (table,) = expected_bits_tables([density])
    got = torch.autograd.grad(table_bits(rows, table), [rows, *density.parameters()])
    # The same by plain indexing.
    (table,) = expected_bits_tables([density])
    position = rows * 16 + 32 * 16
    cell = position.detach().floor().long()
    taps = torch.arange(2)
    low, high = table[taps, cell], table[taps, cell + 1]
    value = (low + (position - cell) * (high - low)).sum()
    expected = torch.autograd.grad(value, [rows, *density.parameters()])
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def test_latents_far_outside_the_table_go_on_along_its_last_line():
    density = FactorisedDensity(1)
    (table,) = expected_bits_tables([density])
    near, far = (table_bits(torch.tensor([[x]]), table) for x in (31.0, 331.0))
    assert far.isfinite()
    assert far > near


def test_the_lines_beyond_the_table_never_fall_outwards():
    density = FactorisedDensity(2)
    with torch.no_grad():
        # All mass lies beyond one end: bits fall towards it over the whole table.
        density.b[-1] = torch.tensor([-60.0, 60.0])
    (table,) = expected_bits_tables([density])
    rows = torch.tensor([[1e6, 1e6], [-1e6, -1e6]], requires_grad=True)
    total = table_bits(rows, table)
    assert total > 0
    (gradient,) = torch.autograd.grad(total, rows)
    assert (gradient * rows.sign() >= 0).all()


def test_tables_of_several_densities_are_those_of_each():
    first, second = spread_density(2), FactorisedDensity(3)
    together = expected_bits_tables([first, second])
    for table, density in zip(together, (first, second), strict=True):
        torch.testing.assert_close(table, expected_bits_tables([density])[0])


@pytest.mark.parametrize("concave", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_fast_norm_equals_the_plain_one(concave, weighted):
    rows = torch.randn(20, 9, dtype=torch.float64)
    rows[3] = 0
    weights = torch.rand(20, dtype=torch.float64) if weighted else None
    results = []
    for fast in (True, False):
        phi = rows.clone().requires_grad_()
        if fast:
            total = slice_norms(phi, weights, 2.0, concave=concave)
        else:
            norms = torch.linalg.vector_norm(phi, dim=-1)
            norms = torch.log2(1 + norms) if concave else norms
            total = (norms * (1 if weights is None else weights)).sum()
        total.backward()
        results.append((total.detach(), phi.grad))
    torch.testing.assert_close(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])
    assert (results[0][1][3] == 0).all()


@pytest.mark.parametrize("order", [1.0, math.inf])
def test_other_norms_can_be_concave_too(order):
    rows = torch.tensor([[3.0, 4.0]])
    norm = float(torch.linalg.vector_norm(rows, ord=order))
    assert float(slice_norms(rows, None, order, concave=True)) == pytest.approx(math.log2(1 + norm))


@pytest.mark.parametrize("taps", [1, 9])
def test_the_sum_in_cpp_is_that_in_torch(taps):
    (table,) = expected_bits_tables([spread_density(taps)])
    # Digits that both precisions have, or rounding would put some latents into different cells.
    spread = (torch.randn(3000, taps) * 8 * 64).round() / 64 + 1 / 128
    rows = torch.cat([spread, torch.full((3, taps), 400.0), torch.zeros(2, taps)])
    rows[0] = -500.0
    results = []
    # In float64 it is torch's.
    for dtype in (torch.float32, torch.float64):
        phi = rows.to(dtype).requires_grad_()
        values = table.detach().to(dtype).requires_grad_()
        total = table_bits(phi, values)
        results.append((total.detach(), *torch.autograd.grad(total, [phi, values])))
    for got, expected in zip(*results, strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-3)


def test_latents_without_rows_cost_nothing():
    (table,) = expected_bits_tables([spread_density(2)])
    assert float(table_bits(torch.zeros(0, 2), table)) == 0


def test_shapes_that_do_not_fit_are_refused():
    import numpy as np

    from lilnetx._core import sum_of_table

    table = np.zeros((3, 5), np.float32)
    for latents, by_latents in (((4, 2), (4, 2)), ((4, 3), (3, 3))):
        with pytest.raises(ValueError, match=r"latents|gradients"):
            sum_of_table(
                np.zeros(latents, np.float32),
                table,
                cells=16,
                range=32,
                by_latents=np.zeros(by_latents, np.float32),
                by_table=np.zeros_like(table),
            )
