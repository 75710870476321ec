"""Network slimming's VGG-19, against the paper's numbers, and decoupled."""

import copy

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import unweave as uw
from tests.decoupling.problems import choosy, settled
from unweave.zoo.cifar_vgg import CifarVgg
from unweave.zoo.models import load_model

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return settled(CifarVgg())


@pytest.fixture(scope="module")
def decoupled(network):
    return uw.decouple(network, IMAGES)


def test_multiply_accumulates_are_those_that_papers_give():
    with torch.device("meta"):
        network, image = CifarVgg(), torch.zeros(1, 3, 32, 32)
    with FlopCounterMode(display=False) as counter:
        network(image)
    assert counter.get_total_flops() / 2 == pytest.approx(398e6, rel=0.01)


def test_parameters_are_as_many_as_the_paper_says():
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in CifarVgg().parameters())
    assert parameters == pytest.approx(20.04e6, rel=0.001)  # Table 1 of network slimming


def test_sizes_are_halved_between_stages():
    with torch.device("meta"):
        feature, values = CifarVgg().feature, torch.zeros(1, 3, 32, 32)
    shapes = []
    for layer in feature:
        values = layer(values)
        if isinstance(layer, torch.nn.Conv2d):
            shapes.append(tuple(values.shape[1:3]))
    assert shapes == [(64, 32)] * 2 + [(128, 16)] * 2 + [(256, 8)] * 4 + [(512, 4)] * 4 + [(512, 2)] * 4


def test_the_average_is_a_pool_over_two_by_two_positions(network):
    with torch.no_grad():
        pooled = torch.nn.functional.avg_pool2d(network.feature(IMAGES), 2).flatten(1)
        assert torch.allclose(network(IMAGES), network.classifier(pooled), atol=1e-6)


def test_parameters_are_named_as_public_weight_files_name_them():
    with torch.device("meta"):
        names = list(CifarVgg().state_dict())
    assert names[:2] == ["feature.0.weight", "feature.1.weight"]
    assert names[-2:] == ["classifier.weight", "classifier.bias"]
    assert {"feature.3.weight", "feature.7.weight", "feature.50.running_var"} <= set(names)
    assert "feature.0.bias" not in names


def test_the_weight_file_says_how_many_classes_there_are(tmp_path):
    state = CifarVgg(100).state_dict()
    torch.save({"state_dict": state}, tmp_path / "model_best.pth.tar")
    network = load_model("zoo:vgg19_cifar", tmp_path / "model_best.pth.tar")
    assert torch.equal(network.classifier.weight, state["classifier.weight"])
    assert network(IMAGES).shape == (2, 100)


def test_all_convolutions_but_the_first_and_the_last_are_controlled(decoupled):
    assert len(decoupled.controlled) == 14
    assert decoupled.left_out == {"feature.0": "it is the first", "feature.49": "it is the last"}
    assert all(layer.norm is not None for layer in decoupled.controlled.values())


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
