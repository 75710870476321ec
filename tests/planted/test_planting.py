"""Planted networks are what they claim to be, and checks fail where they are not."""

import copy
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from unweave.data.labelled import labelled
from unweave.errors import PlantedError, SettingError
from unweave.network.capture import capture
from unweave.network.tapping import TappedNetwork
from unweave.planted import planting
from unweave.planted.ablation import Ablation
from unweave.planted.architecture import layers_of
from unweave.planted.images import class_images
from unweave.planted.merging import rescale
from unweave.planted.planting import plant
from unweave.planted.scoring import score_paths
from unweave.planted.truth import check_truth
from unweave.search.disentangle import disentangle


@pytest.fixture(scope="module")
def planted():
    return plant("plain", 4, images_per_class=40)


@pytest.fixture(scope="module")
def residual():
    return plant("residual", 4, images_per_class=40)


def ablation_of(network, planted, parts_of=None):
    """Of `network`, with the parts of another one where that is given."""
    captured = capture(network, planted.search.tensors[0][:2])
    tapped = TappedNetwork(captured, planted.sites)
    data, reaches = labelled(planted.search), reaches_of(planted)
    return Ablation.of(network if parts_of is None else parts_of, tapped, planted.sites, data, 10, reaches)


def reached(planted, name):
    """`Bool[classes, channels]` of a site: planted, or judged neither way."""
    return (planted.truth.paths.masks[name] | ~planted.truth.judged[name]).numpy()


def reaches_of(planted):
    return [reached(planted, name) for name in planted.sites.names]


def test_every_layer_is_a_site_with_planted_channels_of_every_class(planted):
    assert len(planted.sites) == len(layers_of("plain"))
    assert planted.top1 > 0.8
    for name, mask in planted.truth.paths.masks.items():
        assert (mask.sum(1) > 0).all()
        assert not (mask & ~planted.truth.judged[name]).any()


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_the_search_finds_the_planted_channels_with_nothing_given(planted, residual, kind):
    """Ten classes, five networks of each kind: benchmarks/planted.py."""
    made = planted if kind == "plain" else residual
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


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_others_and_distractors_are_as_active_at_every_site_on_both_sets_of_images(planted, residual, kind):
    """By construction: without `balance` the third site of this plain network has 0.6."""
    truth = (planted if kind == "plain" else residual).truth
    for activity in (truth.activity, truth.held_out_activity):
        assert list(activity) == list(truth.paths.masks)
        for found in activity.values():
            assert found.others > 0.9
            assert found.distractors > 0.9
            assert 0.2 <= found.auroc <= 0.8
            assert 0.2 <= found.auroc_of_distractors <= 0.8


def test_a_shared_block_is_planted_for_the_two_classes_that_read_it(planted):
    for name, mask in planted.truth.paths.masks.items():
        assert (reached(planted, name).sum(0) == 2).sum() == planted.settings["width"]
        assert (mask.sum(0) == 2).any()
    alone = plant("plain", 4, images_per_class=40, shared=0)
    assert all((mask.sum(0) <= 1).all() for mask in alone.truth.paths.masks.values())


def test_channels_of_a_class_are_strewn_over_a_site_and_elsewhere_at_another(planted):
    """Blocks are written one after the other, so that unpermuted channels of an expert would be neighbours."""
    tables = [reached(planted, name) for name in planted.sites.names]
    for table in tables:
        gaps = [np.diff(np.flatnonzero(row)) for row in table]
        assert sum((gap > 1).sum() for gap in gaps) > sum((gap == 1).sum() for gap in gaps)
    assert not np.array_equal(tables[0], tables[1])


def test_added_layers_have_their_channels_in_the_same_places(residual):
    first, second, third = (reached(residual, residual.sites.names[i]) for i in (0, 1, 2))
    assert np.array_equal(first, third)
    assert not np.array_equal(first, second)


def test_more_classes_are_planted_too():
    planted = plant("plain", 12, images_per_class=20)
    assert planted.top1 > 0.8
    assert len(planted.truth.paths) == 12


def test_the_same_seed_plants_the_same_network_and_another_one_does_not(planted):
    again, other = plant("plain", 4, images_per_class=40), plant("plain", 4, images_per_class=40, seed=1)
    weight = planted.network.convolutions[1].weight
    assert torch.equal(again.network.convolutions[1].weight, weight)
    assert again.truth.paths == planted.truth.paths
    assert not torch.equal(other.network.convolutions[1].weight, weight)


def test_check_fails_when_a_planted_channel_is_made_unnecessary(planted):
    truth = planted.truth
    check_truth(truth, ablation_of(planted.network, planted))
    channel = int(truth.paths.masks[planted.sites.names[-1]][0].nonzero()[0])
    broken = copy.deepcopy(planted.network)
    with torch.no_grad():
        broken.classifier.weight[:, channel] = 0
    with pytest.raises(PlantedError, match=r"channel \d+ of .* is planted for class \d, but removing it"):
        check_truth(truth, ablation_of(broken, planted))


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
        check_truth(truth, ablation_of(broken, planted))


def test_check_fails_when_the_whole_network_says_other_than_its_parts(planted):
    broken = copy.deepcopy(planted.network)
    own = torch.from_numpy(reaches_of(planted)[1][3])
    with torch.no_grad():
        broken.convolutions[1].weight[own] *= 1.5
    with pytest.raises(PlantedError, match="from the whole network changes a class's score by another share"):
        check_truth(planted.truth, ablation_of(broken, planted, parts_of=planted.network))


def test_check_fails_when_only_all_sites_together_differ(planted, monkeypatch):
    monkeypatch.setattr(Ablation, "apart", lambda self: 0.07)
    with pytest.raises(PlantedError, match=r"change a class's score by 7.00%, all sites together"):
        check_truth(planted.truth, ablation_of(planted.network, planted))


def test_scores_of_parts_are_those_of_the_whole_network_and_of_a_changed_one_are_not(planted):
    assert ablation_of(planted.network, planted).apart() < 1e-4
    broken = copy.deepcopy(planted.network)
    with torch.no_grad():
        broken.classifier.bias += 1
    assert ablation_of(broken, planted, parts_of=planted.network).apart() > 0.01


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(
    ("figure", "value", "elsewhere", "message"),
    [
        ("others", 0.5, 1.5, "that are not a class's are 0.50 times as active"),
        ("distractors", 0.5, 1.5, "that no class reads are 0.50 times as active"),
        ("auroc", 0.9, 0.3, "finds the planted ones with an AUROC of 0.90"),
        ("auroc", 0.1, 0.7, "finds the planted ones with an AUROC of 0.10"),
        ("auroc_of_distractors", 0.9, 0.3, "among those that no class reads with an AUROC of 0.90"),
        ("auroc_of_distractors", 0.1, 0.7, "among those that no class reads with an AUROC of 0.10"),
    ],
)
def test_a_truth_that_is_fair_on_average_and_not_at_one_site_is_refused(
    planted, number, figure, value, elsewhere, message
):
    unfair = planted.sites.names[number]
    activity = {
        name: replace(found, **{figure: value if name == unfair else elsewhere})
        for name, found in planted.truth.activity.items()
    }
    assert np.mean([getattr(found, figure) for found in activity.values()]) == pytest.approx(
        (value + 2 * elsewhere) / 3
    )
    ablation = ablation_of(planted.network, planted)
    with pytest.raises(PlantedError, match=f"{re.escape(repr(unfair))}.*{message} .*on the images it was found on"):
        check_truth(replace(planted.truth, activity=activity), ablation)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_network_that_is_unfair_at_one_site_on_other_images_is_refused(planted, number):
    """Distractors of one layer made a quarter as active, and what reads them four times as strong: the same scores."""
    unfair = planted.sites.names[number]
    scales = [torch.ones(planted.settings["channels"]) for _ in planted.sites]
    scales[number][~torch.from_numpy(reached(planted, unfair).any(0))] = 0.25
    broken = copy.deepcopy(planted.network)
    rescale(broken, scales)
    images = planted.search.tensors[0]
    assert torch.allclose(broken(images), planted.network(images), atol=1e-3)
    with pytest.raises(PlantedError, match=f"{re.escape(repr(unfair))} that .* times as active .* on other images"):
        check_truth(planted.truth, ablation_of(broken, planted))


def test_other_kinds_are_planted_too(residual):
    for found in (residual, plant("concatenating", 4, images_per_class=40)):
        assert len(found.sites) == len(layers_of(found.settings["kind"]))
        assert found.top1 > 0.7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "dense"}, "no kind 'dense'"),
        ({"classes": 3}, "classes must be a whole number from 4 to 100, found 3"),
        ({"classes": 101}, "classes must be a whole number from 4 to 100, found 101"),
        ({"classes": 4.5}, "classes must be a whole number from 4 to 100, found 4.5"),
        ({"seed": -1}, "seed must be a whole number from 0 to 8796093022207, found -1"),
        ({"seed": 2**43}, "seed must be a whole number from 0 to 8796093022207, found 8796093022208"),
        ({"seed": 0.5}, "seed must be a whole number from 0 to 8796093022207, found 0.5"),
        ({"width": 0}, "width must be a whole number from 1, found 0"),
        ({"width": 2.0}, "width must be a whole number from 1, found 2.0"),
        ({"shared": -1}, "shared must be a whole number from 0, found -1"),
        ({"shared": 1.5}, "shared must be a whole number from 0, found 1.5"),
        ({"distractors": -1}, "distractors must be a whole number from 0, found -1"),
        ({"distractors": "2"}, "distractors must be a whole number from 0, found '2'"),
        ({"images_per_class": 0}, "images_per_class must be a whole number from 1, found 0"),
        ({"images_per_class": -5}, "images_per_class must be a whole number from 1, found -5"),
        ({"images_per_class": 20.0}, "images_per_class must be a whole number from 1, found 20.0"),
        ({"share": 0.0}, "share must be a number above 0 and below 1, found 0.0"),
        ({"share": 1.0}, "share must be a number above 0 and below 1, found 1.0"),
        ({"share": "1 %"}, "share must be a number above 0 and below 1, found '1 %'"),
        ({"spread": -0.1}, "spread must be a number from 0, found -0.1"),
        ({"spread": float("nan")}, "spread must be a number from 0, found nan"),
        ({"spread": float("inf")}, "spread must be a number from 0, found inf"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_drawn(monkeypatch, arguments, message):
    monkeypatch.setattr(planting, "class_images", None)
    with pytest.raises(SettingError, match=re.escape(message)):
        plant(**arguments)


def test_there_need_not_be_shared_blocks_or_distractors():
    made = plant("plain", 4, images_per_class=40, shared=0, distractors=0)
    assert made.settings["blocks"] == 4


def test_the_last_seed_makes_images_of_every_part():
    assert [len(class_images(4, 1, planting._LAST_SEED, part)) for part in (0, 1, 2)] == [4, 4, 4]
