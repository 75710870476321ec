"""Scores of found against planted channels, worked out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from unweave.errors import PathsError
from unweave.network.sites import find_sites
from unweave.paths import Paths, Rows
from unweave.planted.scoring import auroc, score_paths
from unweave.planted.truth import Truth


def paths_of(masks, classes=(0, 1), scores=None):
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    sites = find_sites(network, torch.zeros(2, 3), "filter")
    (name,) = sites.names
    tables = None if scores is None else {name: torch.tensor(scores)}
    return Paths({name: torch.tensor(masks)}, Rows.of_classes(classes), sites, {"method": "test"}, tables)


def truth_of(masks, judged):
    paths = paths_of(masks)
    (name,) = paths.sites.names
    return Truth(paths, {name: torch.tensor(judged)}, {name: torch.zeros(2, 4)}, {}, {})


T, F = True, False


@pytest.mark.parametrize(
    ("scores", "positive", "expected"),
    [
        ([3, 2, 1, 0], [T, T, F, F], 1.0),
        ([0, 1, 2, 3], [T, T, F, F], 0.0),
        ([1, 1, 1, 1], [T, T, F, F], 0.5),
        ([3, 1, 2, 0], [T, T, F, F], 3 / 4),
    ],
)
def test_auroc_is_the_share_of_pairs_in_the_right_order(scores, positive, expected):
    assert auroc(np.array(scores), np.array(positive)) == expected


def test_auroc_without_a_pair_is_not_a_number():
    assert np.isnan(auroc(np.array([1.0, 2.0]), np.array([T, T])))


def test_judged_pairs_of_both_rows_are_pooled():
    truth = truth_of([[T, T, F, F], [F, T, F, F]], [[T, T, T, T], [T, T, T, F]])
    found = score_paths(
        paths_of([[T, F, T, F], [F, T, F, T]], scores=[[4.0, 1.0, 3.0, 0.0], [0.5, 2.0, 0.0, 9.0]]), truth
    )
    # found and judged: 3 (the last channel of class 1 is judged neither way), planted: 3, both: 2
    assert found["precision"] == found["recall"] == found["f1"] == pytest.approx((2 / 3,))
    # planted 4, 1, 2 against 3, 0, 0.5, 0: pairs in order 4 + 3 + 3 of 12
    assert found["auroc"] == pytest.approx((10 / 12,))
    assert found.summary["kept"] == 0.5


def test_paths_of_some_classes_are_judged_by_their_rows():
    truth = truth_of([[T, T, F, F], [F, T, F, F]], [[T] * 4] * 2)
    assert score_paths(paths_of([[F, T, F, F]], (1,)), truth)["f1"] == (1.0,)


def test_paths_without_scores_have_no_auroc_and_empty_ones_no_precision():
    found = score_paths(paths_of([[F] * 4] * 2), truth_of([[T, F, F, F]] * 2, [[T] * 4] * 2))
    assert np.isnan(found["auroc"][0])
    assert np.isnan(found["precision"][0])
    assert found["recall"] == (0.0,)


def test_unknown_classes_are_refused():
    with pytest.raises(PathsError, match="about classes 0 to 1"):
        score_paths(paths_of([[F] * 4] * 2, (0, 5)), truth_of([[T, F, F, F]] * 2, [[T] * 4] * 2))
