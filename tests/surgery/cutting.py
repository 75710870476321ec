"""What tests of extraction share: masks by site name, and the comparison with the restricted network."""

import torch
from torch import nn

from unweave.network.capture import capture
from unweave.network.fingerprint import fingerprint
from unweave.network.sites import sites_of
from unweave.paths import Paths, Rows
from unweave.paths.restrict import restricted
from unweave.surgery.extract import extract


def images(*shape, count=3):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(7))


def kept(channels, *chosen):
    """One row that keeps the `chosen` of so many channels."""
    mask = torch.zeros(1, channels, dtype=torch.bool)
    mask[0, list(chosen)] = True
    return mask


def cut(network, example, masks, **options):
    """What is extracted with `masks` (by site name), checked against the restricted network once more."""
    network.eval()
    captured = capture(network, example)
    sites = sites_of(captured, list(masks))
    masks = {name: masks[name] for name in sites.names}
    paths = Paths(masks, Rows.of_classes([0], ["cat"]), sites, {"network": fingerprint(network)})
    small = extract(network, paths, example, **options)
    with torch.no_grad():
        whole = restricted(captured, paths)(example)[:, list(small.classes)]
        assert torch.allclose(small(example), whole, rtol=1e-4, atol=1e-4 * float(whole.abs().max()))
    return small


def shape(small, name):
    """The shape of a weight."""
    return tuple(small.state_dict()[name].shape)


def operations(small):
    """Names of the operations that are left, in order."""
    return [str(node.target).split(".")[1] for node in small.graph.nodes if node.op == "call_function"]


class Head(nn.Module):
    """`body`, a mean over positions, and a linear layer to three classes."""

    def __init__(self, body, channels):
        super().__init__()
        self.body, self.classifier = body, nn.Linear(channels, 3)

    def forward(self, values):
        return self.classifier(self.body(values).mean((2, 3)))
