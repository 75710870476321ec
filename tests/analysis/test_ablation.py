"""Other masks and other fillings, on a network whose answers are obvious."""

import math

import numpy as np
import pytest
import torch

from tests.analysis.by_hand import SITE, ReadOut, Torn, as_searched, grouped, keeping, pictures
from unweave.analysis.ablation import ablation
from unweave.analysis.class_rows import class_rows
from unweave.analysis.judging import Questions, Variant, _partners, answers, worst
from unweave.analysis.predictions import Predictor
from unweave.data.labelled import labelled
from unweave.errors import DataError, PathsError, SettingError
from unweave.paths import Paths

SHOWN = [0, 1, 2, 3, 1, 2, 3, 3]
EVERY = pictures(SHOWN)
KEPT = [[0], [0, 1, 2, 3], [0], []]


def rows_of(table, mask):
    return {
        dropped: i
        for i, (name, dropped) in enumerate(zip(table["mask"], table["dropped"], strict=True))
        if name == mask
    }


def expected(kept, fill):
    """(own, false accepts) of each row: channel k of an image is what it shows, or `fill[image, k]` where dropped."""
    shown = np.eye(4)[SHOWN]
    found = []
    for row, channels in enumerate(kept):
        scores = np.where(np.isin(np.arange(4), list(channels)), shown, fill) + np.array([0, 0, 0, 0.25])
        called = scores.argmax(1) == row
        own = np.array(SHOWN) == row
        found.append((called[own].mean(), called[~own].mean()))
    return np.array(found).T


@pytest.mark.parametrize("filling", ["zero", "mean", "resample"])
def test_dropped_channels_hold_what_is_asked_for(filling):
    network = ReadOut()
    paths, images = keeping(network, KEPT), labelled(EVERY)
    shown = np.eye(4)[SHOWN]
    fill = {"zero": np.zeros((8, 4)), "mean": shown.mean(0), "resample": shown[_partners(images, 3)]}[filling]
    questions = Questions.of(class_rows(paths, ""), images, None, 3)
    variants = [Variant(paths, filling), Variant(~paths, filling)]
    found = answers(Predictor.of(network, paths), questions, images, variants, title="", seed=3)
    complement = [[1, 2, 3], [], [1, 2, 3], [0, 1, 2, 3]]
    for number, kept in enumerate(([range(4)] * 4, KEPT, complement)):
        own, others = expected(kept, fill)
        assert found.own[number].tolist() == own.tolist()
        assert found.false_accepts[number] == pytest.approx(others)


def test_a_partner_is_another_image_with_a_known_class():
    images = labelled(Torn(pictures([0, 1, 2, 3] * 5), {7}, known=False))
    partners = _partners(images, 0)
    assert not (partners == np.arange(20)).any()
    assert 7 not in partners
    assert len(set(partners.tolist())) > 5


def test_a_partner_that_cannot_be_read_is_replaced_by_another_image():
    network = ReadOut()
    data = Torn(EVERY, set(range(1, 8)))  # one image is left, and its partner is damaged
    table = ablation(network, keeping(network, KEPT), data, fillings=["resample"])
    assert table["own"][1] == 1.0


def test_the_table_has_the_whole_network_and_each_mask_by_each_filling():
    network = ReadOut()
    table = ablation(network, keeping(network, [[0], [1], [2]]), EVERY)
    assert table["mask"] == ("whole network", *["sub-architecture"] * 3, *["complement"] * 3, *["random"] * 3)
    assert table["dropped"] == ("", *["zero", "mean", "resample"] * 3)
    assert table["balanced"][:2] == (1.0, 1.0)
    # Without its own channel a class falls to the default, also with the means: at most 1/4 of it is left.
    complement = rows_of(table, "complement")
    assert table["own"][complement["zero"]] == 0
    assert table["balanced"][complement["zero"]] == 0.5
    assert table.summary == {
        "sub_architecture_balanced": 1.0,
        "sub_architecture_worst_balanced": 1.0,
        "sub_architecture_dropped": "zero",
    }


def test_random_masks_are_averaged_over_draws_and_their_ends_told():
    network = ReadOut()
    paths = keeping(network, [[0], [1], [2]])
    settings = {"fillings": ["zero"]}
    draws = [ablation(network, paths, EVERY, controls=1, seed=seed, **settings)["balanced"][3] for seed in (4, 5, 6)]
    table = ablation(network, paths, EVERY, controls=3, seed=4, **settings)
    assert table["balanced"][3] == pytest.approx(sum(draws) / 3)
    assert (table["balanced_lowest"][3], table["balanced_highest"][3]) == (min(draws), max(draws))
    assert min(draws) < max(draws)
    assert table["balanced_lowest"][:3] == table["balanced"][:3]


def test_the_worst_class_is_named():
    network = ReadOut()
    table = ablation(network, keeping(network, [[0], [1], [0]], names=["a", "b", "<c>"]), EVERY, fillings=["zero"])
    assert table["balanced"][1] == pytest.approx((1 + 1 + 0.5) / 3)
    assert (table["worst_balanced"][1], table["worst"][1]) == (0.5, "<c>")
    assert worst(np.array([np.nan, np.nan]), ["a", "b"])[1] == ""


def test_classes_without_images_are_named_and_left_out_of_the_means():
    network = ReadOut()
    data = pictures([0, 1, 2, 2], [0, 1, 0, 3])  # one of class 0 and one of class 3 look like class 2, which has none
    table = ablation(network, keeping(network, [[0], [1], [2]]), data, fillings=["zero"])
    assert table["own"][:2] == (0.75, 0.75)
    assert table["false_accepts"][:2] == (0.0, 0.0)
    assert table["balanced"][:2] == (0.875, 0.875)
    assert table.title.endswith("4 images; 1 of 3 without images left out (2)")


def test_one_class_only_is_measured():
    network = ReadOut()
    table = ablation(network, keeping(network, [[0]]), pictures([0, 0]), fillings=["zero"])
    assert table["own"][1] == 1.0
    assert math.isnan(table["balanced"][1])


def test_others_limits_images_and_groups_are_rows():
    network = ReadOut()
    data = pictures([0] * 10 + [1] * 10 + [2] * 10)
    paths = grouped(network, [[0, 1]], [(0, 1)])
    title = ablation(network, paths, data, fillings=["zero"], others=4).title
    assert title == "Other masks and other fillings, 24 images"
    seen = labelled(data)
    assert (
        "THAT THE SEARCH SAW" in ablation(network, as_searched(paths, seen, range(30)), seen, fillings=["zero"]).title
    )


@pytest.mark.parametrize(("setting", "least"), [("controls", 1), ("others", 0), ("seed", 0)])
def test_counts_and_seeds_that_are_not_whole_or_too_low_are_refused(setting, least):
    network = ReadOut()
    for value in (least - 1, 1.5):
        with pytest.raises(SettingError, match=f"{setting} must be a whole number from {least}, found {value}"):
            ablation(network, keeping(network, KEPT), EVERY, **{setting: value})


def test_what_does_not_fit_is_refused():
    network = ReadOut()
    paths = keeping(network, KEPT)
    with pytest.raises(SettingError, match="fillings are 'zero', 'mean', 'resample', found 'noise'"):
        ablation(network, paths, EVERY, fillings=["noise"])
    with pytest.raises(SettingError, match="found none"):
        ablation(network, paths, EVERY, fillings=[])
    with pytest.raises(DataError, match="none of the paths' classes has images"):
        ablation(network, keeping(network, [[0]]), pictures([1]))
    inputs = Paths.from_masks({SITE: torch.ones(2, 4, dtype=torch.bool)}, network, torch.zeros(2, 4, 2, 2))
    with pytest.raises(PathsError, match="ablation is about classes"):
        ablation(network, inputs, EVERY)
