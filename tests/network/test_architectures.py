"""Every known architecture: its graph computes the same, its channels can be closed, and it can be searched."""

import pytest
import torch
from torch import fx, nn
from torch.utils.data import TensorDataset

from tests.network.architectures import ARCHITECTURES, built
from unweave.network.capture import capture, evaluating_copy
from unweave.network.fingerprint import fingerprint
from unweave.network.sites import sites_of
from unweave.network.tapping import Multiplier, TappedNetwork
from unweave.paths import Paths, Rows
from unweave.paths.restrict import restricted
from unweave.search import preparation
from unweave.search.disentangle import disentangle
from unweave.surgery import extract as extraction
from unweave.surgery.checking import relative_difference


class Case:
    def __init__(self, name):
        self.architecture = ARCHITECTURES[name]
        self.network = built(name)
        size = self.architecture.size
        self.images = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(1))
        self.captured = capture(self.network, self.images)
        self.sites = sites_of(self.captured, self.architecture.level)
        self.tapped = TappedNetwork(self.captured, self.sites)
        with torch.no_grad():
            self.scores = evaluating_copy(self.network)(self.images)

    def gated(self, gates, images=None):
        with torch.no_grad():
            return self.tapped(self.images if images is None else images, Multiplier(self.sites, gates))

    def closed(self, position, channel):
        """The scores with one channel of one site closed, in the images at 0 and 2 only."""
        gates = [torch.ones(len(self.images), site.channels) for site in self.sites]
        gates[position][::2, channel] = 0
        return self.gated(gates)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def case(request):
    return Case(request.param)


def test_graph_with_open_gates_is_the_network(case):
    ones = [torch.ones(site.channels) for site in case.sites]
    torch.testing.assert_close(case.gated(ones), case.scores)


class Zeroing(fx.Interpreter):
    """Runs a graph with one channel of one value set to zero."""

    def __init__(self, captured):
        super().__init__(captured.module())
        self.names = captured.names

    def zeroed(self, images, site, channel):
        self.site, self.channel = site, channel
        with torch.no_grad():
            return self.run(images)

    def run_node(self, node):
        value = super().run_node(node)
        if self.names.get(node.name) == self.site.name:
            value = value.clone()
            value.select(self.site.dim, self.channel).zero_()
        return value


def without_columns(case, site, channel):
    """The network itself, the weights that read one head or neuron set to zero: as if it had given zero."""
    network = built(next(name for name, one in ARCHITECTURES.items() if one is case.architecture))
    weight = network.get_submodule(case.architecture.next_weight(site.name)).weight
    width = weight.shape[1] // site.channels
    with torch.no_grad():
        weight[:, channel * width : (channel + 1) * width] = 0
        return evaluating_copy(network)(case.images)


def test_closed_channel_is_the_channel_set_to_zero_in_each_image_by_itself(case):
    zeroing = Zeroing(case.captured)
    changed = []
    for position, site in enumerate(case.sites):
        channel = site.channels - 1
        found = case.closed(position, channel)
        if case.architecture.next_weight is None:
            expected = zeroing.zeroed(case.images, site, channel)
        else:
            expected = without_columns(case, site, channel)
        torch.testing.assert_close(found[::2], expected[::2], msg=site.name)
        torch.testing.assert_close(found[1::2], case.scores[1::2], msg=site.name)
        changed.append(float((found - case.scores).abs().max()) > 1e-7)
    assert sum(changed) > 0.6 * len(changed)  # a ReLU's channel may be zero on all of four images


def test_a_short_search_finds_paths_that_restrict(case, monkeypatch):
    monkeypatch.setattr(preparation, "capture", lambda *_: case.captured)  # once more would take as long as all else
    labels = case.scores.argmax(1)
    classes = labels.unique().tolist()
    settings = {"beta": 0.3, "classes": classes, "passes": 2, "batch": 2, "keep_activations": False}
    paths = disentangle(case.network, TensorDataset(case.images, labels), case.sites, "released", **settings)
    assert paths.rows.classes == tuple(classes)
    assert all(scores.isfinite().all() for scores in paths.scores.values())
    network = restricted(case.captured, paths[0])
    assert isinstance(network, nn.Module)
    with torch.no_grad():
        torch.testing.assert_close(network(case.images), case.gated([mask[0] for mask in paths.masks.values()]))


def test_a_row_is_extracted_as_an_equal_network_that_is_really_smaller(case, monkeypatch):
    """Random halves of all layers, heads and neurons. The masks reach the scores: equal would mean nothing else."""
    monkeypatch.setattr(extraction, "capture", lambda *_: case.captured)
    sites = sites_of(case.captured, case.architecture.level.replace("block", "filter"))
    numbers = torch.Generator().manual_seed(2)
    masks = {site.name: torch.randperm(site.channels, generator=numbers)[None] % 2 == 0 for site in sites}
    paths = Paths(masks, Rows.of_classes([0], ["cat"]), sites, {"network": fingerprint(case.network)})
    small = extraction.extract(case.network, paths, case.images)
    with torch.no_grad():
        masked, found = restricted(case.captured, paths)(case.images), small(case.images)
    assert relative_difference(found, masked) < 1e-5
    assert relative_difference(masked, case.scores) > 0.01
    if case.architecture is not ARCHITECTURES["googlenet"]:  # untrained, its scores hardly depend on the images
        assert relative_difference(masked[:1], masked[1:2]) > 1e-4
    assert _parameters(small) < 0.95 * _parameters(case.network)


def _parameters(network):
    return sum(one.numel() for one in network.parameters())
