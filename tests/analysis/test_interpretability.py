"""The interpretability score, worked out by hand."""

import math

import pytest

from tests.analysis.test_clusters import rows_of
from unweave.analysis.interpretability import compare_interpretability, interpretability
from unweave.errors import DataError, PathsError
from unweave.tables import Table

# Similarities: 1/2 of the first two, 1/3 and 1/4 of these and the third.
PATHS = rows_of("1100", "1000", "1011", names=["a", "b", "c"])


def accuracies(*values, names=("a", "b", "c"), original=None, images=None):
    columns = {
        "name": names,
        "images": images or (10,) * len(values),
        "original": original or values,
        "sub_architecture": values,
    }
    return Table("accuracies", columns, {})


def test_the_score_is_the_variance_of_the_products_and_the_other_reading_takes_another_mean():
    table = interpretability(PATHS, accuracies(1.0, 0.5, 0.8))
    products = [1.0 * 0.5 / 2, 1.0 * 0.8 / 4, 0.5 * 0.8 / 3]
    similarities = [1 / 2, 1 / 4, 1 / 3]
    assert table["mu_of"] == ("products", "similarities")
    assert table["mu"] == pytest.approx((sum(products) / 3, sum(similarities) / 3))
    assert table["score"] == pytest.approx([sum((p - mu) ** 2 for p in products) / 3 for mu in table["mu"]])
    assert table.summary["interpretability"] == table["score"][0]
    assert table.summary["standard_deviation"] == pytest.approx(math.sqrt(table["score"][0]))
    assert table.summary["mean_similarity"] == pytest.approx(sum(similarities) / 3)


def test_both_readings_agree_where_all_accuracies_are_one():
    first, second = interpretability(PATHS, accuracies(1.0, 1.0, 1.0))["score"]
    assert first == pytest.approx(second)
    assert first > 0


def test_where_all_similarities_are_equal_the_score_still_varies_with_accuracies():
    """Every two of three rows share one of three channels."""
    table = interpretability(rows_of("1100", "0110", "1010", names=["a", "b", "c"]), accuracies(1.0, 1.0, 0.4))
    assert table.summary["variance_of_similarities"] == pytest.approx(0)
    weights = [1.0, 0.4, 0.4]
    expected = sum((w - 0.6) ** 2 for w in weights) / 3 / 9
    assert table.summary["interpretability"] == pytest.approx(expected)
    assert interpretability(PATHS, accuracies(1, 1, 1)).summary["variance_of_similarities"] > 0


def test_classes_without_images_are_named_and_left_out():
    paths = rows_of("1100", "1000", "1011", "1111", names=["a", "b", "c", "d"])
    table = interpretability(paths, accuracies(1.0, 0.5, 0.8, math.nan, names=("a", "b", "c", "d")))
    assert table["score"] == pytest.approx(interpretability(PATHS, accuracies(1.0, 0.5, 0.8))["score"])
    assert "3 sub-architectures; 1 without images left out (d)" in table.title


def test_fewer_than_three_classes_and_accuracies_of_others_are_refused():
    with pytest.raises(PathsError, match="at least three classes with accuracies, there are 2"):
        interpretability(PATHS, accuracies(1.0, 0.5, math.nan))
    with pytest.raises(DataError, match="the accuracies are not those of these paths' rows"):
        interpretability(PATHS, accuracies(1.0, 0.5, 0.8, names=("a", "b", "x")))


def test_networks_are_compared_by_score_and_top1():
    good = accuracies(1.0, 1.0, 1.0, original=(0.9, 0.6, 0.5), images=(10, 20, 10))
    poor = accuracies(0.1, 0.1, 0.1, original=(0.2, 0.2, 0.2))
    table = compare_interpretability({"good": (PATHS, good), "poor": (PATHS, poor)})
    assert table["network"] == ("good", "poor")
    assert table["top1"] == pytest.approx(((9 + 12 + 5) / 40, 0.2))
    assert table["score"] == (interpretability(PATHS, good)["score"][0], interpretability(PATHS, poor)["score"][0])
    assert table["usage"] == pytest.approx((6 / 12, 6 / 12))
    assert math.isnan(table.summary["rank_correlation"])


def test_three_networks_have_a_rank_correlation():
    top1 = {"x": 0.9, "y": 0.5, "z": 0.7}
    own = {"x": 1.0, "y": 0.2, "z": 0.6}
    networks = {n: (PATHS, accuracies(*[own[n]] * 3, original=(top1[n],) * 3)) for n in top1}
    assert compare_interpretability(networks).summary["rank_correlation"] == pytest.approx(1)


def test_what_cannot_be_compared_is_named():
    with pytest.raises(DataError, match="no networks to compare"):
        compare_interpretability({})
    with pytest.raises(PathsError, match="small: interpretability needs at least three"):
        compare_interpretability({"small": (PATHS, accuracies(1.0, math.nan, 1.0))})
