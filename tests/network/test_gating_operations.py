"""Operations of the table, all behind one convolution: a gated channel is the channel set to zero by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from unweave.network.capture import capture
from unweave.network.graph import operation_name
from unweave.network.sites import sites_of
from unweave.network.tapping import Multiplier, TappedNetwork

CHOSEN = torch.tensor([3, 0, 2])


def _written(values, dim):
    """In place, as a user's network might."""
    values = values.clone()
    values.select(dim, 1).mul_(0.5)
    return values


OPERATIONS = {
    "repeat": lambda n, x: x.repeat(1, 2, 1, 1),
    "repeat_interleave": lambda n, x: x.repeat_interleave(2, 1),
    "tile": lambda n, x: x.tile(1, 1, 2, 1),
    "stack": lambda n, x: torch.stack([x, x.relu()], 2),
    "cumsum": lambda n, x: x.cumsum(3),
    "unfold": lambda n, x: x.unfold(3, 2, 2),
    "matmul": lambda n, x: (x.permute(0, 2, 3, 1) @ n.weight).permute(0, 3, 1, 2) * 1,
    "einsum": lambda n, x: torch.einsum("bchw,dc->bdhw", x, n.weight),
    "pixel_shuffle": lambda n, x: functional.pixel_shuffle(x, 2),
    "pixel_unshuffle": lambda n, x: functional.pixel_unshuffle(x, 2),
    "channel_shuffle": lambda n, x: functional.channel_shuffle(x, 2),
    "channels shuffled by hand": lambda n, x: x.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2) * 1,
    "local_response_norm": lambda n, x: functional.local_response_norm(x, 3),
    "normalize": lambda n, x: functional.normalize(x, dim=1),
    "adaptive_max_pool": lambda n, x: functional.adaptive_max_pool1d(x[:, :, 0], 2),
    "max_unpool": lambda n, x: functional.max_unpool2d(*functional.max_pool2d(x, 2, return_indices=True), 2),
    "upsample_linear": lambda n, x: functional.interpolate(x[:, :, 0], scale_factor=2, mode="linear"),
    "upsample_exact": lambda n, x: functional.interpolate(x, scale_factor=2, mode="nearest-exact"),
    "upsample_antialias": lambda n, x: functional.interpolate(x, scale_factor=2, mode="bilinear", antialias=True),
    "grid_sample": lambda n, x: functional.grid_sample(
        x, n.weight.view(1, 2, 4, 2).expand(x.shape[0], 2, 4, 2), align_corners=False
    ),
    "glu": lambda n, x: functional.glu(x, 1),
    "where": lambda n, x: torch.where(x > 0, x, 0.1 * x),
    "fmax": lambda n, x: torch.fmax(x, n.weight[0].view(1, 4, 1, 1)),
    "compare": lambda n, x: x * (x > 0),
    "lerp": lambda n, x: torch.lerp(x, x.relu(), 0.3),
    "remainder": lambda n, x: x % 0.5,
    "index_select": lambda n, x: x.index_select(1, CHOSEN),
    "gather": lambda n, x: x.gather(1, CHOSEN.view(1, 3, 1, 1).expand(x.shape[0], 3, 4, 4)),
    "rows written": lambda n, x: _written(x, 2),
    "channels written": lambda n, x: _written(x, 1),
    "std_mean": lambda n, x: torch.std_mean(x, 2)[0],
    "log1p": lambda n, x: x.sign() * x.abs().log1p(),
    "cos": lambda n, x: x.cos(),
    "conv_transpose1d": lambda n, x: functional.conv_transpose1d(x[:, :, 0], n.weight[..., None]),
    "lstm": lambda n, x: n.lstm(x[:, :, 0].transpose(1, 2))[0].transpose(1, 2),
}  # fmt: skip


class All(nn.Module):
    """A score for each operation."""

    def __init__(self):
        super().__init__()
        self.first, self.weight = nn.Conv2d(4, 4, 1), nn.Parameter(torch.randn(4, 4))
        self.lstm = nn.LSTM(4, 3, batch_first=True)

    def score(self, values):
        return values.neg().flatten(1).sum(1)

    def forward(self, images):
        values = self.first(images)
        return torch.stack([self.score(operation(self, values)) for operation in OPERATIONS.values()], 1)


@pytest.fixture(scope="module")
@torch.no_grad()
def scores():
    """Of each operation, with its last channel closed: gated in the graph, set to zero by hand; and as it is."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, images = All().eval(), torch.randn(2, 4, 4, 4)
    captured = capture(network, images)
    results = [node.args[0] for node in captured.graph.nodes if operation_name(node) == "neg"]
    sites = [sites_of(captured, [captured.names[node.name]])[0] for node in results]
    gates = [(torch.arange(site.channels) < site.channels - 1).float() for site in sites]
    gated = TappedNetwork(captured, sites)(images, Multiplier(sites, gates))
    found, values = {}, network.first(images)
    for position, (name, operation) in enumerate(OPERATIONS.items()):
        whole = operation(network, values)
        closed = whole.clone()
        closed.select(sites[position].dim, -1).zero_()
        found[name] = (gated[:, position], network.score(closed), network.score(whole))
    return found


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_gated_channel_is_the_channel_set_to_zero(name, scores):
    gated, by_hand, whole = scores[name]
    torch.testing.assert_close(gated, by_hand)
    assert not torch.allclose(gated, whole)
