"""GoogLeNet for CIFAR, against published numbers, and decoupled."""

import copy

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import unweave as uw
from tests.decoupling.problems import choosy, settled
from unweave.zoo.cifar_googlenet import CifarGoogLeNet
from unweave.zoo.models import load_model

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return settled(CifarGoogLeNet())


@pytest.fixture(scope="module")
def decoupled(network):
    return uw.decouple(network, IMAGES)


def test_multiply_accumulates_are_those_that_papers_give():
    with torch.device("meta"):
        network, image = CifarGoogLeNet(), torch.zeros(1, 3, 32, 32)
    with FlopCounterMode(display=False) as counter:
        network(image)
    assert counter.get_total_flops() / 2 == pytest.approx(1.52e9, rel=0.01)


def test_inceptions_give_the_channels_and_sizes_of_the_paper_s_table():
    found = {}
    with torch.device("meta"):
        network, image = CifarGoogLeNet(), torch.zeros(1, 3, 32, 32)
    for name in ("a3", "b3", "a4", "b4", "c4", "d4", "e4", "a5", "b5"):
        module = network.get_submodule(name)
        module.register_forward_hook(
            lambda module, values, result, name=name: found.update({name: tuple(result.shape[1:3])})
        )
    network(image)
    assert found == {
        "a3": (256, 32),
        "b3": (480, 32),
        "a4": (512, 16),
        "b4": (512, 16),
        "c4": (512, 16),
        "d4": (528, 16),
        "e4": (832, 16),
        "a5": (832, 8),
        "b5": (1024, 8),
    }


def test_the_large_branch_is_two_convolutions_of_three_by_three():
    with torch.device("meta"):
        branch = CifarGoogLeNet().d4.b3
    sizes = [
        (layer.in_channels, layer.out_channels, layer.kernel_size[0]) for layer in (branch[0], branch[3], branch[6])
    ]
    assert sizes == [(512, 32, 1), (32, 64, 3), (64, 64, 3)]


def test_parameters_are_named_as_public_weight_files_name_them():
    with torch.device("meta"):
        names = list(CifarGoogLeNet().state_dict())
    assert names[:2] == ["pre_layers.0.weight", "pre_layers.0.bias"]
    assert names[-2:] == ["linear.weight", "linear.bias"]
    assert {"a3.b1.0.bias", "b4.b2.4.running_var", "e4.b3.6.weight", "b5.b4.1.weight"} <= set(names)


def test_the_weight_file_says_how_many_classes_there_are(tmp_path):
    state = CifarGoogLeNet(100).state_dict()
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "w.pt")
    network = load_model("zoo:googlenet_cifar", tmp_path / "w.pt")
    assert torch.equal(network.linear.weight, state["linear.weight"])
    assert network(IMAGES).shape == (2, 100)


def test_all_branches_of_inceptions_are_controlled(decoupled):
    assert len(decoupled.controlled) == 62  # seven convolutions in each of nine inceptions, without the last one
    inside = [name for name in decoupled.controlled if name.startswith("c4.")]
    assert inside == ["c4.b1.0", "c4.b2.0", "c4.b2.3", "c4.b3.0", "c4.b3.3", "c4.b3.6", "c4.b4.1"]
    assert all(layer.norm is not None for layer in decoupled.controlled.values())


def test_the_first_and_the_last_convolution_are_left_out(decoupled):
    assert decoupled.left_out == {"pre_layers.0": "it is the first", "b5.b4.1": "it is the last"}


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_nearly_all_gates_are_open_at_the_start(decoupled, scale):
    opened = torch.cat(list(decoupled.gates(scale * IMAGES).values()), 1)
    assert opened.mean() > 0.95


def test_with_all_gates_open_it_computes_what_the_network_does(network, decoupled):
    trained = choosy(copy.deepcopy(decoupled))
    with torch.no_grad():
        assert not torch.allclose(trained(IMAGES), network(IMAGES), atol=1e-3)
        with trained.all_open():
            assert torch.equal(trained(IMAGES), network(IMAGES))
