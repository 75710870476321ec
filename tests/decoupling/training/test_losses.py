"""The losses of a decoupled network, against numbers worked out by hand."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from tests.decoupling.problems import IMAGES, Chain, settled
from unweave.decoupling.controlled import Record
from unweave.decoupling.network import decouple
from unweave.decoupling.training.losses import (
    SMALLEST_RESPONSE,
    LayerClassifiers,
    Losses,
    Weights,
    divergence,
    losses,
    sparsity,
)
from unweave.errors import SettingError


def test_divergence_by_hand():
    # z = (1/2, 1/2, 0), y = (1/4, 1/2, 1/4): 1/2 ln 2 + 1/2 ln 1 = 0.3466
    found = divergence(torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[2.0, 4.0, 2.0]]))
    assert found.tolist() == pytest.approx([0.5 * math.log(2)], abs=1e-6)


def test_divergence_is_zero_where_gates_follow_responses():
    responses = torch.rand(4, 6) + 0.1
    assert torch.allclose(divergence(responses / 3, responses), torch.zeros(4), atol=1e-6)


def test_samples_without_a_gate_or_a_response_count_nothing_and_give_no_gradient():
    gates = torch.tensor([[0.0, 0.0], [1.0, 0.0]], requires_grad=True)
    responses = torch.tensor([[1.0, 1.0], [0.0, 0.0]], requires_grad=True)
    found = divergence(gates, responses)
    assert found.tolist() == [0.0, 0.0]
    found.sum().backward()
    assert gates.grad.abs().max() == responses.grad.abs().max() == 0


def test_a_filter_that_is_dead_on_an_image_does_not_make_divergence_infinite():
    gates = torch.tensor([[1.0, 1.0]], requires_grad=True)
    responses = torch.tensor([[1.0, 0.0]], requires_grad=True)
    found = divergence(gates, responses)
    assert found.item() == pytest.approx(math.log(0.5) - 0.5 * math.log(SMALLEST_RESPONSE), rel=1e-5)
    found.sum().backward()
    assert torch.isfinite(gates.grad).all()
    # clamped, without gradient; what is left is that of the other filter's share, -1/2 ln(r / (r + 0)) by 0
    assert responses.grad[0, 1].item() == pytest.approx(0.5)


def test_a_binary_gate_of_zero_has_a_finite_gradient():
    gates = torch.tensor([[0.0, 1.0]], requires_grad=True)
    divergence(gates, torch.ones(1, 2)).sum().backward()
    assert torch.isfinite(gates.grad).all()
    assert gates.grad[0, 0] < 0  # opening the gate of a filter that responds lowers the divergence


def test_gradients_of_divergence_are_right_inside():
    generator = torch.Generator().manual_seed(1)
    gates = torch.rand(3, 4, generator=generator, dtype=torch.float64).add(0.1).requires_grad_()
    responses = torch.rand(3, 4, generator=generator, dtype=torch.float64).add(0.1).requires_grad_()
    assert gradcheck(divergence, (gates, responses))


@pytest.mark.parametrize(("keep", "expected"), [(None, [2.5, 4.0]), (0.5, [0.5, 2.0]), (1.0, [1.5, 0.0])])
def test_sparsity_by_hand(keep, expected):
    gates = torch.tensor([[1.0, 1.0, 0.5, 0.0], [1.0, 1.0, 1.0, 1.0]])
    assert sparsity(gates, keep).tolist() == expected


def test_mutual_information_by_hand():
    classifiers = LayerClassifiers([2, 1], 3)
    torch.nn.init.zeros_(classifiers.layers[0].weight)
    classifiers.layers[1].weight.data = torch.tensor([[math.log(2)], [0.0], [0.0]])
    gates = [torch.ones(2, 2), torch.ones(2, 1)]
    # the first layer says 1/3 for each class, the second 1/2 for class 0 and 1/4 for class 1
    expected = math.log(3) + (math.log(2) + math.log(4)) / 2
    assert classifiers(gates, torch.tensor([0, 1])).item() == pytest.approx(expected, abs=1e-6)


def test_the_total_weighs_the_terms():
    terms = Losses(*(torch.tensor(value) for value in (1.0, 2.0, 3.0, 4.0, 0.0, 0.0)))
    assert float(terms.total(Weights(0.5, 0.25, 0.1))) == pytest.approx(1 + 1 + 0.75 + 0.4)


def test_responses_are_of_the_unmasked_output():
    decoupled = decouple(settled(Chain()), IMAGES)
    layer = decoupled.controlled["third"]
    torch.nn.init.constant_(layer.controller.expand.bias, -1.0)
    values = torch.randn(2, 8, 4, 4)
    with torch.no_grad(), decoupled.recording() as record:
        layer(values)
        expected = torch.relu(layer.convolution(values)).mean((2, 3))
    assert record.gates[0].sum() == 0
    assert torch.equal(record.responses[0], expected)


def test_filters_that_are_not_selected_get_a_gradient_from_divergence():
    decoupled = decouple(settled(Chain()), IMAGES).train()
    classifiers = LayerClassifiers([8, 4], 3)
    with decoupled.recording() as record:
        scores = decoupled(IMAGES)
    found = losses(scores, torch.tensor([0, 1, 2, 0, 1]), record, classifiers, 0.5)
    found.divergence.backward()
    weight = decoupled.controlled["second"].convolution.weight
    assert (weight.grad.flatten(1).abs().sum(1) > 0).all()


def test_layers_of_one_width_are_computed_together_as_if_alone():
    gates = [torch.rand(5, width) for width in (3, 2, 3)]
    responses = [torch.rand(5, width) for width in (3, 2, 3)]
    classifiers, labels = LayerClassifiers([3, 2, 3], 4), torch.tensor([0, 3, 1, 1, 2])
    found = losses(torch.zeros(5, 4), labels, Record(gates, responses), classifiers, 0.5)
    alone = torch.stack([divergence(z, y).mean() for z, y in zip(gates, responses, strict=True)])
    assert torch.allclose(found.per_layer, alone)
    assert found.divergence.item() == pytest.approx(alone.sum().item())
    assert found.sparsity.item() == pytest.approx(sum(sparsity(z, 0.5).mean().item() for z in gates))
    assert found.opened.item() == pytest.approx(sum(z.sum(1).mean().item() for z in gates))
    scores = [layer(z) for layer, z in zip(classifiers.layers, gates, strict=True)]
    expected = sum(torch.nn.functional.cross_entropy(one, labels).item() for one in scores)
    assert found.mutual_information.item() == pytest.approx(expected, rel=1e-5)
    assert found.cross_entropy.item() == pytest.approx(math.log(4), rel=1e-5)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_gates_or_responses_that_are_not_finite_show_in_their_layer_alone(value):
    flawed = torch.tensor([[value, 1.0]])
    for record in (
        Record([torch.ones(1, 2)] * 2, [torch.ones(1, 2), flawed]),
        Record([torch.ones(1, 2), flawed], [torch.ones(1, 2)] * 2),
    ):
        found = losses(torch.zeros(1, 3), torch.tensor([0]), record, LayerClassifiers([2, 2], 3), None)
        assert torch.isfinite(found.per_layer).tolist() == [True, False]


@pytest.mark.parametrize("name", ["mutual_information", "divergence", "sparsity"])
@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan, "much", True, None])
def test_weights_that_are_no_finite_numbers_of_at_least_zero_are_refused(name, value):
    with pytest.raises(SettingError, match=f"the weight {name} must be a finite number, at least 0, found"):
        Weights(**{name: value})
