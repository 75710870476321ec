"""Planted networks are what they claim to be, and checks fail where they are not."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from unweave.data.labelled import labelled
from unweave.errors import PlantedError, SettingError
from unweave.network.capture import capture
from unweave.network.tapping import TappedNetwork
from unweave.planted import planting
from unweave.planted.architecture import layers_of
from unweave.planted.images import class_images
from unweave.planted.planting import plant
from unweave.planted.scoring import score_paths
from unweave.planted.truth import Ablation, check_truth
from unweave.search.disentangle import disentangle


@pytest.fixture(scope="module")
def planted():
    return plant("plain", 4, images_per_class=40)


def ablation_of(network, planted):
    captured = capture(network, planted.search.tensors[0][:2])
    return Ablation.of(TappedNetwork(captured, planted.sites), planted.sites, labelled(planted.search), 10)


def reaches_of(planted):
    """`Bool[classes, channels]` by site: planted, or judged neither way."""
    truth = planted.truth
    return [(truth.paths.masks[name] | ~truth.judged[name]).numpy() for name in planted.sites.names]


def test_every_layer_is_a_site_with_planted_channels_of_every_class(planted):
    assert len(planted.sites) == len(layers_of("plain"))
    assert planted.top1 > 0.8
    for name, mask in planted.truth.paths.masks.items():
        assert (mask.sum(1) > 0).all()
        assert not (mask & ~planted.truth.judged[name]).any()


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_the_search_finds_the_planted_channels_with_nothing_given(planted, kind):
    """Ten classes, five networks of each kind: benchmarks/planted.py."""
    made = planted if kind == "plain" else plant(kind, 4, images_per_class=40)
    found = score_paths(disentangle(made.network, made.search, made.sites), made.truth).summary
    assert found["auroc"] > 0.99
    assert found["f1"] > 0.93
    assert found["precision"] > 0.95


def test_removing_a_planted_channel_changes_the_class_score_and_another_one_does_not(planted):
    """Ablation once more, one channel at a time, by zeroing what reads it."""
    images, labels = planted.search.tensors
    of = images[labels == 2]
    mask = planted.truth.paths.masks[planted.sites.names[-1]][2]
    judged = planted.truth.judged[planted.sites.names[-1]][2]
    with torch.no_grad():
        whole = planted.network(of)[:, 2]
        for channel in range(len(mask)):
            kept = planted.network.classifier.weight[:, channel].clone()
            planted.network.classifier.weight[:, channel] = 0
            change = float((planted.network(of)[:, 2] - whole).abs().mean() / whole.abs().mean())
            planted.network.classifier.weight[:, channel] = kept
            if judged[channel]:
                assert (change > 0.01) == bool(mask[channel]), (channel, change)


def test_distractors_are_as_active_and_activity_tells_little(planted):
    assert planted.truth.distractors >= 0.8
    assert planted.truth.activity <= 0.8


def test_the_same_seed_plants_the_same_network_and_another_one_does_not(planted):
    again, other = plant("plain", 4, images_per_class=40), plant("plain", 4, images_per_class=40, seed=1)
    weight = planted.network.convolutions[1].weight
    assert torch.equal(again.network.convolutions[1].weight, weight)
    assert again.truth.paths == planted.truth.paths
    assert not torch.equal(other.network.convolutions[1].weight, weight)


def test_check_fails_when_a_planted_channel_is_made_unnecessary(planted):
    truth, reaches = planted.truth, reaches_of(planted)
    check_truth(truth, ablation_of(planted.network, planted), reaches)
    channel = int(truth.paths.masks[planted.sites.names[-1]][0].nonzero()[0])
    broken = copy.deepcopy(planted.network)
    with torch.no_grad():
        broken.classifier.weight[:, channel] = 0
    with pytest.raises(PlantedError, match=r"channel \d+ of .* is planted for class \d, but removing it"):
        check_truth(truth, ablation_of(broken, planted), reaches)


def test_a_truth_that_holds_on_the_images_it_was_found_on_alone_is_refused(monkeypatch):
    def images(classes, per_class, seed, part):
        made = class_images(classes, per_class, seed, part)
        if part == 2:
            made.tensors[0].zero_()
        return made

    monkeypatch.setattr(planting, "class_images", images)
    with pytest.raises(PlantedError, match=r"removing it changes the class's score on other images by no more than"):
        plant("plain", 4, images_per_class=40)


def test_check_fails_when_a_distractor_reaches_a_class(planted):
    truth, reaches = planted.truth, reaches_of(planted)
    channel = int(np.flatnonzero(~reaches[-1].any(0))[0])
    broken = copy.deepcopy(planted.network)
    with torch.no_grad():
        broken.classifier.weight[1, channel] = 5.0
    with pytest.raises(PlantedError, match="planted for no or other classes change a class's score"):
        check_truth(truth, ablation_of(broken, planted), reaches)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activity": 0.9}, "ranking channels by mean activation"),
        ({"activity": 0.1}, "ranking channels by mean activation"),
        ({"distractors": 0.5}, "0.50 times as active"),
    ],
)
def test_check_fails_when_activity_tells_planted_channels(planted, changes, message):
    truth = replace(planted.truth, **changes)
    with pytest.raises(PlantedError, match=message):
        check_truth(truth, ablation_of(planted.network, planted), reaches_of(planted))


@pytest.mark.parametrize("kind", ["residual", "concatenating"])
def test_other_kinds_are_planted_too(kind):
    found = plant(kind, 4, images_per_class=40)
    assert len(found.sites) == len(layers_of(kind))
    assert found.top1 > 0.7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "dense"}, "no kind 'dense'"),
        ({"classes": 3}, "classes must be 4 to 100"),
        ({"share": 0.0}, "share within 0 and 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(SettingError, match=message):
        plant(**arguments)
