"""Where paths are looked for when nobody says."""

import torch
from torch import nn

from tests.tiny import TinyDense, TinyPlain, TinyResidual
from unweave.network.capture import capture
from unweave.search.routing_sites import routing_sites


def names(network, *shape):
    return routing_sites(capture(network.eval(), torch.zeros(2, *shape or (3, 8, 8)))).names


def test_a_residual_network_has_its_block_outputs():
    assert names(TinyResidual()) == ("stem.2/relu:0", "relu:0", "relu:1")


def test_a_plain_network_has_its_convolutions_after_norm_and_activation():
    assert names(TinyPlain()) == ("features.0.2/relu:0", "features.2.2/relu:0")


def test_concatenations_are_no_residual_sums():
    assert names(TinyDense()) == ("stem.2/relu:0", "relu:0", "relu:1")


def test_linear_layers_are_no_sites_beside_convolutions():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5), nn.ReLU(), nn.Linear(5, 3))
    assert names(network) == ("1/relu:0",)


def test_a_network_without_positions_has_its_linear_layers():
    network = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    assert names(network, 6) == ("1/relu:0", "3/relu:0")


class Sums(nn.Module):
    """Adds what is no block: a mean over positions, a constant, and two sets of class scores."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.one, self.other = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, images):
        values = torch.relu(self.first(images))
        values = torch.relu(self.second(values + values.mean((2, 3), keepdim=True)) + 1).mean((2, 3))
        return self.one(values) + self.other(values)


def test_sums_that_make_no_block_are_not_residual():
    assert names(Sums()) == ("relu:0", "second/conv2d:0")
    assert len(names(TinyResidual())) == 3
