"""Misjudgements of a network that calls images what they show, labelled otherwise."""

import math

import numpy as np
import pytest
import torch

import unweave.analysis.misjudgements as module
from tests.analysis.by_hand import ReadOut, Torn, as_searched, grouped, keeping, pictures
from unweave.analysis.misjudgements import misjudgements, permuted_differences
from unweave.data.labelled import labelled
from unweave.errors import DataError, PathsError, SettingError
from unweave.paths import Paths

# Similarities: of 0 and 1 one half, of 0 and 2 one third, of 1 and 2 none, of 3 to any none.
KEPT = [[0, 1], [1], [0, 2], [3]]
# Class 0 is called 1 (twice) and 2 (once), class 1 is called 0, class 3 is right throughout, class 2 has no images.
SHOWN, LABELS = [1, 1, 2, 0, 0, 1, 3, 3], [0, 0, 0, 0, 1, 1, 3, 3]


def found(**settings):
    network = ReadOut()
    return misjudgements(network, keeping(network, KEPT), pictures(SHOWN, LABELS), **settings)


def test_mis_and_oth_are_those_worked_out_by_hand():
    table = found().classes
    assert table["images"] == (4, 2, 0, 2)
    assert table["wrong"] == (3, 1, 0, 0)
    assert table["wrong_labels"] == (2, 1, 0, 0)
    assert table["mis"][:2] == pytest.approx(((1 / 2 + 1 / 3) / 2, 1 / 2))
    assert table["oth"][:2] == pytest.approx((0, 0))
    assert all(math.isnan(value) for value in table["mis"][2:] + table["difference"][2:])
    assert table.summary["mis"] == pytest.approx((5 / 12 + 1 / 2) / 2)
    assert table.summary["difference"] == pytest.approx((5 / 12 + 1 / 2) / 2)
    assert table.summary["classes_compared"] == 2
    assert (table.summary["misjudged"], table.summary["without_row"]) == (4, 0)
    assert table.title.endswith("8 images; 1 of 4 without images left out (2)")


def test_weighed_by_images_each_misjudged_image_counts_once():
    summary = found(weighting="images").classes.summary
    assert summary["mis"] == pytest.approx((1 / 2 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert summary["oth"] == pytest.approx(0)


def test_confusions_are_set_beside_the_most_similar_classes():
    table = found().classes
    assert table["similar"][:2] == ("1, 2, 3", "0, 2, 3")
    assert table["confusions"] == ("1, 2", "0", "", "")
    assert table["shared"] == (2, 1, 0, 0)
    assert table.summary["share_shared"] == 1
    assert table.summary["share_by_chance"] == 1  # three of three others


def test_misjudged_images_are_listed_with_rank_and_similarity():
    images = found().images
    assert images["position"] == (0, 1, 2, 4)
    assert images["label"] == ("0", "0", "0", "1")
    assert images["prediction"] == ("1", "1", "2", "0")
    assert images["similarity"] == pytest.approx((1 / 2, 1 / 2, 1 / 3, 1 / 2))
    assert images["rank"] == (1, 1, 2, 1)
    assert images["tied"] == (1, 1, 1, 1)


@pytest.mark.parametrize("called", [0, 3])
def test_among_equally_similar_classes_none_counts_as_the_most_similar(called, monkeypatch):
    monkeypatch.setattr(module, "TOP", 1)
    network = ReadOut()
    others = [c for c in range(4) if c != called]
    result = misjudgements(network, keeping(network, [[0, 1]] * 4), pictures([called] * 3, others))
    assert result.images["rank"] == (2,) * 3
    assert result.images["tied"] == (3,) * 3
    assert set(result.classes["similar"]) == {"3 alike"}
    assert result.classes.summary["share_shared"] == pytest.approx(1 / 3)
    assert result.classes.summary["share_by_chance"] == pytest.approx(1 / 3)


def test_classes_that_are_most_similar_for_certain_are_named_before_those_that_share_a_place(monkeypatch):
    monkeypatch.setattr(module, "TOP", 2)
    network = ReadOut()
    classes = misjudgements(network, keeping(network, [[0, 1], [0, 1], [0], [1]]), pictures([1, 3], [0, 0])).classes
    assert classes["similar"][0] == "1, 2 others alike"
    assert classes["shared"][0] == 1.5  # 1 for certain; 2 or 3 comes second


def test_a_class_called_by_all_others_has_no_oth_and_is_left_out_of_the_means():
    network = ReadOut()
    data = pictures([1, 2, 3, 0], [0, 0, 0, 1])
    table = misjudgements(network, keeping(network, KEPT), data).classes
    assert table["mis"][0] == pytest.approx((1 / 2 + 1 / 3) / 3)
    assert math.isnan(table["oth"][0])
    assert table.summary["classes_compared"] == 1
    assert table.summary["mis"] == pytest.approx(1 / 2)


@pytest.mark.parametrize("weighting", ["classes", "images"])
def test_permutations_are_what_relabelled_classes_would_have(weighting):
    numbers = np.random.default_rng(0)
    matrix = numbers.random((6, 6))
    matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 1)
    counts = np.where(numbers.random((6, 6)) > 0.6, numbers.integers(1, 5, (6, 6)), 0)
    np.fill_diagonal(counts, 0)
    from unweave.analysis.misjudgements import _mean_difference, _mis_and_oth
    from unweave.randomness import generator

    expected = []
    for number in range(5):
        order = generator("labels", 3, number).permutation(6)
        mis, oth = _mis_and_oth(matrix[np.ix_(order, order)], counts, weighting)
        weights = counts.sum(1) if weighting == "images" else np.ones(6)
        first, second = _mean_difference(mis, oth, weights)
        expected.append(first - second)
    assert permuted_differences(matrix, counts, weighting, 5, 3) == pytest.approx(expected)


def test_p_is_small_where_confusions_follow_similarity_and_large_where_they_avoid_it():
    # Rings: row i shares a channel with row i + 1 alone.
    count = 8
    matrix = np.eye(count)
    for i in range(count):
        matrix[i, (i + 1) % count] = matrix[(i + 1) % count, i] = 1 / 3
    near, far = np.roll(np.eye(count, dtype=int), 1, 1), np.roll(np.eye(count, dtype=int), 4, 1)
    for counts, expected in ((near, True), (far, False)):
        permuted = permuted_differences(matrix, counts, "classes", 200, 0)
        actual = permuted_differences(matrix, counts, "classes", 0, 0)
        assert len(actual) == 0
        value = 1 / 3 - 1 / 3 / (count - 2) if expected else 0 - 2 / 3 / (count - 2)
        share = (permuted >= value - 1e-9).mean()
        assert (share < 0.05) == expected
        assert (share > 0.5) != expected


def test_p_counts_the_permutations_and_needs_some():
    result = found(permutations=50)
    summary = result.classes.summary
    reached = (result.permuted >= summary["difference"] - 1e-12).sum()
    assert summary["p"] == pytest.approx((1 + reached) / 51)
    assert math.isnan(found(permutations=0).classes.summary["p"])
    assert np.array_equal(found(permutations=9).permuted, result.permuted[:9])


def test_a_network_without_mistakes_has_nothing_to_compare():
    network = ReadOut()
    result = misjudgements(network, keeping(network, KEPT), pictures([0, 1, 2, 3]))
    assert math.isnan(result.classes.summary["difference"])
    assert math.isnan(result.classes.summary["p"])
    assert len(result.images) == result.classes.summary["misjudged"] == 0


def test_labels_without_a_row_are_counted_and_left_out():
    network = ReadOut()
    paths = keeping(network, KEPT[:3], [0, 1, 3])
    result = misjudgements(network, paths, pictures([2, 1, 2, 2], [0, 0, 1, 2]))
    assert result.classes["wrong"] == (1, 0, 0)
    assert "2 images called by a class without a row left out" in result.classes.title
    assert (result.classes.summary["misjudged"], result.classes.summary["without_row"]) == (3, 2)


def test_searched_and_damaged_images_are_said():
    network, data = ReadOut(), labelled(pictures(SHOWN, LABELS))
    title = misjudgements(network, as_searched(keeping(network, KEPT), data, range(8)), data).classes.title
    assert "8 images THAT THE SEARCH SAW" in title
    torn = Torn(pictures(SHOWN, LABELS), {0})
    assert "1 damaged image left out" in misjudgements(network, keeping(network, KEPT), torn).classes.title


def test_what_does_not_fit_is_refused():
    network = ReadOut()
    with pytest.raises(SettingError, match="weighting must be 'classes' or 'images', found 'both'"):
        found(weighting="both")
    with pytest.raises(SettingError, match="permutations must be a whole number from 0, found -1"):
        found(permutations=-1)
    with pytest.raises(SettingError, match=r"seed must be a whole number from 0, found 0\.5"):
        found(seed=0.5)
    with pytest.raises(PathsError, match="at least three; there are 2 rows"):
        misjudgements(network, keeping(network, KEPT[:2]), pictures(SHOWN, LABELS))
    groups = grouped(network, [[0], [1], [2]], [(2,), (3,), (0, 1)])
    with pytest.raises(PathsError, match="single classes"):
        misjudgements(network, groups, pictures(SHOWN, LABELS))
    with pytest.raises(DataError, match="none of the paths' classes has images"):
        misjudgements(network, keeping(network, KEPT[:3]), pictures([3]))
    inputs = Paths.from_masks({"relu:0": torch.ones(3, 4, dtype=torch.bool)}, network, torch.zeros(2, 4, 2, 2))
    with pytest.raises(PathsError, match="misjudgements is about classes"):
        misjudgements(network, inputs, pictures(SHOWN, LABELS))
