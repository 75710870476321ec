"""Own class against other classes, on a network whose answers are obvious."""

import math

import numpy as np
import pytest
import torch

from tests.analysis.by_hand import ReadOut, Torn, as_searched, grouped, keeping, pictures
from unweave.analysis.accuracy import accuracy
from unweave.analysis.intervals import reach_of_mean
from unweave.analysis.specificity import specificity
from unweave.data.labelled import labelled
from unweave.errors import DataError, MismatchError, PathsError, SettingError
from unweave.paths import Paths

EVERY = pictures([0, 1, 2, 3] * 3)


def test_own_and_false_accepts_are_those_worked_out_by_hand():
    network = ReadOut()
    # Row 3 keeps nothing and calls everything by the default class; row 2 has lost its own channel.
    table = specificity(network, keeping(network, [[0], [0, 1, 2, 3], [0], []]), EVERY, controls=0)
    assert table["own"] == (1.0, 1.0, 0.0, 1.0)
    assert table["false_accepts"] == (0.0, 0.0, 0.0, 1.0)
    assert table["balanced"] == (1.0, 1.0, 0.5, 0.5)
    assert table["original_balanced"] == (1.0, 1.0, 1.0, 1.0)
    assert table.summary["false_accepts"] == 0.25


def test_false_accepts_are_shares_of_the_other_classes_images():
    network = ReadOut()
    # Six images are not of class 0; two of them show what class 0 looks like. Row 3 also calls class 1 and 2 its own.
    data = pictures([0, 0, 0, 0, 1, 2, 3, 3], [0, 0, 1, 2, 1, 2, 3, 3])
    table = specificity(network, keeping(network, [[0], [3]], [0, 3]), data, controls=0)
    assert table["own"] == (1.0, 1.0)
    assert table["false_accepts"] == (2 / 6, 6 / 6)
    assert table["original_false_accepts"] == (2 / 6, 0.0)
    assert table["balanced"] == pytest.approx((5 / 6, 0.5))


def test_means_have_their_reach_over_images():
    network = ReadOut()
    data = pictures([0, 0, 0, 0, 1, 2, 3, 3], [0, 0, 1, 2, 1, 2, 3, 3])
    summary = specificity(network, keeping(network, [[0], [3]], [0, 3]), data, controls=0).summary
    labels = np.array([0, 0, 1, 2, 1, 2, 3, 3])
    called = np.array([[1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1]], dtype=bool)
    own = np.stack([labels == 0, labels == 3])
    assert summary["own_reach"] == reach_of_mean(called, own, labels)
    assert summary["false_accepts_reach"] == reach_of_mean(called, ~own, labels)


def test_opponents_are_named_where_rows_have_any():
    network = ReadOut()
    names = ["cat", "dog", "owl"]
    paths = grouped(network, [[0], [1], [2]], [(0,), (1,), (2,)], [(1, 3), (), (0,)], names)
    assert specificity(network, paths, EVERY, controls=0)["against"] == ("dog, 3", "", "cat")
    assert "against" not in specificity(network, keeping(network, [[0], [1]]), EVERY, controls=0).columns


def test_own_is_what_accuracy_measures():
    network = ReadOut()
    data = pictures([0, 1, 2, 3, 0, 1, 2, 3], [0, 1, 2, 3, 1, 2, 3, 0])
    paths = keeping(network, [[0, 1], [1], [0], [3]])
    measured, table = accuracy(network, paths, data), specificity(network, paths, data, controls=0)
    assert table["own"] == measured["sub_architecture"]
    assert table["original_own"] == measured["original"]


def test_batches_do_not_change_the_shares():
    network = ReadOut()
    data = pictures([0] * 100 + [1] * 50 + [0] * 30, [0] * 100 + [1] * 80)
    table = specificity(network, keeping(network, [[0], [1]]), data, controls=0)
    assert table["own"] == (1.0, 50 / 80)
    assert table["false_accepts"] == (30 / 80, 0.0)


def test_random_masks_keep_as_many_channels_and_their_shares_are_averaged():
    network = ReadOut()
    # With one channel kept, class 0 is right exactly where the draw is channel 0.
    paths = keeping(network, [[0], [1]])
    draws = [paths.random_control(5 + draw).masks["relu:0"] for draw in range(4)]
    table = specificity(network, paths, EVERY, controls=4, seed=5)
    assert all(draw.sum(1).tolist() == [1, 1] for draw in draws)
    assert table["random_own"] == tuple(sum(bool(d[row, row]) for d in draws) / 4 for row in (0, 1))
    assert table["random_false_accepts"] == (0.0, 0.0)


def test_the_best_random_mask_and_the_numbers_of_images_are_told():
    network = ReadOut()
    paths = keeping(network, [[0], [1]])
    draws = [specificity(network, paths, EVERY, controls=1, seed=seed)["random_balanced"] for seed in (5, 6, 7)]
    table = specificity(network, paths, EVERY, controls=3, seed=5)
    assert table["random_balanced_highest"] == tuple(map(max, zip(*draws, strict=True)))
    assert len(set(draws)) > 1
    assert (table["own_images"], table["other_images"]) == ((3, 3), (9, 9))
    assert "own_images" not in table.summary


def test_random_mask_of_all_channels_is_the_whole_network():
    network = ReadOut()
    table = specificity(network, keeping(network, [range(4)] * 4), EVERY, controls=2)
    for column in ("own", "false_accepts", "balanced"):
        assert table[f"random_{column}"] == table[f"original_{column}"] == table[column]


def test_without_controls_there_are_no_random_columns():
    network = ReadOut()
    table = specificity(network, keeping(network, [[0]]), EVERY, controls=0)
    assert not [name for name in table.columns if name.startswith("random")]


def test_others_limits_the_images_of_other_classes():
    network = ReadOut()
    table = specificity(network, keeping(network, [[]], [3]), pictures([0] * 20 + [3] * 5), others=4, controls=0)
    assert table["false_accepts"] == (1.0,)
    assert table.title == "Own class and other classes, 9 images"
    everything = specificity(network, keeping(network, [[]], [3]), pictures([0] * 20 + [3] * 5), controls=0)
    assert everything.title == "Own class and other classes, 25 images"


def test_a_group_accepts_its_classes_and_refuses_those_outside_it():
    network = ReadOut()
    # Of {0, 1} two images look like it and one like class 2; outside it one looks like 1, one like 2, one like 3.
    data = pictures([0, 1, 2, 1, 2, 3], [1, 0, 0, 2, 2, 3])
    table = specificity(network, grouped(network, [[1, 2]], [(0, 1)], names=["low"]), data, controls=0)
    assert (table["class"], table["name"]) == ((-1,), ("low",))
    assert (table["original_own"], table["original_false_accepts"]) == ((2 / 3,), (1 / 3,))
    # Without channel 0 the picture of class 0 falls to the default class.
    assert (table["own"], table["false_accepts"]) == ((1 / 3,), (1 / 3,))
    assert table["balanced"] == pytest.approx((1 / 2,))
    assert table.title == "Own row and classes outside the row, 6 images"
    assert table.meanings["false_accepts"] == (
        "share of the images of classes outside the row that it also calls by a class of the row"
    )


def test_false_accepts_of_a_row_with_opponents_are_of_their_images_alone():
    network = ReadOut()
    # Class 0 against 2: the images of 1 and 3 take no part, nor do those classes' scores.
    data = pictures([0, 3, 0, 2, 3, 0, 0], [0, 0, 2, 2, 2, 1, 3])
    table = specificity(network, grouped(network, [[0, 2, 3]], [(0,)], [(2,)]), data, controls=1)
    # Where neither is seen, the first of the two is called: an image of each, which class 3 would otherwise take.
    assert table["original_own"] == table["own"] == (1.0,)
    assert table["original_false_accepts"] == table["false_accepts"] == (2 / 3,)
    assert table.title == (
        "Own class and its opponents, 5 images; predictions of a row with opponents are among its classes and theirs"
    )


def test_random_masks_of_a_group_are_judged_by_its_classes():
    network = ReadOut()
    paths = grouped(network, [[0]], [(0, 1)])
    draws = [paths.random_control(5 + draw).masks["relu:0"][0] for draw in range(4)]
    table = specificity(network, paths, pictures([0, 1, 2]), controls=4, seed=5)
    # A single channel recognises one of the two classes, if it is theirs.
    assert table["random_own"] == (sum(bool(draw[:2].any()) / 2 for draw in draws) / 4,)
    assert table["random_false_accepts"] == (0.0,)


def test_class_without_images_has_nan_and_is_left_out_of_the_means():
    network = ReadOut()
    # Of class 2 there is no image; two of four pictures of others look like it.
    data = pictures([0, 1, 2, 2], [0, 1, 0, 3])
    table = specificity(network, keeping(network, [[0], [1], [2]]), data, controls=1)
    assert table["own"][:2] == (0.5, 1.0)
    assert math.isnan(table["own"][2])
    assert math.isnan(table["balanced"][2])
    assert table["false_accepts"][2] == 0.5
    summary = table.summary
    assert summary["own"] == 0.75
    assert summary["false_accepts"] == sum(table["false_accepts"][:2]) / 2
    assert summary["balanced"] == (summary["own"] + 1 - summary["false_accepts"]) / 2
    assert table.title.endswith("; 1 of 3 without images left out (2)")


def test_rows_share_passes_and_each_is_asked_about_its_own_images():
    network = ReadOut()
    rows = keeping(network, [[0], [1], [2]])
    data = pictures([0, 1, 2, 3] * 20, [0, 1, 2, 3] * 20)
    together = specificity(network, rows, data, controls=0, others=5)
    for number, row in enumerate(rows):
        alone = specificity(network, row, data, controls=0, others=5)
        for column in ("own", "false_accepts"):
            assert alone[column][0] == together[column][number]


def test_images_of_one_class_alone_say_nothing_of_false_accepts():
    network = ReadOut()
    table = specificity(network, keeping(network, [[0]]), pictures([0, 0]), controls=1)
    assert table["own"] == (1.0,)
    assert math.isnan(table["false_accepts"][0])
    assert math.isnan(table.summary["false_accepts"])


def test_only_images_that_can_be_read_count():
    network = ReadOut()
    # Class 0 has a right and a wrong image left; of the others, one of three looks like class 0.
    data = Torn(pictures([0, 3, 0, 0, 1, 2, 0], [0, 0, 0, 1, 1, 2, 2]), {2, 6})
    table = specificity(network, keeping(network, [[0]]), data, controls=1)
    assert (table["own"], table["false_accepts"]) == ((0.5,), (1 / 3,))
    assert (table["original_own"], table["original_false_accepts"]) == ((0.5,), (1 / 3,))
    assert table.title == "Own class and other classes, 5 images; 2 damaged images left out"


def test_images_of_unknown_class_are_no_other_classes():
    network = ReadOut()
    images = labelled(Torn(pictures([0, 0, 1, 1]), {3}, known=False))
    title = specificity(network, keeping(network, [[0]]), images, controls=0).title
    assert title == "Own class and other classes, 3 images; 1 damaged image left out"


@pytest.mark.parametrize("setting", ["controls", "others", "seed"])
@pytest.mark.parametrize("value", [-1, 1.5, "2", True])
def test_counts_and_seeds_that_are_not_whole_numbers_from_zero_are_refused(setting, value):
    network = ReadOut()
    with pytest.raises(SettingError, match=f"{setting} must be a whole number from 0, found {value!r}"):
        specificity(network, keeping(network, [[0]]), EVERY, **{setting: value})


def test_rows_data_and_network_that_do_not_fit_are_refused():
    network, other = ReadOut(), ReadOut()
    with torch.no_grad():
        other.classifier.bias[0] = 1
    inputs = Paths.from_masks({"relu:0": torch.ones(2, 4, dtype=torch.bool)}, network, torch.zeros(2, 4, 2, 2))
    with pytest.raises(PathsError, match="specificity is about classes"):
        specificity(network, inputs, EVERY)
    with pytest.raises(DataError, match="none of the paths' classes has images"):
        specificity(network, keeping(network, [[0]]), pictures([1, 2]))
    with pytest.raises(MismatchError, match=r"classifier.bias"):
        specificity(other, keeping(network, [[0]]), EVERY)


def test_table_says_that_the_search_saw_the_images():
    network, images = ReadOut(), labelled(EVERY)
    paths = keeping(network, [[0], [1], [2], [3]])
    positions = torch.cat([torch.arange(c, 12, 4) for c in range(4)]).numpy()
    seen = as_searched(paths, images, positions, classes=[0, 1, 2, 3], limit_per_class=None)
    assert specificity(network, seen, EVERY, controls=0).title.endswith(", 12 images THAT THE SEARCH SAW")
    assert specificity(network, paths, EVERY, controls=0).title.endswith(", 12 images")
