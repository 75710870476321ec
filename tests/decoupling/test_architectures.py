"""The architectures that decoupling is made for: what is controlled, that nothing changes, and what is counted."""

import importlib.util

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18, vgg16, vgg16_bn

from tests.decoupling.problems import settled
from unweave.data.cifar import cifar
from unweave.data.folders import image_folder, read_class_list
from unweave.data.preprocessing import Preprocessing
from unweave.decoupling.network import decouple
from unweave.zoo.cifar_resnet import CifarResNet


def small_vgg(kind):
    """torchvision's convolutions; its linear layers of 120 million weights are not what is tested."""
    with torch.device("meta"):
        network = kind()
    network.avgpool, network.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, 10)
    network.features.to_empty(device="cpu")
    for module in network.features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
            module.reset_running_stats()
    return network


SHORTCUT = "it is the shortcut of a residual block"
PUBLIC = {
    "resnet18": (resnet18, 15, "conv1", "layer4.1.conv2", [f"layer{stage}.0.downsample.0" for stage in (2, 3, 4)]),
    "vgg16": (lambda: small_vgg(vgg16), 11, "features.0", "features.28", []),
    "vgg16_bn": (lambda: small_vgg(vgg16_bn), 11, "features.0", "features.40", []),
    "resnet20_cifar": (lambda: CifarResNet(20, 10), 17, "conv1", "layer3.2.conv2", []),
    "resnet56_cifar": (lambda: CifarResNet(56, 10), 53, "conv1", "layer3.8.conv2", []),
}
GIVEN = {
    "resnet20": (17, "conv1", "layer3.2.conv2"),
    "densenet40": (37, "conv0", "block3.11.conv"),
    "squeezenet": (24, "features.0", "classifier.1"),
}


def check(network, images, controlled, left_out):
    decoupled = decouple(network, images)
    assert len(decoupled.controlled) == controlled
    assert decoupled.left_out == left_out
    with torch.no_grad():
        wanted = network(images)
        with decoupled.all_open():
            assert torch.allclose(decoupled(images), wanted, rtol=1e-5, atol=1e-5)
        with decoupled.recording(responses=False) as record:
            decoupled(images)
    assert torch.cat(record.gates, 1).mean() > 0.95
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images[:1])
    found = decoupled.multiply_accumulates(images[:1])
    assert found.dense == counter.get_total_flops() // 2
    assert len(found.controllers) == controlled


@pytest.mark.parametrize("name", PUBLIC)
def test_public_architectures(name):
    make, controlled, first, last, shortcuts = PUBLIC[name]
    ends = {first: "it is the first", last: "it is the last"}
    network, images = settled(make()), torch.randn(2, 3, 32, 32)
    check(network, images, controlled, ends | dict.fromkeys(shortcuts, SHORTCUT))


def real_images(folder, name):
    if name == "squeezenet":
        entries = read_class_list(folder / "imagenet_classes.json")
        data = image_folder(folder / "imagenette" / "val", Preprocessing("imagenet", 64), 1000, entries)
    else:
        data = cifar(folder / "cifar10", "cifar10", False, Preprocessing("raw" if name == "densenet40" else "imagenet"))
    return torch.stack([data[position][0] for position in range(0, 800, 200)])


@pytest.mark.parametrize("name", GIVEN)
def test_given_networks(real_data, name):
    spec = importlib.util.spec_from_file_location("networks", real_data / "models" / "networks.py")
    networks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(networks)
    controlled, first, last = GIVEN[name]
    images = real_images(real_data / "data", name)
    images = torch.cat([images, torch.randn(images.shape)])
    check(getattr(networks, name)(), images, controlled, {first: "it is the first", last: "it is the last"})
