"""What activations tell, worked out by hand, and scales that make them tell nothing."""

import numpy as np
import pytest
import torch

from unweave.planted.activity import activity_at, balance
from unweave.planted.architecture import PlantedNetwork

T, F = True, False
REACHED = np.array([[T, F, F, F], [F, T, F, F]])
"""An expert for each of two classes, and two distractors."""


def test_activity_is_pooled_over_classes():
    means = np.array([[4.0, 1.0, 2.0, 2.0], [1.0, 6.0, 1.0, 3.0]])
    found = activity_at(means, REACHED, np.ones((2, 4), bool), REACHED)
    assert found.others == pytest.approx((1 + 2 + 2 + 1 + 1 + 3) / 6 / 5)
    assert found.distractors == pytest.approx((2 + 2 + 1 + 3) / 4 / 5)
    assert found.auroc == found.auroc_of_distractors == 1.0


def test_without_distractors_nothing_is_said_of_them():
    found = activity_at(np.ones((2, 2)), REACHED[:, :2], np.ones((2, 2), bool), REACHED[:, :2])
    assert found.others == 1.0
    assert np.isnan(found.distractors)
    assert np.isnan(found.auroc_of_distractors)


def balanced(means, reached, kind="plain"):
    """Factors by which biases of each layer were scaled, and the change of the network's scores."""
    torch.manual_seed(0)
    network = PlantedNetwork(kind, reached.shape[1], 2).requires_grad_(False)
    images, layers = torch.randn(3, 1, 8, 8), len(means)
    before, biases = network(images), [network.weight_and_bias(i)[1].clone() for i in range(layers)]
    balance(network, means, [reached] * layers, [reached] * layers)
    scales = [(network.weight_and_bias(i)[1] / biases[i]).numpy() for i in range(layers)]
    return scales, float((network(images) - before).abs().max())


def test_weak_distractors_are_scaled_up_and_scores_stay():
    """Experts are as active on both classes; the distractors' mean is 0.25: a factor of 4 at every layer."""
    means = np.array([[1.0, 1.0, 0.2, 0.3], [1.0, 1.0, 0.3, 0.2]])
    scales, change = balanced([means] * 3, REACHED)
    for scale in scales:
        np.testing.assert_allclose(scale, [1, 1, 4, 4], rtol=1e-5)
    assert change < 1e-5


def test_experts_that_are_less_active_on_other_classes_are_made_up_for_by_distractors():
    """Both channels 5 times as active on their own class: no scale of experts helps, so distractors carry it."""
    means = np.array([[5.0, 1.0, 1.0, 1.0], [1.0, 5.0, 1.0, 1.0]])
    for scale in balanced([means] * 3, REACHED)[0]:
        assert activity_at(means * scale, REACHED, np.ones((2, 4), bool), REACHED).others == pytest.approx(1.0)


def test_experts_that_are_silent_on_their_own_class_are_scaled_up_first():
    """Channel 0 is 10 times as active on its own class, channel 1 a tenth: dividing by a power of that is enough."""
    means = np.array([[10.0, 1.0, 1.0, 1.0], [1.0, 0.1, 1.0, 1.0]])
    for scale in balanced([means] * 3, REACHED)[0]:
        scaled = means * scale
        assert scale[1] > scale[0]
        assert 1 <= scaled[[0, 1], [1, 0]].mean() / scaled[[0, 1], [0, 1]].mean() < 1.2
        assert scaled[:, 2:].mean() == pytest.approx(scaled[[0, 1], [0, 1]].mean())


def test_layers_that_are_added_share_a_scale_and_the_least_favourable_decides():
    strong, weak = np.ones((2, 4)), np.ones((2, 4))
    weak[:, 2:] = 0.1
    scales, change = balanced([strong, strong, weak, strong, strong], REACHED, "residual")
    for number, factor in enumerate((10, 1, 10, 1, 10)):
        np.testing.assert_allclose(scales[number], [1, 1, factor, factor], rtol=1e-5)
    assert change < 1e-5


def test_a_channel_that_is_never_active_is_left_alone():
    means = np.array([[0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]])
    for scale in balanced([means] * 3, REACHED)[0]:
        assert np.isfinite(scale).all()
        assert scale[0] == 1.0
