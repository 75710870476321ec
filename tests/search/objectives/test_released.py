"""The objective of the authors' program."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import TensorDataset

from tests.search.objectives.slopes import activations, difference_from_autograd
from unweave.data.labelled import labelled
from unweave.errors import SettingError
from unweave.search.disentangle import disentangle
from unweave.search.objectives.released import Released
from unweave.search.plan import Plan
from unweave.search.preparation import prepare
from unweave.search.solver import Solver


class FixedAnswer(nn.Module):
    """One site, `relu(images)`, and class scores that do not read it: the class term has no gradient."""

    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 1, bias=False)
        self.classifier = nn.Linear(channels, 2)
        nn.init.dirac_(self.first.weight)
        nn.init.zeros_(self.classifier.weight)
        self.classifier.bias.data = torch.tensor([1.0, 0.0])

    def forward(self, images):
        return self.classifier(torch.relu(self.first(images)).mean((2, 3)))


def test_class_term_is_cross_entropy_per_image():
    scores = torch.tensor([[0.0, math.log(3)], [math.log(3), 0.0]], dtype=torch.float64)
    # p = (1/4, 3/4) and (3/4, 1/4)
    found = Released(0.1).class_term(scores, scores, torch.tensor([1, 1]))
    assert found.tolist() == pytest.approx([-math.log(3 / 4), -math.log(1 / 4)])


def test_chain_term_is_mean_over_channels_and_positions():
    gated = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]])
    reference = torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]], [[[2.0, 0.0]], [[0.0, 0.0]]]])
    # image 1: (0 + 4 + 9 + 16) / 4, image 2: 4 / 4
    assert Released(0.1).chain_term(gated, reference).tolist() == [29 / 4, 1.0]


def test_gate_term_is_beta_times_mean_square_of_gates():
    gates = torch.tensor([[0.5, 1.0], [0.0, 0.2]], dtype=torch.float64)
    # 4 * (1/4 + 1) / 2, 4 * (0 + 1/25) / 2
    assert Released(4.0).gate_term(gates).tolist() == pytest.approx([2.5, 0.08])


def test_scale_divides_by_number_of_sites():
    assert Released(0.1).scale(13) == 1 / 13


def test_size_is_penalty_without_beta():
    gates = torch.tensor([[0.5, 1.0], [0.0, 0.2]], dtype=torch.float64)
    # ((1/4 + 1)/2 + (1/25)/2) / 2, whatever beta is
    assert float(Released(7.0).size(gates, gates)) == pytest.approx((0.625 + 0.02) / 2)


def test_reconstruction_off_leaves_no_chain_term():
    gated, reference = torch.ones(2, 3), torch.zeros(2, 3)
    objective = Released(0.1, reconstruction=False)
    assert objective.chain_term(gated, reference).tolist() == [0.0, 0.0]
    assert objective.chain_slopes(gated, reference) == (0.0, 0.0)


@given(activations(), st.booleans())
def test_chain_slopes_equal_autograd(values, reconstruction):
    assert difference_from_autograd(Released(0.3, reconstruction=reconstruction), *values) < 1e-12


@pytest.mark.parametrize("beta", [-0.1, math.nan])
def test_beta_below_zero_is_refused(beta):
    with pytest.raises(SettingError, match="beta must be a number from 0"):
        Released(beta)


@pytest.mark.parametrize("beta", [0.02, 0.45, 4.5])
def test_one_site_has_zero_gradient_at_v_over_v_plus_beta(beta):
    untouched = torch.randn(7, 3, 2, 2, dtype=torch.float64)
    v = untouched.square().mean((0, 2, 3))  # mean over images and positions
    # mean over images, channels, positions of (g r - r)^2 + beta * mean over channels of g^2
    #   = 1/C * sum_c [ v_c (1 - g_c)^2 + beta g_c^2 ], with derivative 2/C * [ (v_c + beta) g_c - v_c ]
    gate = (v / (v + beta)).requires_grad_()
    objective = Released(beta)
    loss = objective.chain_term(gate[:, None, None] * untouched, untouched).mean() + objective.gate_term(gate[None])[0]
    (gradient,) = torch.autograd.grad(loss, gate)
    assert gradient.abs().max() < 1e-15


def test_search_keeps_channels_whose_mean_square_exceeds_beta():
    # channel c is c + 1 everywhere and half of the images are 0: v = (1, 4, 9, 16) / 2
    height = torch.arange(1.0, 5.0)[None, :, None, None].expand(8, 4, 2, 2).clone()
    height[::2] = 0
    images = labelled(TensorDataset(height, torch.zeros(8, dtype=torch.int64)))
    prepared = prepare(FixedAnswer(4).eval(), images, "block", None, None)
    for beta, kept in ((0.4, [1, 1, 1, 1]), (1.0, [0, 1, 1, 1]), (3.0, [0, 0, 1, 1]), (6.0, [0, 0, 0, 1])):
        plan = Plan.of_classes(classes=(0,), passes=80, batch=8, kept=True)
        solver = Solver(
            prepared.tapped, Released(beta), images, plan, prepared.device, prepared.dtype, plan.store(images)
        )
        for number in range(plan.passes):
            solver.run_pass(number)
        assert (solver.scores[0] > 0).int().tolist() == [kept]
        gate, v = torch.sigmoid(solver.scores[0][0]), torch.tensor([0.5, 2.0, 4.5, 8.0])
        # steps of fixed length circle the optimum: a score is off by at most a few times 0.1
        assert (gate - v / (v + beta)).abs().max() < 0.1


def test_row_never_right_stays_random():
    height = torch.ones(6, 4, 2, 2)
    with pytest.warns(UserWarning, match="no search image of 1 classes correctly"):
        paths = disentangle(
            FixedAnswer(4), TensorDataset(height, torch.tensor([0, 1] * 3)), objective=Released(0.1), passes=2
        )
    assert paths.manifest["classes_without_steps"] == [1]
    assert paths.manifest["steps"] == [2, 0]
