"""Multiply-accumulates, against numbers worked out by hand."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.decoupling.problems import IMAGES, Chain, Dense, Residual, choosy, settled
from unweave.decoupling.network import decouple
from unweave.errors import CaptureError


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


def dense_of(network, images=IMAGES):
    """(dense multiply-accumulates, what PyTorch's own counter says, without its own module)."""
    found = decouple(settled(network), images).multiply_accumulates(images[:2])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images[:1])
    assert found.total.tolist() == [found.dense + sum(found.controllers.values())] * 2
    return found, counter.get_total_flops() // 2


@pytest.mark.parametrize("kind", [Chain, Residual, Dense])
def test_open_gates_cost_what_the_network_does_and_the_controllers(kind):
    found, counted = dense_of(kind())
    assert found.dense == counted
    assert found.controllers


def test_a_convolution_that_is_used_twice_counts_twice():
    class Twice(Chain):
        def __init__(self):
            super().__init__()
            self.again = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, images):
            return self.classifier(
                torch.relu(self.last(self.inner(self.again(self.again(self.first(images)))))).mean((2, 3))
            )

        def inner(self, values):
            return torch.relu(self.third(torch.relu(self.norm(self.second(values)))))

    found, counted = dense_of(Twice())
    assert int(found.per_layer["again"][0]) == 2 * 576 * 4 * 4
    assert found.dense == counted


class Everything(Chain):
    """A computed weight, a transposed convolution, one of one dimension, and products of matrices."""

    def __init__(self):
        super().__init__()
        self.third = nn.utils.parametrizations.weight_norm(self.third)
        self.up = nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2)
        self.last, self.inner = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 1)
        self.line = nn.Conv1d(6, 6, 3)

    def forward(self, images):
        values = torch.relu(self.norm(self.second(torch.relu(self.first(images)))))
        values = self.last(self.inner(self.up(torch.relu(self.third(values)))))
        values = self.line(values.mean(2))
        values = nn.functional.scaled_dot_product_attention(values, values, values)
        return self.classifier((values @ values.mT @ values).mean(2))


def test_other_convolutions_and_products_count_in_full():
    found, counted = dense_of(Everything())
    assert found.dense == counted
    # 8 x 8 positions of four channels, each through 2 x 2 kernels of its group's three filters
    assert int(found.per_layer["up/conv_transpose2d:0"][0]) == 64 * 4 * 4 * 3
    # positions 14, kernel 3
    assert int(found.per_layer["line/conv1d:0"][0]) == 14 * 3 * 6 * 6


def test_what_cannot_be_counted_is_refused_by_name():
    class Summed(Chain):
        def forward(self, images):
            return torch.einsum("bi,ij->bj", super().forward(images), torch.eye(3))

    decoupled = decouple(settled(Summed()), IMAGES)
    with pytest.raises(CaptureError, match=r"multiply-accumulates of einsum \(einsum:0\) cannot be counted"):
        decoupled.multiply_accumulates(IMAGES)


@pytest.mark.parametrize("kind", [Chain, Residual, Dense])
def test_fewer_filters_never_cost_more(kind):
    decoupled = decouple(settled(kind()), IMAGES)
    whole = decoupled.multiply_accumulates(IMAGES).total
    assert (choosy(decoupled).multiply_accumulates(IMAGES).total <= whole).all()
