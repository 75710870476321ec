"""Batch norms' statistics, estimated anew with gates as in evaluation."""

from dataclasses import replace

import torch

from tests.decoupling.training.trainings import SETTINGS, images, net, training
from unweave.data.labelled import labelled
from unweave.decoupling.training.folder import TrainingFolder
from unweave.decoupling.training.images import TrainingImages
from unweave.decoupling.training.recalibration import recalibrate


def shut_some(decoupled):
    """Every other filter of the first controlled layer, whatever the input."""
    layer = next(iter(decoupled.controlled.values()))
    with torch.no_grad():
        layer.controller.expand.bias[::2] = -1
    return decoupled


def given():
    return TrainingImages(labelled(images()), torch.device("cpu"))


def seen_by_the_norm(decoupled, values):
    """What the second convolution of the chain gives in evaluation."""
    network = decoupled.network
    with torch.no_grad():
        return network.second.convolution(torch.relu(network.first(values)))


def test_statistics_are_those_of_what_the_norm_sees_in_evaluation():
    decoupled, whole = shut_some(net()), replace(SETTINGS, batch=24, recalibrate=24)
    recalibrate(decoupled, given(), whole, epoch=0)
    seen, norm = seen_by_the_norm(decoupled, images().tensors[0]), decoupled.network.second.norm
    assert torch.allclose(norm.running_mean, seen.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(norm.running_var, seen.var((0, 2, 3)), rtol=1e-5)


def test_batches_count_the_same_and_images_are_rounded_up_to_batches():
    few, decoupled = replace(SETTINGS, batch=8, recalibrate=9), net()
    recalibrate(decoupled, given(), few, epoch=0)
    assert int(decoupled.network.second.norm.num_batches_tracked) == 2


def test_all_else_stays_as_it_was():
    decoupled, before = net(), net()
    recalibrate(decoupled, given(), replace(SETTINGS, recalibrate=8), epoch=0)
    assert not any(module.training for module in decoupled.modules())
    assert decoupled.network.second.norm.momentum == before.network.second.norm.momentum
    for name, one in decoupled.named_parameters():
        assert torch.equal(one, before.get_parameter(name))


def test_with_nothing_to_recalibrate_on_statistics_stay():
    decoupled, before = net(), net()
    recalibrate(decoupled, given(), SETTINGS, epoch=0)
    assert torch.equal(decoupled.network.second.norm.running_mean, before.network.second.norm.running_mean)


def test_a_training_keeps_recalibrated_networks(tmp_path):
    settings = replace(SETTINGS, epochs=1, batch=24, recalibrate=24, augment="none")
    run = training(tmp_path, settings=settings)
    run.run()
    seen, norm = seen_by_the_norm(run.net, images().tensors[0]), run.net.network.second.norm
    assert torch.allclose(norm.running_mean, seen.mean((0, 2, 3)), atol=1e-6)
    saved = TrainingFolder(tmp_path).load()[1]
    name = next(name for name in saved if name.endswith("second.norm.running_mean"))
    assert torch.equal(saved[name], norm.running_mean)
