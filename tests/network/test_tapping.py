"""Recording and gating at sites."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models.vision_transformer import VisionTransformer

from tests.tiny import TinyResidual
from unweave.errors import NumericError, SiteError
from unweave.network.capture import capture
from unweave.network.sites import Site, find_sites, sites_of
from unweave.network.tapping import (
    Multiplier,
    Recorder,
    TappedNetwork,
    along_channels,
    check_finite,
    positions_of,
)

IMAGES = torch.zeros(1, 3, 8, 8)


@pytest.fixture
def images():
    return torch.randn(5, 3, 8, 8)


def tapped(network, level="block", example=IMAGES):
    captured = capture(network, example)
    sites = sites_of(captured, level)
    return TappedNetwork(captured, sites), sites


def by_hooks(network, paths, images, change=None):
    """The outputs of the modules at `paths` and the class scores of a plain network, seen and changed by hooks."""
    seen, hooks = [], []
    for position, path in enumerate(paths):

        def hook(module, inputs, output, position=position):
            changed = output if change is None else change(position, output)
            seen.append(changed.clone())
            return changed

        hooks.append(network.get_submodule(path).register_forward_hook(hook))
    with torch.no_grad():
        scores = network(images)
    for hook in hooks:
        hook.remove()
    return seen, scores


@pytest.mark.parametrize(
    ("level", "paths"), [("block", ["features.1", "features.2"]), ("filter", ["features.0", "features.2"])]
)
def test_recorder_sees_what_hooks_see(plain, images, level, paths):
    network, sites = tapped(plain, level)
    recorder = Recorder()
    scores = network(images, recorder)
    expected, own = by_hooks(plain, paths, images)
    assert torch.equal(scores, own)
    assert len(recorder.values) == len(sites) == len(expected)
    assert all(torch.equal(value, seen) for value, seen in zip(recorder.values, expected, strict=True))


def test_recorder_sees_functional_activations_and_additions(images):
    plain = TinyResidual().randomised()
    network, _ = tapped(plain)
    recorder = Recorder()
    network(images, recorder)
    with torch.no_grad():
        stem = plain.stem(images)
        first = functional.relu(stem + plain.first(stem))
        second = functional.relu(plain.second(first) + plain.shortcut(first))
    expected = [stem, first, second]
    assert all(torch.equal(value, seen) for value, seen in zip(recorder.values, expected, strict=True))


@pytest.mark.parametrize("shape", ["channels", "batch"])
def test_open_gates_change_nothing(network, images, shape):
    module, sites = tapped(network)
    ones = [torch.ones((len(images), site.channels) if shape == "batch" else site.channels) for site in sites]
    with torch.no_grad():
        expected = network(images)
    assert torch.equal(module(images, Multiplier(sites, ones)), expected)


@pytest.mark.parametrize("site", [0, 1])
def test_closed_channel_is_the_channel_set_to_zero_by_hand(plain, images, site):
    module, sites = tapped(plain)
    gates = [torch.ones(s.channels) for s in sites]
    gates[site][2] = 0

    def close(position, output):
        if position == site:
            output[:, 2] = 0
        return output

    _, expected = by_hooks(plain, ["features.1", "features.2"], images, close)
    found = module(images, Multiplier(sites, gates))
    assert torch.equal(found, expected)
    assert not torch.allclose(found, plain(images))


def test_gates_of_a_batch_are_each_images_own(plain, images):
    module, sites = tapped(plain)
    gates = [torch.rand(len(images), site.channels) for site in sites]
    together = module(images, Multiplier(sites, gates))
    for index in range(len(images)):
        alone = module(images[index : index + 1], Multiplier(sites, [gate[index] for gate in gates]))
        torch.testing.assert_close(together[index : index + 1], alone)


def test_gates_get_a_gradient_for_each_image(plain, images):
    module, sites = tapped(plain)
    gates = [torch.ones(len(images), site.channels, requires_grad=True) for site in sites]
    module(images, Multiplier(sites, gates))[0].sum().backward()
    for gate in gates:
        assert gate.grad[0].abs().sum() > 0
        assert gate.grad[1:].abs().sum() == 0


def test_wide_gates_do_not_change_the_dtype_of_the_values(plain, images):
    module, sites = tapped(plain)
    gates = [torch.ones(site.channels, dtype=torch.float64) for site in sites]
    assert module(images, Multiplier(sites, gates)).dtype == torch.float32


def test_gates_of_a_transformer_reach_channels_of_tokens():
    network = VisionTransformer(8, 4, num_layers=2, num_heads=2, hidden_dim=6, mlp_dim=8, num_classes=3).eval()
    nn.init.normal_(network.heads.head.weight)
    images = torch.randn(4, 3, 8, 8)
    name = "encoder.layers.encoder_layer_0/add:1"
    module, (site,) = tapped(network, [name], images)
    assert site == Site(name, dim=2, channels=6, shape=(5, 6))
    gates = torch.rand(4, 6)
    path = "encoder.layers.encoder_layer_0"
    _, expected = by_hooks(network, [path], images, lambda position, output: output * gates[:, None, :])
    torch.testing.assert_close(module(images, Multiplier([site], [gates])), expected)


def test_tap_is_called_in_forward_order_with_each_sites_shape(network, images):
    module, sites = tapped(network)
    seen = []

    def tap(position, value):
        seen.append((position, tuple(value.shape[1:])))
        return value

    module(images, tap)
    assert seen == [(position, site.shape) for position, site in enumerate(sites)]


def test_sites_of_another_network_are_refused(plain):
    captured = capture(plain, IMAGES)
    site = sites_of(captured, "block")[0]
    wider = Site(site.name, site.dim, 5, site.shape)
    with pytest.raises(
        SiteError, match="has 4 channels in dimension 1 in this network, 5 in dimension 1 were expected"
    ):
        TappedNetwork(captured, [wider])
    with pytest.raises(SiteError, match=rf"no site '{site.name}' in TinyResidual"):
        TappedNetwork(capture(TinyResidual(), IMAGES), [site])


def test_along_channels_views_gates_to_broadcast():
    gate = torch.arange(6.0).view(2, 3)
    assert along_channels(gate[0], 4, 1).shape == (1, 3, 1, 1)
    assert along_channels(gate, 4, 1).shape == (2, 3, 1, 1)
    assert along_channels(gate, 3, 2).tolist() == [[[0, 1, 2]], [[3, 4, 5]]]


@pytest.mark.parametrize(
    ("shape", "dim", "positions"), [((2, 3, 4, 5), 1, (2, 3)), ((2, 5, 3), 2, (1,)), ((2, 3), 1, ())]
)
def test_positions_are_all_dimensions_but_batch_and_channels(shape, dim, positions):
    assert positions_of(torch.zeros(shape), dim) == positions


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_first_site_that_is_not_finite_is_named(plain, wrong):
    sites = find_sites(plain, IMAGES)
    fine = [torch.ones(1, site.channels) for site in sites]
    scores = torch.ones(1, 3)
    check_finite(fine, scores, sites)
    with pytest.raises(NumericError, match=r"first at site 'features\.2\.2/relu:0'"):
        check_finite([fine[0], fine[1] * wrong], scores * wrong, sites)
    with pytest.raises(NumericError, match="class scores contain NaN or infinity"):
        check_finite(fine, scores * wrong, sites)


class Branching(nn.Module):
    """A convolution that only a ReLU reads, and one that a sum reads too."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.linear = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 2)

    def forward(self, images):
        values = self.first(images).relu()
        both = self.second(values)
        return self.linear((both + both.relu()).relu().mean((2, 3)))


def test_a_relu_overwrites_its_input_only_where_nothing_else_reads_it(images):
    network = Branching().eval()
    network_tapped, _ = tapped(network)
    relus = [node for node in network_tapped.graph_module.graph.nodes if "relu" in str(node.target)]
    assert [str(node.target) for node in relus] == ["aten.relu_.default", "aten.relu.default", "aten.relu_.default"]
    assert torch.equal(network_tapped(images, Recorder()), network(images))


def test_gradients_are_those_of_the_network_itself(images):
    network = TinyResidual().eval()
    network_tapped, _ = tapped(network)
    own, here = images.clone().requires_grad_(), images.clone().requires_grad_()
    network(own).square().sum().backward()
    network_tapped(here, Recorder()).square().sum().backward()
    assert torch.allclose(own.grad, here.grad, atol=1e-6)
