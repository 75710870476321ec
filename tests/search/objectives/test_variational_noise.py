"""ICCV Eq. 7-9 before they are simplified."""

import math

import pytest
import torch

from tests.search.problems import prepared_small, reference_of, searched
from unweave.search.objectives.variational_noise import VariationalNoise

EPSILON = 1e-6


@pytest.fixture(scope="module")
def small():
    return prepared_small()[:2]


def printed(beta=0.5):
    with pytest.warns(UserWarning, match="unbounded below"):
        return VariationalNoise(beta, printed=True)


def term(objective, r, mu, s):
    """`local_term` of one image with one channel."""
    return float(objective.local_term(torch.tensor([[r]], dtype=torch.float64), torch.tensor(mu), torch.tensor(s)))


@pytest.mark.parametrize(("r", "mu", "s"), [(2.0, 0.25, 0.5), (0.0, 0.9, 1.0), (-1.0, 0.5, 2.0)])
def test_local_term_equals_formula(r, mu, s):
    beta, noise = 0.4, (r * s) ** 2
    divergence = beta / 2 * (noise - math.log(noise + EPSILON) + (r * mu) ** 2 - 1)
    likelihood = 0.5 * ((r - mu * r) ** 2 + noise)
    assert term(VariationalNoise(beta), r, mu, s) == pytest.approx(divergence + likelihood)
    assert term(VariationalNoise(beta, reconstruction=False), r, mu, s) == pytest.approx(divergence)


def test_local_term_of_worked_example():
    # r = 2, mu = 1/4, s = 1/2, beta = 1: (1 - log(1 + 1e-6) + 1/4 - 1) / 2 + (9/4 + 1) / 2
    assert term(VariationalNoise(1.0), 2.0, 0.25, 0.5) == pytest.approx(0.125 + 1.625, abs=1e-6)


def test_local_term_sums_over_channels_and_positions():
    reference = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]], dtype=torch.float64)
    mu, s = torch.tensor([0.3, 0.6]).double(), torch.tensor([0.5, 1.5]).double()
    found = VariationalNoise(0.4).local_term(reference, mu[:, None, None], s[:, None, None])
    singles = [(1.0, 0.3, 0.5), (2.0, 0.3, 0.5), (3.0, 0.6, 1.5), (0.0, 0.6, 1.5)]
    assert found.shape == (1,)
    assert float(found) == pytest.approx(sum(term(VariationalNoise(0.4), *values) for values in singles), rel=1e-6)


def test_printed_equation_warns_and_equals_formula():
    r, mu, s, beta = 2.0, 0.25, 0.5, 0.5
    noise = (r * s) ** 2
    expected = beta / 2 * (noise - math.log(noise) + (r * mu) ** 2 - 1)
    expected += 0.5 * ((r - mu * r) ** 2 + math.log(2 * math.pi) + math.log(noise))
    assert term(printed(beta), r, mu, s) == pytest.approx(expected)


def test_printed_equation_is_unbounded_in_spread_below_beta_one():
    values = [term(printed(0.5), 1.0, 0.5, s) for s in (1e-2, 1e-4, 1e-8)]
    assert values[0] > values[1] > values[2]
    sound = [term(VariationalNoise(0.5), 1.0, 0.5, s) for s in (1e-2, 1e-4, 1e-8)]
    assert min(sound) > 0


def test_printed_equation_is_infinite_at_dead_units_with_finite_gradient_by_spread():
    reference = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    spread = torch.tensor([0.5, 0.5], dtype=torch.float64, requires_grad=True)
    gate = torch.tensor([0.3, 0.3], dtype=torch.float64, requires_grad=True)
    value = printed(0.5).local_term(reference, gate, spread)
    assert not torch.isfinite(value).any()
    by_gate, by_spread = torch.autograd.grad(value.sum(), (gate, spread))
    assert torch.isfinite(by_gate).all()
    # d/ds of (1 - beta)/2 * 2 log s + beta/2 r^2 s^2, at s = 1/2, beta = 1/2: 1 and 1 + 1/2 * 4 * 1/2
    assert by_spread.tolist() == pytest.approx([1.0, 2.0])


def test_noise_follows_seed(small):
    first, again, other = (searched(*small, VariationalNoise(0.1), passes=1, seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first.scores, again.scores, strict=True))
    assert not torch.equal(first.scores[0], other.scores[0])


def test_noise_follows_pass(small):
    prepared, images = small
    scores = []
    for number in (0, 1):
        solver = searched(prepared, images, VariationalNoise(0.1), passes=1)
        positions = solver.images[0]
        solver.step([(0, positions)], reference_of(prepared, images, positions), number)
        scores.append(solver.scores[0][0])
    assert not torch.equal(*scores)


def test_noise_belongs_to_image_not_to_place_in_batch(small):
    prepared, images = small
    scores = []
    for turned in (False, True):
        solver = searched(prepared, images, VariationalNoise(0.1), passes=1)
        positions = solver.images[0][::-1].copy() if turned else solver.images[0]
        solver.step([(0, positions)], reference_of(prepared, images, positions), 0)
        scores.append(solver.scores[0][0])
    assert torch.allclose(*scores, rtol=0, atol=1e-12)


def test_spread_is_learned_too(small):
    start = searched(*small, VariationalNoise(0.1), passes=1, rate=1e-9)
    end = searched(*small, VariationalNoise(0.1), passes=1)
    moved = [(a - b).norm(dim=1) for a, b in zip(start.spreads, end.spreads, strict=True)]
    assert all((length > 0.01).all() for length in moved)


def test_printed_equation_can_be_searched(small):
    solver = searched(*small, printed(0.5), passes=1)
    assert all(torch.isfinite(table).all() for table in (*solver.scores, *solver.spreads))


def test_size_is_power_of_gated_activations():
    gated = torch.tensor([[[[1.0, 2.0]]], [[[3.0, 0.0]]]])
    assert float(VariationalNoise(9.0).size(torch.ones(1, 1), gated)) == (5 + 9) / 2
