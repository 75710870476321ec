"""The tap of a search against the same terms left to autograd."""

import pytest
import torch

from unweave.network.sites import Site
from unweave.network.tapping import along_channels
from unweave.search.chain import SearchTap
from unweave.search.objectives import objective_named

CHAINED = ("released", "variational", "concept-path")
LAYOUTS = {
    "channels second": ((5, 4, 3, 2), 1),
    "channels last": ((5, 3, 2, 4), 3),
    "tokens": ((5, 6, 4), 2),
    "vectors": ((5, 4), 1),
}


def chain_of(shape):
    """Three layers that keep `shape`, as a function of a tap."""
    count = torch.tensor(shape[1:]).prod()
    weights = [torch.randn(count, count, dtype=torch.float64) / count**0.5 for _ in range(3)]
    start = torch.randn(shape, dtype=torch.float64)

    def chain(tap):
        values = start
        for position, weight in enumerate(weights):
            values = tap(position, torch.tanh(values.flatten(1) @ weight).view(shape))
        return values

    return chain


def gradients_of(chain, tap, leaves, terms=lambda: 0.0):
    scores = chain(tap)
    loss = scores.flatten(1).cos().sum() + terms()
    return torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CHAINED)
@pytest.mark.parametrize("reconstruction", [True, False])
def test_handed_over_gradient_equals_autograd(layout, name, reconstruction):
    shape, dim = LAYOUTS[layout]
    objective = objective_named(name, 0.3, reconstruction=reconstruction)
    chain = chain_of(shape)
    references = []
    chain(lambda position, value: references.append(value) or value)
    sites = [Site(f"tanh:{i}", dim, shape[dim], shape[1:]) for i in range(3)]
    weight = torch.tensor([0.5, 0.5, 1.0, 0.0, 0.25], dtype=torch.float64)  # an image of weight 0 among them
    leaves = [torch.rand(5, shape[dim], dtype=torch.float64).requires_grad_() for _ in sites]

    found = gradients_of(chain, SearchTap(objective, sites, leaves, None, leaves, references, weight), leaves)

    gated = []

    def plain(position, value):
        gated.append(value * along_channels(leaves[position], value.ndim, dim))
        return gated[-1]

    def terms():
        pairs = zip(gated, references, strict=True)
        return sum((weight * objective.chain_term(h, r)).sum() for h, r in pairs)

    expected = gradients_of(chain, plain, leaves, terms)
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["literal", "variational-noise"])
def test_local_terms_are_gathered_weighted(layout, name):
    shape, dim = LAYOUTS[layout]
    objective, chain = objective_named(name, 0.3), chain_of(shape)
    references = []
    chain(lambda position, value: references.append(value) or value)
    sites = [Site(f"tanh:{i}", dim, shape[dim], shape[1:]) for i in range(3)]
    weight = torch.tensor([0.5, 0.5, 1.0, 0.0, 0.25], dtype=torch.float64)
    used, means, spreads = ([torch.rand(5, shape[dim], dtype=torch.float64) for _ in sites] for _ in range(3))
    tap = SearchTap(objective, sites, used, spreads if objective.noisy else None, means, references, weight)
    gated = []
    chain(lambda position, value: gated.append((value, tap(position, value))) or gated[-1][1])
    assert len(tap.local) == 3
    for position, (value, after) in enumerate(gated):
        # the network runs with the sampled gates, the term reads their means
        assert torch.equal(after, value * along_channels(used[position], value.ndim, dim))
        mean, spread = (along_channels(table[position], value.ndim, dim) for table in (means, spreads))
        expected = (weight * objective.local_term(references[position], mean, spread)).sum()
        assert float(tap.local[position]) == pytest.approx(float(expected))


def test_open_gates_change_nothing():
    shape = (5, 4, 3, 2)
    chain, references = chain_of(shape), []
    untouched = chain(lambda position, value: references.append(value) or value)
    ones = [torch.ones(5, 4, dtype=torch.float64)] * 3
    sites = [Site(f"tanh:{i}", 1, 4, shape[1:]) for i in range(3)]
    weight = torch.ones(5, dtype=torch.float64)
    tap = SearchTap(objective_named("released", 0.1), sites, ones, None, ones, references, weight)
    assert torch.equal(chain(tap), untouched)
    assert tap.local == []


def test_backward_leaves_activations_as_they_are():
    shape = (2, 4, 3, 2)
    references = [torch.randn(shape)]
    value = torch.randn(shape, requires_grad=True)
    gate = torch.rand(2, 4, requires_grad=True)
    kept = [tensor.detach().clone() for tensor in (references[0], value, gate)]
    sites = [Site("relu:0", 1, 4, shape[1:])]
    tap = SearchTap(objective_named("variational", 0.1), sites, [gate], None, [gate], references, torch.ones(2))
    tap(0, value).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(kept, (references[0], value.detach(), gate.detach()), strict=True))
    assert value.grad is not None
    assert gate.grad.shape == (2, 4)
