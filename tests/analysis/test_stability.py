"""The same classes with other seeds, worked out by hand."""

import math

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from tests.analysis.by_hand import CLASSES, ReadOut
from tests.paths.made import make, sites_of
from unweave.analysis.stability import stability
from unweave.errors import PathsError
from unweave.paths import Paths, Rows
from unweave.search.attribute import attribute


def run_of(*masks, names=None, network="this", **manifest):
    table = torch.tensor([[c == "1" for c in mask] for mask in masks])
    rows = Rows.of_classes(range(len(masks)), names)
    return Paths({"a/relu:0": table}, rows, sites_of(table.shape[1]), {"network": network, **manifest})


FIRST = run_of("1100", "0011", "1000")
SECOND = run_of("1110", "0011", "1001")


def test_similarities_across_runs_are_those_worked_out_by_hand():
    table = stability([FIRST, SECOND]).per_site
    own = np.array([2 / 3, 1, 1 / 2])
    across = np.array([[2 / 3, 0, 1 / 3], [1 / 4, 1, 1 / 3], [1 / 3, 0, 1 / 2]])
    across = (across + across.T) / 2
    other = (across.sum(1) - own) / 2
    assert table["self_similarity"] == pytest.approx((own.mean(),))
    assert (table["self_lowest"], table["self_highest"]) == ((0.5,), (1.0,))
    assert table["other_similarity"] == pytest.approx((other.mean(),))
    assert table["margin"] == pytest.approx(((own - other).mean(),))
    reach = 4.302653 * (own - other).std(ddof=1) / np.sqrt(3)  # Student's t, two degrees of freedom, 97.5 %
    interval = (table["margin_low"][0], table["margin_high"][0])
    assert interval == pytest.approx(((own - other).mean() - reach, (own - other).mean() + reach))
    assert table["told_apart"] == (False,)


def test_chance_is_what_random_masks_of_the_same_sizes_share():
    """Shares 1/2 and 3/4, 1/2 and 1/2, 1/4 and 1/2."""
    table = stability([FIRST, SECOND]).per_site
    expected = np.mean([(3 / 8) / (5 / 4 - 3 / 8), (1 / 4) / (3 / 4), (1 / 8) / (3 / 4 - 1 / 8)])
    assert table["expected_by_chance"] == pytest.approx((expected,))
    assert table.summary["expected_by_chance"] == pytest.approx(expected)
    empty = run_of("0000", "1111")
    assert stability([empty, empty]).per_site["expected_by_chance"] == (1.0,)


def test_classes_have_their_nearest_other():
    table = stability([FIRST, SECOND]).classes
    assert table["self_similarity"] == pytest.approx((2 / 3, 1, 1 / 2))
    assert table["nearest"] == ("2", "2", "0")
    assert table["nearest_similarity"] == pytest.approx((1 / 3, (1 / 3 + 0) / 2, 1 / 3))


def test_classes_that_change_as_much_as_they_differ_are_not_told_apart():
    rows, sites = Rows.of_classes(range(12)), sites_of(60, 40)
    table = stability([make(rows, sites, seed) for seed in range(3)]).per_site
    assert table["told_apart"] == (False, False)
    assert table.summary["sites_told_apart"] == 0
    assert table.summary["runs"] == 3


def test_equal_runs_have_similarity_one_to_themselves():
    rows, sites = Rows.of_classes(range(5)), sites_of(60)
    table = stability([make(rows, sites, scores=False), make(rows, sites, scores=False)]).per_site
    assert table["self_similarity"] == (1.0,)
    assert table["told_apart"] == (True,)


def test_two_empty_masks_are_the_same():
    empty = run_of("00", "00", "10")
    assert stability([empty, empty]).classes["self_similarity"] == (1, 1, 1)


def test_three_runs_are_compared_pair_by_pair():
    third = run_of("0100", "0011", "1000")
    pairs = [
        stability([a, b]).per_site["self_similarity"][0] for a, b in ((FIRST, SECOND), (FIRST, third), (SECOND, third))
    ]
    assert stability([FIRST, SECOND, third]).per_site["self_similarity"][0] == pytest.approx(np.mean(pairs))


def test_two_classes_have_no_interval_and_are_not_claimed():
    result = stability([run_of("10", "01"), run_of("10", "01")])
    assert math.isnan(result.per_site["margin_low"][0])
    assert result.per_site["told_apart"] == (False,)
    assert result.to_frame()["margin"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([FIRST], "there is 1; give the paths of at least two seeds"),
        ([FIRST, run_of("1100", "0011")], "run 1 is of other classes than run 0"),
        ([FIRST, run_of("110", "001", "100")], "run 1 has other sites than run 0"),
        ([FIRST, run_of("1100", "0011", "1000", network="that")], "run 1 is of another network than run 0"),
        ([run_of("11"), run_of("11")], "compares a class with others, there is 1"),
        ([make(Rows.of_inputs(2), sites_of(3))] * 2, "stability is about classes"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(runs, message):
    with pytest.raises(PathsError, match=message):
        stability(runs)


@pytest.mark.parametrize("classes", [3, 5, 10])
def test_random_masks_are_told_apart_no_oftener_than_their_interval_says(classes):
    """95 %, so 2.5 % above 0; 320 sites of independent masks allow 14."""
    sites = sites_of(*[64] * 320)
    generator = torch.Generator().manual_seed(0)
    runs = []
    for _ in range(3):
        masks = {name: torch.rand(classes, 64, generator=generator) < 0.5 for name in sites.names}
        runs.append(Paths(masks, Rows.of_classes(range(classes)), sites, {}))
    assert stability(runs).per_site.summary["sites_told_apart"] <= 14


SEARCH = {"method": "disentangle", "objective": {"name": "released", "beta": 0.1}, "data": {"digest": "d"}}


def test_a_search_is_not_compared_with_itself():
    runs = [run_of("1100", "0011", seed=seed, **SEARCH) for seed in (4, 5, 4)]
    assert stability(runs[:2]).per_site["self_similarity"] == (1.0,)
    with pytest.raises(PathsError, match="run 2 was searched with seed 4 on the same images, as run 0 was"):
        stability(runs)
    other_images = run_of("1100", "0011", seed=4, **{**SEARCH, "data": {"digest": "e"}})
    assert stability([runs[0], other_images]).per_site["self_similarity"] == (1.0,)


@pytest.mark.parametrize(("key", "other"), [("method", "attribute"), ("objective", {"name": "released", "beta": 1.0})])
def test_searches_that_differ_in_more_than_the_seed_are_refused(key, other):
    runs = [run_of("1100", "0011", seed=0, **SEARCH), run_of("1100", "0011", **{**SEARCH, "seed": 1, key: other})]
    with pytest.raises(PathsError, match=f"differs from run 0 in more than the seed: its {key} is"):
        stability(runs)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({"passes": 1}, {"passes": 20}, "its passes is 20, there it is 1"),
        ({"rate": 0.1}, {"rate": 2.0}, "its rate is 2.0"),
        ({}, {"precision": "bfloat16"}, "its precision is bfloat16"),
        ({"limit_per_class": None}, {"limit_per_class": 5}, "its limit_per_class is 5, there it is None"),
        ({"keep": 0.5}, {"keep": 0.9}, "its keep is 0.9"),
        ({"of": "logit"}, {"of": "class_probability"}, "its of is class_probability"),
    ],
)
def test_searches_with_other_settings_are_refused(first, second, told):
    runs = [run_of("1100", "0011", settings={**own, "seed": n}, seed=n) for n, own in enumerate((first, second))]
    with pytest.raises(PathsError, match=told):
        stability(runs)


def test_what_only_the_machine_or_the_seed_decides_may_differ():
    settings = [
        {"passes": 5, "device": "cpu", "batch": 16, "seed": 0, "keep": {"relu:0": [2]}},
        {"passes": 5, "device": "cuda", "batch": 8, "seed": 1, "keep": {"relu:0": [3]}},
    ]
    runs = [run_of("1100", "0011", settings=own, seed=n, steps=[n]) for n, own in enumerate(settings)]
    assert stability(runs).per_site["self_similarity"] == (1.0,)


def test_searches_that_began_elsewhere_are_refused():
    runs = [run_of("1100", "0011", start={"method": method}) for method in ("random", "attribution")]
    with pytest.raises(PathsError, match="its start is attribution, there it is random"):
        stability(runs)


def test_scores_that_no_seed_entered_are_refused():
    """As attribution on all images, whose seed only draws images."""
    shown = torch.rand(32, CLASSES, 2, 2, generator=torch.Generator().manual_seed(0))
    images, network = TensorDataset(shown, torch.arange(32) % CLASSES), ReadOut().eval()
    everything = [attribute(network, images, steps=2, keep=0.5, seed=seed) for seed in (0, 1)]
    with pytest.raises(PathsError, match="run 1 has the scores of run 0, channel by channel"):
        stability(everything)
    drawn = [attribute(network, images, steps=2, keep=0.5, seed=seed, limit_per_class=2) for seed in (0, 1)]
    first, second = (next(iter(run.masks.values())) for run in drawn)
    shared = ((first & second).sum(1) / (first | second).sum(1)).mean()
    assert stability(drawn).per_site["self_similarity"][0] == pytest.approx(float(shared))


def test_random_controls_of_other_seeds_are_compared():
    runs = [run_of("1100", "0110", method=f"random control (seed {seed})") for seed in (0, 1)]
    assert stability(runs).per_site["self_similarity"] == (1.0,)
