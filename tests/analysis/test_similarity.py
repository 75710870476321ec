"""Jaccard similarity, by hand and against sets."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from tests.paths.made import animals, any_paths, make, sites_of
from unweave.analysis.similarity import jaccard, similarity
from unweave.errors import PathsError
from unweave.paths import Paths, Rows


def _paths(*tables, names=None):
    """Paths with one site a table of 0 and 1, a row a line."""
    masks = {f"{chr(97 + i)}/relu:0": torch.tensor(table, dtype=torch.bool) for i, table in enumerate(tables)}
    rows = Rows.of_classes(range(len(tables[0])), names)
    return Paths(masks, rows, sites_of(*[mask.shape[1] for mask in masks.values()]), {})


def test_similarity_is_that_worked_out_by_hand():
    # Sets {0, 1}, {1, 2, 3}, {0, 1}: J is 1/4, 1, 1/4.
    found = similarity(_paths([[1, 1, 0, 0], [0, 1, 1, 1], [1, 1, 0, 0]]))
    assert found.per_site["similarity"] == pytest.approx((0.5,))
    assert found.per_site["lowest_pair"] == pytest.approx((0.25,))
    assert found.per_site["highest_pair"] == pytest.approx((1.0,))
    assert found.matrix == pytest.approx(np.array([[1, 0.25, 1], [0.25, 1, 0.25], [1, 0.25, 1]]))


def test_matrix_is_the_mean_over_sites_and_the_table_one_row_a_site():
    found = similarity(_paths([[1, 0], [1, 0]], [[1, 1, 0, 0, 0], [0, 1, 1, 0, 0]]))
    assert found.per_site["similarity"] == pytest.approx((1.0, 1 / 3))
    assert found.per_site["channels"] == (2, 5)
    assert found.matrix[0, 1] == pytest.approx((1 + 1 / 3) / 2)
    assert found.per_site.summary["similarity"] == pytest.approx(2 / 3)


def test_two_empty_sets_are_alike_and_an_empty_one_is_like_no_other():
    matrix = jaccard(torch.tensor([[0, 0], [0, 0], [1, 0]], dtype=torch.bool))
    assert matrix.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert similarity(_paths([[0, 0], [0, 0]])).per_site["expected_by_chance"] == (1.0,)


@given(any_paths().filter(lambda paths: len(paths) >= 2))
@settings(deadline=None, max_examples=60)
def test_similarity_is_that_of_the_sets(paths):
    def of_sets(first, second):
        a, b = ({i for i, kept in enumerate(row.tolist()) if kept} for row in (first, second))
        return len(a & b) / len(a | b) if a | b else 1.0

    found = similarity(paths)
    per_site = [np.array([[of_sets(a, b) for b in mask] for a in mask]) for mask in paths.masks.values()]
    pairs = list(itertools.combinations(range(len(paths)), 2))
    assert found.matrix == pytest.approx(np.mean(per_site, axis=0), abs=1e-6)
    for position, matrix in enumerate(per_site):
        values = [matrix[pair] for pair in pairs]
        assert found.per_site["similarity"][position] == pytest.approx(np.mean(values), abs=1e-6)
        assert found.per_site["lowest_pair"][position] == pytest.approx(min(values), abs=1e-6)
        assert found.per_site["highest_pair"][position] == pytest.approx(max(values), abs=1e-6)


def test_expected_by_chance_is_that_of_independent_sets():
    # Shares 1/2 and 1/4: 1/8 / (1/2 + 1/4 - 1/8) = 1/5.
    found = similarity(_paths([[1, 1, 0, 0], [1, 0, 0, 0]]))
    assert found.per_site["expected_by_chance"] == pytest.approx((0.2,))
    assert found.per_site.summary["expected_by_chance"] == pytest.approx(0.2)


def test_random_masks_are_as_similar_as_expected_by_chance():
    shares = torch.tensor([0.1, 0.3, 0.5, 0.8])
    mask = torch.arange(2000) < 2000 * shares[:, None]
    paths = Paths({"a/relu:0": mask}, Rows.of_classes(range(4)), sites_of(2000), {})
    found = similarity(paths.random_control()).per_site
    assert found["similarity"] == pytest.approx(found["expected_by_chance"], abs=0.01)
    assert similarity(paths).per_site["similarity"][0] > found["similarity"][0] + 0.1


def test_many_channels_are_counted_exactly():
    mask = torch.ones(2, 100_001, dtype=torch.bool)
    mask[1, 0] = False
    assert jaccard(mask)[0, 1] == pytest.approx(100_000 / 100_001, abs=1e-7)


def test_most_similar_rows_come_first_without_the_row_itself():
    found = similarity(_paths([[1, 1, 0, 0], [0, 1, 1, 1], [1, 1, 1, 0]], names=["cat", "cow", "dog"]))
    assert found.most_similar("cat") == [("dog", pytest.approx(2 / 3)), ("cow", pytest.approx(1 / 4))]
    assert found.most_similar("cat", 1) == [("dog", pytest.approx(2 / 3))]
    with pytest.raises(PathsError, match="no row 'ox'"):
        found.most_similar("ox")


def test_frame_is_the_named_matrix():
    frame = similarity(animals()).to_frame()
    assert list(frame.index) == list(frame.columns) == ["cat", "dog", "cow"]
    assert (np.diag(frame) == 1).all()
    assert (frame.to_numpy() == frame.to_numpy().T).all()


def test_similarity_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError, match="matrix"):
        similarity(animals()).matrix = None


def test_similarity_takes_rows_of_inputs_too():
    assert similarity(make(Rows.of_inputs(4), sites_of(6))).names == ("0", "1", "2", "3")


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_rows_are_refused(count):
    with pytest.raises(PathsError, match=f"similarity compares rows, there is {count}"):
        similarity(animals()[:count])
