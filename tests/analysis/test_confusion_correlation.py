"""Mantel's test of confusions, against SciPy's rank correlation of all pairs written out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from unweave.analysis.confusion_correlation import confusion_correlation, p_of
from unweave.randomness import generator


def drawn(rows, seed, chance=0.5):
    """Similarities with ties, and confusions of which some are 0."""
    numbers = np.random.default_rng(seed)
    matrix = numbers.integers(0, 5, (rows, rows)) / 4
    matrix = np.maximum(matrix, matrix.T)
    counts = numbers.integers(1, 4, (rows, rows)) * (numbers.random((rows, rows)) < chance)
    np.fill_diagonal(counts, 0)
    return matrix, counts, counts.sum(1) + numbers.integers(1, 9, rows)


@given(rows=st.integers(4, 9), seed=st.integers(0, 10**6))
def test_it_is_the_rank_correlation_over_all_ordered_pairs(rows, seed):
    matrix, counts, images = drawn(rows, seed)
    others = ~np.eye(rows, dtype=bool)
    shares = (counts / images[:, None])[others]
    value, permuted = confusion_correlation(matrix, counts, images, 3, seed)
    if len(set(shares)) == 1 or len(set(matrix[others])) == 1:
        assert math.isnan(value)
        return
    assert value == pytest.approx(spearmanr(shares, matrix[others]).statistic, abs=1e-9)
    for number, found in enumerate(permuted):
        order = generator("labels", seed, number).permutation(rows)
        renamed = matrix[np.ix_(order, order)][others]
        assert found == pytest.approx(spearmanr(shares, renamed).statistic, abs=1e-9)


def test_confusions_that_follow_similarity_have_one_and_a_small_p():
    matrix = np.full((6, 6), 0.2)
    for one in range(6):
        matrix[one, one - 1] = matrix[one - 1, one] = 0.9
    counts = np.where(matrix == 0.9, 3, 1) - np.eye(6, dtype=int)
    value, permuted = confusion_correlation(matrix, counts, np.full(6, 20), 200, 0)
    assert value == pytest.approx(1)
    assert p_of(value, permuted) < 0.1  # every class is called by every other one: nothing is left for Oth.
    opposite, permuted = confusion_correlation(matrix, 4 - counts, np.full(6, 20), 200, 0)
    assert opposite == pytest.approx(-1)
    assert p_of(opposite, permuted) == 1


def test_rows_without_images_have_no_pairs_of_their_own():
    matrix, counts, images = drawn(5, 3)
    counts[4], images[4] = 0, 0
    value, _ = confusion_correlation(matrix, counts, images, 0, 0)
    others = ~np.eye(5, dtype=bool)
    ranks = np.zeros((5, 5))
    ranks[others] = rankdata(matrix[others])
    asked = others.copy()
    asked[4] = False
    shares = (counts / images.clip(1)[:, None])[asked]
    assert value == pytest.approx(np.corrcoef(rankdata(shares), ranks[asked])[0, 1])


@pytest.mark.parametrize("counts", [np.zeros((4, 4)), np.ones((4, 4)) - np.eye(4)])
def test_where_all_pairs_are_confused_alike_there_is_none(counts):
    value, permuted = confusion_correlation(drawn(4, 0)[0], counts, np.full(4, 9), 5, 0)
    assert math.isnan(value)
    assert math.isnan(p_of(value, permuted))


def test_p_counts_the_permutations_that_reach_the_value():
    assert p_of(0.3, np.array([0.1, 0.3, 0.5])) == pytest.approx(3 / 4)
    assert p_of(0.3, np.array([0.1, math.nan])) == pytest.approx(2 / 3)
    assert math.isnan(p_of(0.3, np.empty(0)))


def test_one_row_with_images_tells_little_about_which_classes_are_confused():
    matrix = np.full((5, 5), 0.3)
    matrix[0, 1] = matrix[1, 0] = 0.9
    counts = np.zeros((5, 5), dtype=int)
    counts[0, 1] = 1
    value, permuted = confusion_correlation(matrix, counts, np.array([4, 0, 0, 0, 0]), 200, 0)
    assert value == pytest.approx(1)
    assert p_of(value, permuted) > 0.5  # of rows 2 to 4 all pairs are alike
