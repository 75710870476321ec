"""The preprint's objective."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import TensorDataset

from tests.search.objectives.slopes import activations, difference_from_autograd
from tests.search.problems import searched, solver_of
from unweave.data.labelled import labelled
from unweave.search.objectives.concept_path import ConceptPath
from unweave.search.preparation import prepare


class HalfDead(nn.Module):
    """Two sites; the first is dead (ReLU of negative numbers only), the second lives from its bias."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 3, 1), nn.Conv2d(3, 4, 1)
        self.classifier = nn.Linear(4, 2)
        nn.init.zeros_(self.first.weight)
        nn.init.constant_(self.first.bias, -1.0)
        nn.init.constant_(self.second.bias, 1.0)

    def forward(self, images):
        return self.classifier(torch.relu(self.second(torch.relu(self.first(images)))).mean((2, 3)))


def test_class_term_is_distance_of_class_scores_and_reads_no_labels():
    gated, untouched = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 4.0], [1.0, 1.0]])
    for labels in ([0, 0], [1, 1]):
        assert ConceptPath(1.0).class_term(gated, untouched, torch.tensor(labels)).tolist() == [5.0, 0.0]


def test_class_term_has_no_gradient_where_scores_agree():
    gated = torch.ones(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(ConceptPath(1.0).class_term(gated, torch.ones(2, 3), None).sum(), gated)
    assert (gradient == 0).all()


def test_chain_term_is_norm_not_squared():
    gated = torch.tensor([[[[1.0, 2.0]], [[2.0, 4.0]]]])
    # differences 1, 2, 2, 4: sqrt(1 + 4 + 4 + 16)
    assert ConceptPath(1.0).chain_term(gated, torch.zeros(1, 2, 1, 2)).tolist() == [5.0]
    assert ConceptPath(1.0, reconstruction=False).chain_term(gated, torch.zeros(1, 2, 1, 2)).tolist() == [0.0]


def test_gate_term_is_lambda_times_sum_of_gates():
    gates = torch.tensor([[0.5, 1.0], [0.25, 0.0]])
    assert ConceptPath(6.0).gate_term(gates).tolist() == [9.0, 1.5]
    assert float(ConceptPath(6.0).size(gates, gates)) == (1.5 + 0.25) / 2


def test_every_image_counts():
    assert not ConceptPath(1.0).only_correct
    assert ConceptPath(1.0).scale(16) == 1.0


@given(activations(), st.booleans())
def test_chain_slopes_equal_autograd(values, reconstruction):
    assert difference_from_autograd(ConceptPath(0.3, reconstruction=reconstruction), *values) < 1e-12


@given(activations())
def test_slope_is_zero_where_nothing_differs(values):
    reference = values[1]
    assert all((slope == 0).all() for slope in ConceptPath(0.3).chain_slopes(reference, reference))


def test_dead_site_gets_penalty_alone():
    images = labelled(TensorDataset(torch.rand(6, 2, 2, 2, dtype=torch.float64), torch.zeros(6, dtype=torch.int64)))
    prepared = prepare(HalfDead().double().eval(), images, "block", None, None)
    objective = ConceptPath(0.5)
    start = solver_of(prepared, images, objective, (0,)).scores[0].clone()
    solver = searched(prepared, images, objective, (0,), batch=6, passes=1)
    assert [len(site) for site in (start[0], solver.scores[1][0])] == [3, 4]
    # d/ds 0.5 * sigmoid(s) = 0.5 * g (1 - g); a step of length 0.1 along it
    gate = torch.sigmoid(start)
    slope = 0.5 * gate * (1 - gate)
    expected = start - 0.1 * slope / math.sqrt(float(slope.square().sum()))
    assert torch.allclose(solver.scores[0], expected, rtol=0, atol=1e-12)
    assert torch.isfinite(solver.scores[1]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_are_at_least_single_precision(dtype):
    gated = torch.full((1, 4096), 1.0, dtype=dtype)
    found = ConceptPath(1.0).reconstruction_error(gated, torch.zeros_like(gated))
    assert found.dtype == torch.float32
    assert found.tolist() == [64.0]
