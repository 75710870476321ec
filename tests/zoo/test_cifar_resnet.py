"""The residual networks for CIFAR, against the paper and against networks trained by others."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from unweave.network.sites import find_sites
from unweave.zoo.cifar_resnet import DEPTHS, CifarResNet
from unweave.zoo.models import load_model

IN_MILLIONS = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7}
"""Table 6 of the paper."""


@pytest.mark.parametrize("depth", DEPTHS)
def test_parameters_are_as_many_as_the_paper_says(depth):
    parameters = sum(parameter.numel() for parameter in CifarResNet(depth).parameters())
    assert round(parameters / 1e6, 1 if depth == 110 else 2) == IN_MILLIONS[depth]


@pytest.mark.parametrize("depth", DEPTHS)
def test_layers_with_weights_are_as_many_as_the_name_says(depth):
    layers = [name for name, tensor in CifarResNet(depth).named_parameters() if tensor.ndim > 1]
    assert len(layers) == depth


def test_parameters_are_named_as_public_weight_files_name_them():
    names = list(CifarResNet(20).state_dict())
    assert names[:3] == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert names[-2:] == ["linear.weight", "linear.bias"]
    assert {"layer1.0.conv1.weight", "layer2.0.bn2.running_var", "layer3.2.conv2.weight"} <= set(names)
    assert not [name for name in names if "shortcut" in name or "downsample" in name]


def test_shortcut_takes_every_second_position_and_new_channels_are_zero():
    block = CifarResNet(20).layer2[0].eval()
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    values = torch.rand(2, 16, 4, 4)
    with torch.no_grad():
        found = block(values)
    assert found.shape == (2, 32, 2, 2)
    assert torch.equal(found[:, 8:24], values[:, :, ::2, ::2])
    assert not found[:, :8].any()
    assert not found[:, 24:].any()


def test_sites_are_the_stem_and_every_block():
    sites = find_sites(CifarResNet(20), torch.zeros(1, 3, 32, 32))
    assert [site.channels for site in sites] == [16] * 4 + [32] * 3 + [64] * 3


def test_sizes_of_the_stages_are_the_papers():
    network, values, shapes = CifarResNet(20).eval(), torch.zeros(1, 3, 32, 32), []
    values = network.conv1(values)
    for stage in (network.layer1, network.layer2, network.layer3):
        values = stage(values)
        shapes.append(tuple(values.shape[1:]))
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


@pytest.mark.parametrize("depth", [20, 56])
def test_trained_weights_of_others_give_the_same_scores_here(real_data, tmp_path, depth):
    users = load_model(f"{real_data / 'models' / 'networks.py'}:resnet{depth}")
    state = load_file(real_data / "models" / f"cifar10_resnet{depth}.safetensors")
    save_file({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "w.safetensors")
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(load_model(f"zoo:resnet{depth}_cifar", tmp_path / "w.safetensors")(images), users(images))
