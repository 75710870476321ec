"""Silhouette and agreement of neighbours, worked out by hand."""

import numpy as np
import pytest

from unweave.analysis.separation import agreement_by_chance, separation
from unweave.errors import PathsError

# Two pairs on a line, 1 apart within, 10 apart between.
LINE = np.array([[0.0], [1.0], [10.0], [11.0]])


def test_silhouette_is_that_of_the_distances():
    # a = 1 for all; b is (10 + 11) / 2 for the outer points, (9 + 10) / 2 for the inner ones.
    found = separation(LINE, np.array([0, 0, 1, 1]))
    assert found.silhouette == pytest.approx(((10.5 - 1) / 10.5 + (9.5 - 1) / 9.5) / 2)


def test_agreement_is_the_share_of_neighbours_of_the_same_class():
    found = separation(LINE, np.array([0, 0, 1, 1]))
    # The nearest is the other of the pair; of all three others, one is of the same class.
    assert found.agreement == {1: 1.0, 10: pytest.approx(1 / 3)}


def test_classes_that_lie_among_each_other_do_not_agree():
    found = separation(LINE, np.array([0, 1, 0, 1]))
    assert found.agreement[1] == 0.0
    assert found.silhouette < 0


def test_two_clean_clusters_are_apart_and_shuffled_labels_are_as_chance_has_it():
    generator = np.random.default_rng(0)
    points = np.concatenate([generator.normal(0, 0.1, (150, 5)), generator.normal(5, 0.1, (150, 5))])
    labels = np.repeat([0, 1], 150)
    apart = separation(points, labels)
    assert apart.silhouette > 0.95
    assert apart.agreement == {1: 1.0, 10: 1.0}
    shuffled = generator.permutation(labels)
    mixed = separation(points, shuffled)
    assert abs(mixed.silhouette) < 0.02
    assert mixed.agreement[10] == pytest.approx(agreement_by_chance(shuffled), abs=0.05)


def test_chance_is_the_share_of_pairs_of_one_class():
    # 3 and 2 of a class: 3 * 2 + 2 * 1 of 5 * 4 ordered pairs.
    assert agreement_by_chance(np.array([4, 4, 4, 7, 7])) == pytest.approx(8 / 20)
    assert agreement_by_chance(np.array([0, 1, 2])) == 0.0


@pytest.mark.parametrize(
    ("labels", "message"),
    [([3, 3, 3, 3], "all 4 inputs are of one"), ([0, 1, 2, 3], "each of the 4 inputs is alone in its class")],
)
def test_labels_that_separate_nothing_are_refused(labels, message):
    with pytest.raises(PathsError, match=message):
        separation(LINE, np.array(labels))
