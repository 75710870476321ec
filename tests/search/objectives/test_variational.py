"""ICCV Eq. 12 and 13 on the gated chain."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.search.objectives.slopes import activations, difference_from_autograd
from unweave.network.sites import Site
from unweave.search.chain import SearchTap
from unweave.search.objectives.variational import Variational


def test_chain_term_sums_error_and_weighted_power():
    gated = torch.tensor([[[[1.0, 2.0]], [[0.5, 0.0]]]], dtype=torch.float64)
    reference = torch.tensor([[[[2.0, 2.0]], [[1.0, 1.0]]]], dtype=torch.float64)
    # ||r - h||^2 = 1 + 0 + 1/4 + 1 = 2.25, ||h||^2 = 1 + 4 + 1/4 = 5.25
    assert Variational(0.2).chain_term(gated, reference).tolist() == pytest.approx([2.25 + 0.2 * 5.25])
    assert Variational(0.2, reconstruction=False).chain_term(gated, reference).tolist() == pytest.approx([0.2 * 5.25])


def test_class_term_is_eq_12_without_division():
    scores = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64)
    objective, label = Variational(0.2), torch.tensor([0])
    assert objective.class_term(scores, scores, label).tolist() == pytest.approx([-math.log(3 / 4)])
    assert objective.scale(5) == 1.0


def test_every_class_adds_other_entries_of_one_hot_vector():
    scores = torch.tensor([[math.log(2), 0.0, 0.0]], dtype=torch.float64)
    # p = (1/2, 1/4, 1/4): -log 1/2 - log 3/4 - log 3/4
    found = Variational(0.2, every_class=True).class_term(scores, scores, torch.tensor([0]))
    assert found.tolist() == pytest.approx([math.log(2) - 2 * math.log(3 / 4)])


def test_no_term_reads_gates_alone():
    assert Variational(3.0).gate_term(torch.ones(2, 4)).tolist() == [0.0, 0.0]
    with pytest.raises(TypeError, match="variational has no term on gates alone"):
        Variational(3.0).local_term(torch.ones(2, 4), torch.ones(4), None)


def test_size_is_power_of_gated_activations():
    gated = torch.tensor([[[[1.0, 2.0]]], [[[3.0, 0.0]]]])
    assert float(Variational(9.0).size(torch.ones(1, 1), gated)) == (5 + 9) / 2


@given(activations(), st.booleans(), st.sampled_from([0.0, 0.02, 4.5]))
def test_chain_slopes_equal_autograd(values, reconstruction, beta):
    assert difference_from_autograd(Variational(beta, reconstruction=reconstruction), *values) < 1e-10


@pytest.mark.parametrize("beta", [0.1, 1.0, 3.0])
def test_bias_free_relu_chain_has_zero_gradient_at_shrunk_first_gate(beta):
    weights = [torch.randn(c, b, dtype=torch.float64) for b, c in ((3, 4), (4, 5), (5, 3))]
    images = torch.randn(6, 3, dtype=torch.float64)

    def chain(tap):
        values = images
        for position, weight in enumerate(weights):
            values = tap(position, torch.relu(values @ weight.T))

    untouched = []
    chain(lambda position, value: untouched.append(value) or value)
    sites = [Site(f"relu:{i}", 1, len(weight), (len(weight),)) for i, weight in enumerate(weights)]
    first = torch.full((6, 4), 1 / (1 + beta), dtype=torch.float64)
    gates = [first, torch.ones(6, 5, dtype=torch.float64), torch.ones(6, 3, dtype=torch.float64)]

    # left to autograd: every site's own term is at its optimum, whichever gate is moved
    leaves = [gate.clone().requires_grad_() for gate in gates]
    gated = []
    chain(lambda position, value: gated.append(value * leaves[position]) or gated[-1])
    for position, (h, r) in enumerate(zip(gated, untouched, strict=True)):
        term = Variational(beta).chain_term(h, r).sum()
        gradients = torch.autograd.grad(term, leaves[: position + 1], retain_graph=True)
        assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-12

    # and as the search hands it to the backward pass
    leaves = [gate.clone().requires_grad_() for gate in gates]
    means = [gate.detach() for gate in leaves]
    tap = SearchTap(Variational(beta), sites, leaves, None, means, untouched, torch.ones(6, dtype=torch.float64))
    outputs = []
    chain(lambda position, value: outputs.append(tap(position, value)) or outputs[-1])
    gradients = torch.autograd.grad(0.0 * outputs[-1].sum(), leaves)
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-12


def test_gradient_is_not_zero_beside_the_optimum():
    untouched = torch.rand(5, 4, dtype=torch.float64) + 0.1
    gate = torch.full((4,), 0.6, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(Variational(1.0).chain_term(gate * untouched, untouched).sum(), gate)
    assert (gradient > 0.01).all()  # the optimum is at 0.5
