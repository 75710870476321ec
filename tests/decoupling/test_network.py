"""Decoupling a network: which convolutions, and that the copy computes the same until it is trained."""

import copy

import pytest
import torch
from torch import nn

from tests.decoupling.problems import IMAGES, Chain, Dense, Residual, choosy, settled
from unweave.decoupling.network import decouple
from unweave.errors import CaptureError, SettingError

NETWORKS = {"chain": Chain, "residual": Residual, "dense": Dense}


@pytest.fixture(params=NETWORKS)
def network(request):
    return settled(NETWORKS[request.param]())


def test_all_convolutions_but_the_first_and_the_last_are_controlled():
    decoupled = decouple(settled(Chain()), IMAGES)
    assert list(decoupled.controlled) == ["second", "third"]
    assert decoupled.left_out == {"first": "it is the first", "last": "it is the last"}


def test_the_norm_that_directly_follows_belongs_to_the_convolution():
    controlled = decouple(settled(Chain()), IMAGES).controlled
    assert isinstance(controlled["second"].norm, nn.BatchNorm2d)
    assert controlled["third"].norm is None


def test_shortcuts_of_residual_blocks_are_left_as_they_are():
    decoupled = decouple(settled(Residual()), IMAGES)
    assert list(decoupled.controlled) == ["one.conv1", "one.conv2", "two.conv1"]
    assert decoupled.left_out["one.shortcut.0"] == "it is the shortcut of a residual block"
    assert decoupled.left_out["two.conv2"] == "it is the last"


def test_grouped_and_depthwise_convolutions_are_left_as_they_are():
    layers = [nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 1, groups=2), nn.Conv2d(8, 8, 1)]
    network = nn.Sequential(*layers, nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    decoupled = decouple(network, IMAGES)
    assert list(decoupled.controlled) == ["3"]
    assert (decoupled.left_out["1"], decoupled.left_out["2"]) == ("it is depthwise", "it is grouped")


def test_a_convolution_that_is_used_twice_is_left_as_it_is():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.again = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
            self.own, self.last = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 3, 1)

        def forward(self, images):
            values = self.again(self.again(self.first(images)).relu()).relu()
            return self.last(self.own(values).relu()).mean((2, 3))

    decoupled = decouple(Twice(), IMAGES)
    assert list(decoupled.controlled) == ["own"]
    assert decoupled.left_out["again"] == "it is used more than once"


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_at_first_the_copy_computes_what_the_network_does(network, scale):
    decoupled = decouple(network, IMAGES)
    with torch.no_grad():
        assert torch.equal(decoupled(scale * IMAGES), network(scale * IMAGES))
    assert all(gates.mean() == 1 for gates in decoupled.gates(scale * IMAGES).values())


def test_with_all_gates_open_a_trained_copy_computes_what_the_network_does(network):
    decoupled = choosy(decouple(network, IMAGES))
    with torch.no_grad():
        assert not torch.allclose(decoupled(IMAGES), network(IMAGES), atol=1e-3)
        with decoupled.all_open():
            assert torch.equal(decoupled(IMAGES), network(IMAGES))
        assert torch.equal(decoupled.plain()(IMAGES), network(IMAGES))


def test_gates_mask_the_layer_s_output_after_its_activation():
    network = settled(Chain())
    decoupled = choosy(decouple(network, IMAGES))
    gates = decoupled.gates(IMAGES)
    with torch.no_grad():
        values = torch.relu(network.first(IMAGES))
        values = torch.relu(network.norm(network.second(values))) * gates["second"][:, :, None, None]
        values = torch.relu(network.third(values)) * gates["third"][:, :, None, None]
        expected = network.classifier(torch.relu(network.last(values)).mean((2, 3)))
        assert torch.allclose(decoupled(IMAGES), expected, atol=1e-6)


def test_a_residual_block_is_masked_before_the_addition():
    network = settled(Residual())
    decoupled = choosy(decouple(network, IMAGES))
    gates = {name: found[:, :, None, None] for name, found in decoupled.gates(IMAGES).items()}
    one, two = network.one, network.two
    with torch.no_grad():
        stem = torch.relu(network.stem(IMAGES))
        inner = torch.relu(one.bn1(one.conv1(stem))) * gates["one.conv1"]
        values = torch.relu(one.bn2(one.conv2(inner)) * gates["one.conv2"] + one.shortcut(stem))
        inner = torch.relu(two.bn1(two.conv1(values))) * gates["two.conv1"]
        values = torch.relu(two.bn2(two.conv2(inner)) + values)
        assert torch.allclose(decoupled(IMAGES), network.classifier(values.mean((2, 3))), atol=1e-6)


def test_different_inputs_take_different_paths(network):
    gates = choosy(decouple(network, IMAGES)).gates(IMAGES)
    paths = torch.cat(list(gates.values()), 1)
    assert set(paths.unique().tolist()) == {0.0, 1.0}
    assert len(paths.unique(dim=0)) > 1


def test_half_of_the_samples_train_with_binary_gates():
    decoupled = decouple(settled(Chain()), IMAGES).train()
    images = torch.randn(40, 3, 8, 8)
    with decoupled.recording() as record:
        decoupled(images)
    binary = [((gates == 0) | (gates == 1)).all(1) for gates in record.gates]
    assert int(binary[0].sum()) == 20
    assert torch.equal(binary[0], binary[1])


def test_noise_closes_few_of_the_gates_in_training():
    decoupled = decouple(settled(Chain()), IMAGES).train()
    with decoupled.recording() as record:
        decoupled(torch.randn(400, 3, 8, 8))
    shut = torch.cat([gates.flatten() for gates in record.gates]).lt(0.5).float().mean()
    assert float(shut) == pytest.approx(0.0228, abs=0.008)  # P(N(2, 1) < 0)


def test_gradients_reach_controllers_and_filters(network):
    decoupled = choosy(decouple(network, IMAGES)).train()
    decoupled(IMAGES).square().sum().backward()
    for layer in decoupled.controlled.values():
        assert layer.convolution.weight.grad.abs().sum() > 0
        assert layer.controller.expand.weight.grad.abs().sum() > 0


def test_the_network_is_left_as_it_was(network):
    network.train()
    before = copy.deepcopy(network.state_dict())
    decoupled = decouple(network, IMAGES, keep=0.5)
    decoupled.train()(IMAGES).sum().backward()
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    own = {id(parameter) for parameter in network.parameters()}
    assert own.isdisjoint(id(parameter) for parameter in decoupled.parameters())


def test_a_dict_of_results_is_read_by_logits():
    class Named(Chain):
        def forward(self, images):
            return {"scores": super().forward(images)}

    network = settled(Named())
    decoupled = decouple(network, IMAGES, logits="scores")
    with torch.no_grad():
        assert torch.equal(decoupled(IMAGES), network(IMAGES)["scores"])


def test_a_layer_without_a_selected_filter_gives_exactly_zero():
    decoupled = decouple(settled(Chain()), IMAGES)
    layer = decoupled.controlled["third"]
    nn.init.constant_(layer.controller.expand.bias, -1.0)
    with torch.no_grad():
        assert torch.equal(layer(torch.randn(2, 8, 4, 4)), torch.zeros(2, 4, 4, 4))
        assert torch.isfinite(decoupled(IMAGES)).all()


def outcome(network):
    """(controlled layers, what is left out), and that the copy computes the same, also as it is trained."""
    decoupled = decouple(settled(network), IMAGES)
    with torch.no_grad():
        assert torch.allclose(decoupled(IMAGES), network(IMAGES), atol=1e-6)
        assert torch.allclose(decoupled.plain()(IMAGES), network(IMAGES), atol=1e-6)
    decoupled.train()(IMAGES)
    return list(decoupled.controlled), decoupled.left_out


def test_a_norm_that_is_used_twice_stays_where_it_is():
    class NormedTwice(Chain):
        def forward(self, images):
            values = self.norm(torch.relu(self.norm(self.second(torch.relu(self.first(images))))))
            return self.classifier(torch.relu(self.last(torch.relu(self.third(values)))).mean((2, 3)))

    controlled, left_out = outcome(NormedTwice())
    assert controlled == ["third"]
    assert left_out["second"] == "the batch_norm behind it is not a batch norm of its own"


def test_a_module_s_own_weights_given_to_a_function_are_left_as_they_are():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 8, 1, 1))

        def forward(self, values):
            return nn.functional.conv2d(values, self.weight)

    network = Chain()
    network.third = Own()
    controlled, left_out = outcome(network)
    assert controlled == ["second"]
    assert left_out["third"] == "its weight is in a Own, not in a Conv2d"


def test_a_convolution_that_activates_its_own_output_is_left_as_it_is():
    class Activated(nn.Conv2d):
        def forward(self, values):
            return torch.sigmoid(super().forward(values))

    network = Chain()
    network.third = Activated(8, 4, 1)
    assert outcome(network)[1]["third"] == "its module does more than convolve"


def test_a_convolution_whose_weight_is_computed_is_left_as_it_is():
    network = Chain()
    network.third = nn.utils.parametrizations.weight_norm(network.third)
    left_out = outcome(network)[1]
    assert "its weight is not a module's own" in left_out.values()


@pytest.mark.parametrize("norm", [nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, affine=True)])
def test_a_convolution_before_another_norm_is_left_as_it_is(norm):
    network = Chain()
    network.norm = norm
    controlled, left_out = outcome(network)
    assert controlled == ["third"]
    assert "behind it is not a batch norm" in left_out["second"]


def test_branches_with_equally_many_convolutions_are_no_shortcuts():
    class Branches(Chain):
        def __init__(self):
            super().__init__()
            self.small = nn.Conv2d(4, 8, 1)

        def forward(self, images):
            values = torch.relu(self.first(images))
            values = torch.relu(self.norm(self.second(values)) + self.small(values))
            return self.classifier(torch.relu(self.last(torch.relu(self.third(values)))).mean((2, 3)))

    assert outcome(Branches())[0] == ["second", "small", "third"]


def test_modules_with_two_names_are_controlled_under_both():
    class Aliased(Chain):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList([self.second, self.norm, self.third])

        def forward(self, images):
            values = torch.relu(self.first(images))
            for part in self.parts:
                values = torch.relu(part(values))
            return self.classifier(torch.relu(self.last(values)).mean((2, 3)))

    assert len(outcome(Aliased())[0]) == 2
    decoupled = choosy(decouple(settled(Aliased()), IMAGES))
    assert decoupled.network.second is decoupled.network.parts[0]
    assert decoupled.network.norm is decoupled.network.parts[1]
    assert all((gates == 0).any() for gates in decoupled.gates(IMAGES).values())
    assert isinstance(decoupled.plain().parts[1], nn.BatchNorm2d)


def test_a_copy_that_computes_something_else_is_refused():
    class Noticing(Chain):
        def forward(self, images):
            return super().forward(images) * (1 if isinstance(self.second, nn.Conv2d) else 2)

    with pytest.raises(CaptureError, match=r"all gates open, .* does not compute what the network does \(class scores"):
        decouple(settled(Noticing()), IMAGES)


def test_a_network_that_reads_its_convolutions_attributes_is_refused():
    class Reading(Chain):
        def forward(self, images):
            return super().forward(images) * self.second.out_channels

    with pytest.raises(CaptureError, match="does not compute what the network does: AttributeError"):
        decouple(settled(Reading()), IMAGES)


@pytest.mark.parametrize("keep", [0, -0.1, 1.01, True, "half", float("nan")])
def test_a_share_that_is_none_is_refused(keep):
    with pytest.raises(SettingError, match="keep must be a share"):
        decouple(settled(Chain()), IMAGES, keep=keep)


def test_a_network_without_convolutions_is_refused():
    with pytest.raises(CaptureError, match="no 2-D convolutions"):
        decouple(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), IMAGES)


def test_a_network_with_a_first_and_a_last_convolution_alone_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(CaptureError, match=r"no convolution .* can be controlled \(0: it is the first"):
        decouple(network, IMAGES)


def test_a_copy_of_a_decoupled_network_is_its_own():
    decoupled = choosy(decouple(settled(Chain()), IMAGES))
    copied = copy.deepcopy(decoupled)
    nn.init.constant_(copied.controlled["third"].controller.expand.bias, 100.0)
    with decoupled.recording() as record:
        copied(IMAGES)
    assert record.gates == []
    assert not torch.equal(copied(IMAGES), decoupled(IMAGES))
