"""Multiply-accumulates, against numbers worked out by hand."""

import pytest
import torch
from torch import nn

from tests.decoupling.problems import IMAGES, Chain, Dense, Residual, choosy, settled
from unweave.decoupling.network import decouple


def with_gates(decoupled, **gates):
    """Controllers that say the same for every input."""
    for name, chosen in gates.items():
        controller = decoupled.controlled[name.replace("__", ".")].controller
        nn.init.zeros_(controller.expand.weight)
        controller.expand.bias.data = torch.tensor(chosen, dtype=torch.float32) * 2 - 1
    return decoupled


def test_an_open_network_costs_the_dense_one_and_its_controllers():
    decoupled = decouple(settled(Chain()), IMAGES)
    found = decoupled.multiply_accumulates(IMAGES)
    # 3x3 kernels on 8 x 8 positions, a 1x1 kernel, a strided 3x3 kernel on 4 x 4 positions, a linear layer
    layers = {"first": 576 * 3 * 4, "second": 576 * 4 * 8, "third": 64 * 8 * 4, "last": 144 * 4 * 6}
    assert {name: int(found.per_layer[name][0]) for name in layers} == layers
    assert found.controllers == {"second": 4 * 1 + 1 * 8, "third": 8 * 2 + 2 * 4}
    assert found.dense == sum(layers.values()) + 6 * 3
    assert found.total.tolist() == [found.dense + 12 + 24] * 5


def test_a_layer_costs_active_inputs_times_selected_filters():
    decoupled = decouple(settled(Chain()), IMAGES)
    with_gates(decoupled, second=[1, 1, 1, 0, 0, 0, 0, 0], third=[1, 0, 0, 1])
    found = decoupled.multiply_accumulates(IMAGES[:2])
    assert found.per_layer["second"].tolist() == [576 * 4 * 3] * 2
    assert found.per_layer["third"].tolist() == [64 * 3 * 2] * 2
    assert found.per_layer["last"].tolist() == [144 * 2 * 6] * 2


def test_after_an_addition_a_channel_is_active_where_either_side_is():
    decoupled = decouple(settled(Residual()), IMAGES)
    with_gates(decoupled, one__conv1=[1, 1, 0, 0, 0, 0], one__conv2=[0, 0, 0, 0, 0, 0], two__conv1=[1, 0, 0, 0, 0, 0])
    found = decoupled.multiply_accumulates(IMAGES[:1])
    assert int(found.per_layer["one.conv2"]) == 0
    # the projection is not gated: all six channels reach the second block
    assert int(found.per_layer["two.conv1"]) == 144 * 6 * 1
    assert int(found.per_layer["two.conv2"]) == 144 * 1 * 6


def test_concatenated_channels_keep_their_activity():
    decoupled = decouple(settled(Dense()), IMAGES)
    with_gates(decoupled, layers__0=[1, 0], layers__1=[0, 0])
    found = decoupled.multiply_accumulates(IMAGES[:1])
    assert int(found.per_layer["layers.1"]) == 0
    assert int(found.per_layer["layers.2"]) == 576 * (4 + 1 + 0) * 2


def test_channels_that_are_not_counted_are_zero():
    """Whatever is left out of the count must be exactly zero in the network."""
    for kind in (Chain, Residual, Dense):
        decoupled = choosy(decouple(settled(kind()), IMAGES))
        found = decoupled.multiply_accumulates(IMAGES)
        inputs = {}

        def keep(name, inputs=inputs):
            return lambda module, arguments: inputs.update({name: arguments[0]})

        for name, layer in decoupled.controlled.items():
            layer.convolution.register_forward_pre_hook(keep(name))
        gates = decoupled.gates(IMAGES)
        for name, values in inputs.items():
            weight = decoupled.controlled[name].convolution.weight
            area = weight[0, 0].numel() * values[0, 0].numel() // decoupled.controlled[name].convolution.stride[0] ** 2
            live = (values != 0).any(-1).any(-1).sum(1)
            assert (found.per_layer[name] >= area * live * gates[name].sum(1).long()).all()


def test_padded_channels_are_zero():
    class Padded(Chain):
        def forward(self, images):
            values = torch.relu(self.first(images))
            values = torch.relu(self.norm(self.second(nn.functional.pad(values[:, :2], (0, 0, 0, 0, 1, 1)))))
            return self.classifier(torch.relu(self.last(torch.relu(self.third(values)))).mean((2, 3)))

    decoupled = decouple(settled(Padded()), IMAGES)
    assert int(decoupled.multiply_accumulates(IMAGES[:1]).per_layer["second"]) == 576 * 2 * 8  # two of four are new


@pytest.mark.parametrize("kind", [Chain, Residual, Dense])
def test_fewer_filters_never_cost_more(kind):
    decoupled = decouple(settled(kind()), IMAGES)
    whole = decoupled.multiply_accumulates(IMAGES).total
    assert (choosy(decoupled).multiply_accumulates(IMAGES).total <= whole).all()
