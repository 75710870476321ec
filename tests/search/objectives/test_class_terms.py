"""Class terms, also where naive formulas overflow."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import softplus

from unweave.search.objectives.class_terms import binary_cross_entropy, margin


@st.composite
def scores_and_labels(draw):
    classes = draw(st.integers(2, 5))
    row = st.lists(st.floats(-8, 8), min_size=classes, max_size=classes)
    scores = draw(st.lists(row, min_size=1, max_size=4))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=len(scores), max_size=len(scores)))
    return torch.tensor(scores, dtype=torch.float64), torch.tensor(labels)


def test_margin_is_score_above_others():
    scores = torch.tensor([[2.0, 0.0, math.log(3)]], dtype=torch.float64)
    # 2 - log(e^0 + e^log 3) = 2 - log 4
    assert margin(scores, torch.tensor([0])).tolist() == pytest.approx([2 - math.log(4)])


@given(scores_and_labels())
def test_softplus_of_margin_gives_log_probabilities(values):
    scores, labels = values
    p = scores.softmax(1).gather(1, labels[:, None])[:, 0]
    assert torch.allclose(softplus(-margin(scores, labels)), -p.log(), rtol=1e-9, atol=1e-12)
    assert torch.allclose(softplus(margin(scores, labels)), -(1 - p).log(), rtol=1e-6, atol=1e-9)


@given(scores_and_labels())
def test_binary_cross_entropy_equals_naive_formula(values):
    scores, labels = values
    p = scores.softmax(1)
    own = -p.gather(1, labels[:, None])[:, 0].log()
    rejected = -(1 - p).log().scatter(1, labels[:, None], 0.0).sum(1)
    assert torch.allclose(binary_cross_entropy(scores, labels), own, rtol=1e-9, atol=1e-12)
    found = binary_cross_entropy(scores, labels, every_class=True)
    assert torch.allclose(found, own + rejected, rtol=1e-6, atol=1e-9)


@given(scores_and_labels())
def test_gradient_equals_that_of_naive_formula(values):
    scores, labels = values
    leaf = scores.clone().requires_grad_()
    (found,) = torch.autograd.grad(binary_cross_entropy(leaf, labels, every_class=True).sum(), leaf)
    p = leaf.softmax(1)
    hot = torch.nn.functional.one_hot(labels, scores.shape[1]).bool()
    naive = -torch.where(hot, p, 1 - p).log().sum()
    (expected,) = torch.autograd.grad(naive, leaf)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_scores_stay_exact_where_naive_formula_does_not(dtype):
    scores = torch.tensor([[1e3, 0.0, 0.0]] * 3, dtype=dtype, requires_grad=True)
    labels = torch.tensor([0, 1, 2])
    # p_0 = 1 / (1 + 2 e^-1000): -log p_0 = 0, -log p_1 = 1000, -log(1 - p_0) = 1000 - log 2, -log(1 - p_1) = 0
    own = binary_cross_entropy(scores, labels)
    assert own.tolist() == pytest.approx([0, 1000, 1000])
    found = binary_cross_entropy(scores, labels, every_class=True)
    assert found.tolist() == pytest.approx([0, 2000 - math.log(2), 2000 - math.log(2)])
    assert not torch.isfinite(-(1 - scores.softmax(1)).log()).all()
    (gradient,) = torch.autograd.grad(found.sum(), scores)
    # the two wrong images: 2 by z_0 each, -1 by their own score, and -1/2 by z_1 and z_2 each from log(1 - p_0)
    expected = [[0, 0, 0], [2, -1.5, -0.5], [2, -0.5, -1.5]]
    assert torch.allclose(gradient, torch.tensor(expected, dtype=dtype), atol=1e-6)


def test_ties_at_extreme_scores_are_finite():
    scores = torch.tensor([[1e3, 1e3, -1e3]], dtype=torch.float64, requires_grad=True)
    # p = (1/2, 1/2, 0): -log 1/2 - log 1/2
    found = binary_cross_entropy(scores, torch.tensor([0]), every_class=True)
    assert float(found.detach()) == pytest.approx(2 * math.log(2))
    assert torch.isfinite(torch.autograd.grad(found.sum(), scores)[0]).all()
