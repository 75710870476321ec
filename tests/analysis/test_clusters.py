"""Trees of classes whose similarities are chosen by hand."""

import math
import re

import numpy as np
import pytest
import torch

from tests.paths.made import sites_of
from unweave.analysis.clusters import cluster
from unweave.analysis.similarity import similarity
from unweave.data.cifar import CIFAR10_GROUPS
from unweave.errors import PathsError, SettingError
from unweave.paths import Paths, Rows

NAMES = ("cat", "<b>ship</b>", "dog", "plane/jet")


def rows_of(*masks, names=NAMES):
    """Class rows of one site, a string of 0 and 1 a row."""
    table = torch.tensor([[c == "1" for c in mask] for mask in masks])
    return Paths({"a/relu:0": table}, Rows.of_classes(range(len(masks)), names), sites_of(table.shape[1]), {})


# Similarity of cat and dog 2/3, of ship and plane 1/2, of any other two 0.
PAIRS = rows_of("11100000", "00011110", "11000000", "00011000")
GROUPS = {"animals": [0, 2], "vehicles": ["<b>ship</b>", "plane/jet"]}


def test_the_most_similar_are_joined_first_and_at_their_distance():
    found = cluster(PAIRS)
    assert found.linkage[:, 2] == pytest.approx([1 - 2 / 3, 1 - 1 / 2, 1])
    assert {frozenset(found.linkage[i, :2].astype(int)) for i in (0, 1)} == {frozenset({0, 2}), frozenset({1, 3})}
    assert sorted(found.order.tolist()) == [0, 1, 2, 3]
    assert abs(found.order.tolist().index(0) - found.order.tolist().index(2)) == 1


def test_average_linkage_joins_at_the_mean_distance():
    # The distances are 1/2 between the first two, 2/3 and 3/4 from them to the third.
    paths = rows_of("1100", "1000", "1011", names=["a", "b", "c"])
    found = cluster(paths)
    assert found.linkage[:, 2] == pytest.approx([1 / 2, ((1 - 1 / 4) + (1 - 1 / 3)) / 2])


def test_groups_that_the_tree_finds_agree_with_it_wholly():
    found = cluster(PAIRS, groups=GROUPS)
    assert found.groups == ("animals", "vehicles")
    assert found.group_of.tolist() == [0, 1, 0, 1]
    agreement = dict(zip(found.agreement["measure"], found.agreement["value"], strict=True))
    assert agreement["groups and clusters, adjusted Rand index"] == 1
    heights = np.array([1, 1 / 3, 1, 1, 1 / 2, 1])  # pairs (0,1), (0,2), (0,3), (1,2), (1,3), (2,3)
    apart = np.array([1, 0, 1, 1, 0, 1])
    assert agreement["groups and tree, cophenetic correlation"] == pytest.approx(np.corrcoef(heights, apart)[0, 1])
    assert agreement["tree and its own distances, cophenetic correlation"] == pytest.approx(1)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_groups_are_compared_with_as_many_clusters_however_many_the_leaves_are_cut_into(count):
    agreement = cluster(PAIRS, groups=GROUPS, count=count).agreement
    assert dict(zip(*agreement.columns.values(), strict=True))["groups and clusters, adjusted Rand index"] == 1


def test_groups_across_the_tree_agree_less_than_by_chance():
    found = cluster(PAIRS, groups={"x": [0, 1], "y": [2, 3]})
    # Contingency table of ones: no pair agrees; (0 - 2 * 2 / 6) / (2 - 2 * 2 / 6)
    assert found.agreement["value"][1] == pytest.approx(-0.5)
    assert found.agreement["value"][2] < 0


def test_leaves_are_in_the_tree_s_order_with_group_and_cluster():
    found = cluster(PAIRS, groups=GROUPS)
    assert found.leaves["name"] == tuple(NAMES[row] for row in found.order)
    groups, clusters = found.leaves["group"], found.leaves["cluster"]
    assert len(set(zip(groups, clusters, strict=True))) == 2
    assert found.to_frame()["name"].tolist() == list(found.leaves["name"])
    assert len(set(cluster(PAIRS, count=4).leaves["cluster"])) == 4


def test_rows_without_group_take_no_part():
    found = cluster(PAIRS, groups={"animals": [0, 2], "vehicles": [1]})
    assert found.groups == ("animals", "vehicles")
    assert found.group_of.tolist() == [0, 1, 0, -1]
    assert found.agreement["value"][1] == 1


def test_a_row_without_group_takes_no_cluster_of_the_others():
    """Two pairs, 3/5 similar, and a row that shares nothing with them: the tree of all is cut into four and one."""
    pairs = ("1111000000", "1111000000", "0111100000", "0111100000")
    groups = {"first": [0, 1], "second": [2, 3]}
    alone = cluster(rows_of(*pairs), groups=groups)
    found = cluster(rows_of(*pairs, "0000000011", names=[*NAMES, "owl"]), groups=groups)
    assert sorted(found.leaves["cluster"].count(one) for one in (1, 2)) == [1, 4]
    assert alone.agreement["value"][1:] == found.agreement["value"][1:] == pytest.approx((1, 1))


def test_classes_without_a_row_are_passed_over_and_said_by_index_or_name():
    groups = {"animals": [0, 2, 77, "cow"], "vehicles": np.array([1]), "plants": [88, "oak", 77]}
    with pytest.warns(UserWarning, match=r"^groups: 4 classes have no row \(77, cow, 88, oak\)$"):
        found = cluster(PAIRS, groups=groups)
    assert found.groups == ("animals", "vehicles")
    assert found.group_of.tolist() == [0, 1, 0, -1]


def test_cifar_s_groups_serve_runs_of_fewer_classes():
    paths = rows_of("1100", "1000", "0011", names=["cat", "dog", "ship"])
    with pytest.warns(UserWarning, match="groups: 7 classes have no row"):
        found = cluster(paths, groups=CIFAR10_GROUPS)
    assert dict(zip(paths.rows.names, np.array(found.groups)[found.group_of], strict=True)) == {
        "cat": "animals",
        "dog": "animals",
        "ship": "vehicles",
    }


def test_distances_of_a_hierarchy_are_compared_with_the_tree():
    distances = np.array([[0, 6, 2, 6], [6, 0, 6, 2], [2, 6, 0, 6], [6, 2, 6, 0]])
    found = dict(zip(*cluster(PAIRS, distances=distances).agreement.columns.values(), strict=True))
    heights, apart = np.array([1, 1 / 3, 1, 1, 1 / 2, 1]), np.array([6, 2, 6, 6, 2, 6])
    expected = np.corrcoef(heights, apart)[0, 1]
    assert found["hierarchy and tree, cophenetic correlation"] == pytest.approx(expected)
    assert found["hierarchy and similarity, correlation"] == pytest.approx(expected)
    with pytest.raises(SettingError, match=r"distances must be symmetric and \[4, 4\], found \[2, 2\]"):
        cluster(PAIRS, distances=np.zeros((2, 2)))


def test_equal_rows_make_a_tree_of_height_zero_without_correlation():
    found = cluster(rows_of("11", "11", "11", names=["a", "b", "c"]))
    assert found.linkage[:, 2].tolist() == [0, 0]
    assert math.isnan(found.agreement["value"][0])


def test_similarities_can_be_given_in_place_of_paths():
    assert np.array_equal(cluster(similarity(PAIRS), groups=GROUPS).order, cluster(PAIRS, groups=GROUPS).order)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"x": [0, 1], "y": [1, 2]}, "class '<b>ship</b>' is in two groups, 'x' and 'y'"),
        ({"x": [0, 1, 2, 3], "y": [9]}, "at least two groups must have rows, found 1 of 2 (1 classes have no row: 9)"),
        ({"x": ["cow"], "y": ["oak"]}, "found 0 of 2 (2 classes have no row: cow, oak); the rows are cat, <b>ship</b>"),
        ({"x": [0], "y": []}, "at least two groups must have rows, found 1 of 2; the rows are cat"),
        ({"x": [-1], "y": [1]}, "group 'x' must list class indices, from 0, or names of rows, found -1"),
        ({"x": [0], "y": [1.5]}, "group 'y' must list class indices, from 0, or names of rows, found 1.5"),
        ({"x": [0], "y": [True]}, "group 'y' must list class indices, from 0, or names of rows, found True"),
        ({"x": [0], "y": [[1]]}, "group 'y' must list class indices, from 0, or names of rows, found [1]"),
    ],
)
def test_groups_that_do_not_fit_are_refused(groups, message):
    with pytest.raises(SettingError, match=re.escape(message)):
        cluster(PAIRS, groups=groups)


def test_a_name_that_several_rows_have_is_refused():
    paths = rows_of("1100", "1000", "0011", names=["crane", "crane", "ship"])
    with pytest.raises(SettingError, match="group 'x': 2 rows are named 'crane'; give the class's index"):
        cluster(paths, groups={"x": ["crane"], "y": ["ship"]})
    assert cluster(paths, groups={"x": [0, 1], "y": ["ship"]}).group_of.tolist() == [0, 0, 1]


def test_too_few_rows_are_refused():
    with pytest.raises(PathsError, match="clustering needs at least three rows, there are 2"):
        cluster(rows_of("10", "01", names=["a", "b"]))


@pytest.mark.parametrize("count", [0, 5, 2.5, True])
def test_a_number_of_clusters_that_cannot_be_is_refused(count):
    with pytest.raises(SettingError, match=f"count must be a whole number from 1 to 4, found {count}"):
        cluster(PAIRS, count=count)
