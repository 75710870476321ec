"""Attention heads and hidden neurons, found in the graph whoever wrote it and however it moves them."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from unweave.errors import SiteError
from unweave.network.batch_place import BatchPlace, batch_places
from unweave.network.capture import capture
from unweave.network.sites import Site, nodes_of_sites, sites_of
from unweave.network.tapping import Multiplier, TappedNetwork
from unweave.network.views import Views

IMAGES = torch.zeros(1, 3, 4, 4)


class Attention(nn.Module):
    """Four tokens of eight features, through two of PyTorch's attentions, one with the tokens before the batch, a
    written one with three heads, and layers that are none."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 2, 2)
        self.first = nn.MultiheadAttention(12, 2, batch_first=True)
        self.last = nn.MultiheadAttention(12, 4)
        self.mixed, self.projection = nn.Linear(12, 36), nn.Linear(12, 12)
        self.gram, self.single = nn.Linear(144, 5), nn.Linear(12, 12)
        self.up, self.gate, self.down = nn.Linear(12, 7), nn.Linear(12, 7), nn.Linear(7, 12)
        self.classifier = nn.Linear(17, 3)

    def forward(self, images):
        tokens = self.stem(images).flatten(2).transpose(1, 2)
        tokens = tokens + self.first(tokens, tokens, tokens)[0]
        turned = tokens.transpose(0, 1)
        tokens = tokens + self.last(turned, turned, turned)[0].transpose(0, 1)
        queries, keys, values = self.mixed(tokens).unflatten(2, (3, 3, 4)).unbind(2)
        similar = torch.einsum(
            "bihd,bjhd->bhij", functional.normalize(queries, dim=-1), functional.normalize(keys, dim=-1)
        )
        weights = (similar * 10).softmax(-1)
        tokens = tokens + self.projection(torch.einsum("bhij,bjhd->bihd", weights, values).flatten(2))
        tokens = tokens + self.single((tokens @ tokens.transpose(1, 2)).softmax(-1) @ tokens)
        tokens = tokens + self.down(self.up(tokens) * functional.silu(self.gate(tokens)))
        gram = self.gram((tokens.transpose(1, 2) @ tokens).flatten(1))
        return self.classifier(torch.cat([tokens.mean(1), gram], 1))


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Attention().eval()


@pytest.fixture(scope="module")
def captured(network):
    return capture(network, IMAGES)


def test_heads_are_found_where_they_stand_and_nowhere_else(captured):
    assert list(sites_of(captured, "heads")) == [
        Site("first/bmm:1", 1, 2, (2, 4, 6)),  # heads merged with the batch, taken apart
        Site("last/bmm:1", 1, 4, (4, 4, 3)),
        Site("einsum:1", 2, 3, (4, 3, 4)),  # neither one head alone nor a table of products is heads
    ]


@pytest.mark.parametrize(
    ("position", "weight", "width"), [(0, "first.out_proj", 6), (1, "last.out_proj", 3), (2, "projection", 4)]
)
def test_closed_head_is_the_head_that_gives_zero(captured, network, position, weight, width):
    sites, images = sites_of(captured, "heads"), torch.randn(3, 3, 4, 4)
    gates = [torch.ones(3, site.channels) for site in sites]
    gates[position][1, 1] = 0
    matrix = network.get_submodule(weight).weight
    with torch.no_grad():
        before = network(images)
        kept = matrix[:, width : 2 * width].clone()
        matrix[:, width : 2 * width] = 0
        without = network(images)
        matrix[:, width : 2 * width] = kept
        found = TappedNetwork(captured, sites)(images, Multiplier(sites, gates))
    assert not torch.allclose(without[1], before[1], atol=1e-4)
    torch.testing.assert_close(found[1], without[1])
    torch.testing.assert_close(found[[0, 2]], before[[0, 2]])


def test_neurons_are_activations_between_linear_layers_gated_ones_too(captured):
    assert list(sites_of(captured, "neurons")) == [Site("silu:0", 2, 7, (4, 7))]


def test_levels_are_joined_in_forward_order(captured):
    assert sites_of(captured, "neurons+heads").names == ("first/bmm:1", "last/bmm:1", "einsum:1", "silu:0")


def test_heads_are_also_found_by_name(captured):
    assert sites_of(captured, ["einsum:1"])[0].channels == 3
    with pytest.raises(SiteError, match="'einsum:0' in Attention has no channel dimension that could be followed"):
        sites_of(captured, ["einsum:0"])


def test_networks_without_them_are_refused_by_what_is_missing():
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    found = capture(plain, IMAGES)
    with pytest.raises(SiteError, match="level 'heads': Sequential has no attention with several heads"):
        sites_of(found, "heads")
    with pytest.raises(SiteError, match="level 'neurons': Sequential has no activation between two linear layers"):
        sites_of(found, "block+neurons")


def test_sites_with_windows_are_refused_for_images_of_another_size(captured):
    smaller = Site("first/bmm:1", 1, 2, (2, 9, 6))
    with pytest.raises(
        SiteError, match=r"bmm:1' is \(2, 4, 6\) for an image in this network, \(2, 9, 6\) was expected"
    ):
        nodes_of_sites(captured, [smaller])


class Moves(nn.Module):
    """One value after another; the batch is in the place that stands beside it."""

    PLACES = (
        (lambda x: x.permute(0, 2, 3, 1) * 2, BatchPlace(0, 1, 1)),
        (lambda x: x.unflatten(1, (2, 2)).flatten(0, 1) * 2, BatchPlace(0, 1, 2)),
        (lambda x: x.flatten(0, 1).unflatten(0, (-1, 4)) * 2, BatchPlace(0, 1, 1)),
        (lambda x: x.transpose(0, 1) * 2, BatchPlace(1, 1, 1)),
        (lambda x: x.transpose(0, 1).flatten(0, 1) * 2, BatchPlace(0, 4, 1)),
        (lambda x: x.permute(2, 0, 1, 3).flatten(1, 2).transpose(0, 1) * 2, BatchPlace(0, 1, 4)),
        (lambda x: x.unsqueeze(0).sum(2) * 2, BatchPlace(1, 1, 1)),
        (lambda x: x.transpose(0, 1)[2] * 2, BatchPlace(0, 1, 1)),
        (lambda x: torch.cat([x, x], 0) * 2, None),
        (lambda x: x.cumsum(1) * 2, BatchPlace(0, 1, 1)),
        (lambda x: x.cumsum(0) * 2, None),
        (lambda x: x.tril() * 2, None),
    )

    def forward(self, images):
        return sum(move(images).flatten().sum() for move, _ in self.PLACES) + images.mean((2, 3))


def test_batch_is_followed_through_moves():
    captured = capture(Moves(), torch.zeros(1, 4, 6, 8))
    places = batch_places(captured.graph)
    doubled = [node for node in captured.graph.nodes if captured.names.get(node.name, "").startswith("mul:")]
    assert [places.get(node) for node in doubled] == [place for _, place in Moves.PLACES]


def test_windows_before_the_batch_are_no_view(captured):
    behind = next(node for node in captured.graph.nodes if captured.names.get(node.name) == "last/linear:0")
    assert Views(captured).of(behind) is None
