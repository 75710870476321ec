"""Improved semantic hashing, against numbers worked out by hand."""

import math

import torch

from unweave.decoupling.hashing import hashed, saturating_sigmoid


def test_the_sigmoid_saturates_at_the_logarithm_of_eleven():
    edge = math.log(11)
    values = torch.tensor([-10.0, -edge, 0.0, edge, 10.0])
    assert torch.allclose(saturating_sigmoid(values), torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]), atol=1e-6)


def test_the_sigmoid_has_no_gradient_where_it_is_saturated():
    values = torch.tensor([-2.5, 0.0, 2.5], requires_grad=True)
    saturating_sigmoid(values).sum().backward()
    assert torch.allclose(values.grad, torch.tensor([0.0, 0.3, 0.0]))  # 1.2 * 0.25 in the middle


def test_in_evaluation_a_gate_is_open_above_zero():
    assert hashed(torch.tensor([[-1.0, 0.0, 1e-6]]), None, None).tolist() == [[0.0, 0.0, 1.0]]


def test_samples_with_a_coin_are_binary_and_all_share_the_soft_gradient():
    values = torch.tensor([[0.5, -0.5], [0.5, -0.5]], requires_grad=True)
    noise, binary = torch.zeros(2, 2), torch.tensor([1.0, 0.0])
    found = hashed(values, noise, binary)
    soft = 1.2 / (1 + math.exp(-0.5)) - 0.1
    assert torch.allclose(found, torch.tensor([[1.0, 0.0], [soft, 1 - soft]]))
    found.sum().backward()
    slope = 1.2 * math.exp(-0.5) / (1 + math.exp(-0.5)) ** 2
    assert torch.allclose(values.grad, torch.full((2, 2), slope))


def test_noise_is_added_before_the_gate_is_read():
    found = hashed(torch.tensor([[1.0]]), torch.tensor([[-3.0]]), torch.tensor([1.0]))
    assert found.tolist() == [[0.0]]
