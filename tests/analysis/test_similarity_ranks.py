"""Ranks of similar rows, with equally similar ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave.analysis.similarity_ranks import SimilarityRanks

# To row 0, rows 1 and 2 are equally similar, row 3 less, row 4 most; to row 4 all are equally similar.
MATRIX = np.array(
    [
        [1.0, 0.5, 0.5, 0.2, 0.9],
        [0.5, 1.0, 0.1, 0.3, 0.9],
        [0.5, 0.1, 1.0, 0.4, 0.9],
        [0.2, 0.3, 0.4, 1.0, 0.9],
        [0.9, 0.9, 0.9, 0.9, 1.0],
    ]
)


@pytest.fixture
def ranks():
    return SimilarityRanks.of(MATRIX)


def test_equally_similar_rows_share_the_middle_of_their_ranks(ranks):
    assert ranks.middle[0, 1:].tolist() == [2.5, 2.5, 4, 1]
    assert ranks.middle[4, :4].tolist() == [2.5] * 4


def test_the_first_are_drawn_by_lot_among_equals(ranks):
    assert ranks.among_first(2)[0].tolist() == [0, 0.5, 0.5, 0, 1]
    assert ranks.among_first(3)[4].tolist() == [0.75] * 4 + [0]


def test_certain_ones_are_named_apart_from_those_that_share_the_last_places(ranks):
    assert ranks.first(0, 3) == ([4, 1, 2], [])
    assert ranks.first(0, 2) == ([4], [1, 2])
    assert ranks.first(4, 3) == ([], [0, 1, 2, 3])
    assert ranks.first(4, 9) == ([0, 1, 2, 3], [])


def test_rounding_does_not_tell_equal_similarities_apart():
    matrix = MATRIX.copy()
    matrix[0, 2] += 1e-15
    assert SimilarityRanks.of(matrix).middle[0, 1] == 2.5


@given(st.lists(st.integers(0, 3), min_size=6, max_size=6), st.permutations(range(4)), st.integers(0, 5))
def test_another_order_of_rows_changes_nothing(values, order, count):
    matrix = np.eye(4)
    matrix[np.triu_indices(4, 1)] = np.array(values) / 4
    matrix = np.maximum(matrix, matrix.T)
    moved, others = np.ix_(order, order), ~np.eye(4, dtype=bool)
    ranks, renamed = SimilarityRanks.of(matrix), SimilarityRanks.of(matrix[moved])
    assert renamed.middle[others].tolist() == ranks.middle[moved][others].tolist()
    assert renamed.among_first(count).tolist() == ranks.among_first(count)[moved].tolist()
    assert ranks.among_first(count).sum(1) == pytest.approx(min(count, 3))
