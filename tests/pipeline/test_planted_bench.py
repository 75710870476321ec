"""The bench runs methods on planted networks and says what they found."""

import json

import numpy as np
import pytest

from unweave.errors import PlantedError, RunError, SettingError
from unweave.pipeline import planted_bench as module
from unweave.pipeline.planted_bench import planted_bench
from unweave.pipeline.planted_methods import METHODS
from unweave.planted import plant
from unweave.search.settings import DEFAULT_OBJECTIVE
from unweave.views.planted_plots import plot_planted

CHOSEN = ("attribute, logit, unsigned, all images", "mean activation")
REFUSED = 1


@pytest.fixture(scope="module")
def made():
    return {}


@pytest.fixture
def planting(made, monkeypatch):
    """Small networks, of which that of seed 1 is refused; the seeds that were asked for."""
    asked = []

    def cached(kind, classes, seed=0):
        asked.append(seed)
        if seed == REFUSED:
            raise PlantedError("not fair")
        if (kind, seed) not in made:
            made[kind, seed] = plant(kind, classes, seed=seed, images_per_class=40)
        return made[kind, seed]

    monkeypatch.setattr(module, "plant", cached)
    return asked


def test_every_network_and_method_has_a_row_and_means_are_over_networks(planting):
    found = planted_bench(["plain"], 4, 2, CHOSEN)
    assert list(zip(found.runs["seed"], found.runs["method"], strict=True)) == [(s, m) for s in (0, 2) for m in CHOSEN]
    for row, method in enumerate(CHOSEN):
        mine = [a for a, m in zip(found.runs["auroc"], found.runs["method"], strict=True) if m == method]
        assert found.table["auroc"][row] == pytest.approx(np.mean(mine))
        assert found.table["lowest_auroc"][row] == min(mine)
        f1 = [one for one, m in zip(found.runs["f1"], found.runs["method"], strict=True) if m == method]
        assert found.table["lowest_f1"][row] == min(f1)
    assert [network["seed"] for network in found.networks] == [0, 2]
    text = plot_planted(found.runs).get_supxlabel()
    assert "How to read:" in text


def test_seeds_are_tried_until_enough_networks_are_accepted_and_refused_ones_are_named(planting):
    lines = []
    found = planted_bench(["plain"], 4, 2, CHOSEN[1:], say=lines.append)
    assert planting == [0, 1, 2]
    assert list(found.refused.to_frame().itertuples(index=False, name=None)) == [("plain", 1, "not fair")]
    assert lines[1] == "plain, seed 1, is left out: not fair"
    assert [line.split()[:3] for line in (lines[0], lines[2])] == [["plain", "seed", "0"], ["plain", "seed", "2"]]
    assert f"auroc {found.runs['auroc'][1]:.3f}" in lines[2]


def test_attribution_to_the_logit_finds_planted_channels_and_activity_does_not(planting):
    found = planted_bench(["plain"], 4, 1, CHOSEN)
    by_method = dict(zip(found.runs["method"], found.runs["auroc"], strict=True))
    assert by_method[CHOSEN[0]] > 0.99
    assert by_method[CHOSEN[1]] <= 0.8


def test_what_is_kept_is_neither_planted_nor_searched_again(planting, tmp_path):
    first = planted_bench(["plain"], 4, 2, CHOSEN, work=tmp_path)
    planting.clear()
    again = planted_bench(["plain"], 4, 2, CHOSEN, work=tmp_path)
    assert planting == []
    assert again.runs.as_dict() == first.runs.as_dict()
    assert again.refused.as_dict() == first.refused.as_dict()
    assert again.networks == first.networks


def test_an_interrupted_bench_goes_on_with_what_is_missing(planting, tmp_path, monkeypatch):
    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        planted_bench(["plain"], 4, 1, CHOSEN, work=tmp_path, say=stop)
    ran = []
    for name in CHOSEN:
        method = METHODS[name]
        spied = type(method)(lambda *a, n=name, find=method.find: ran.append(n) or find(*a), method.asked)
        monkeypatch.setitem(METHODS, name, spied)
    found = planted_bench(["plain"], 4, 1, CHOSEN, work=tmp_path)
    assert ran == [CHOSEN[1]]
    assert found.runs["method"] == CHOSEN


def test_other_settings_are_measured_anew(planting, tmp_path, monkeypatch):
    planted_bench(["plain"], 4, 1, CHOSEN[1:], work=tmp_path)
    method, ran = METHODS[CHOSEN[1]], []
    other = type(method)(lambda *a: ran.append(a) or method.find(*a), {**method.asked, "upper": 0.4})
    monkeypatch.setitem(METHODS, CHOSEN[1], other)
    planted_bench(["plain"], 4, 1, CHOSEN[1:], work=tmp_path)
    assert len(ran) == 1


def test_results_of_another_network_are_not_gone_on_with(planting, tmp_path):
    planted_bench(["plain"], 4, 1, CHOSEN[1:], work=tmp_path)
    file = next(tmp_path.glob("*/network-*.json"))
    kept = json.loads(file.read_text())
    kept["result"]["network"] = "0" * 16
    file.write_text(json.dumps(kept))
    with pytest.raises(RunError, match=r"was begun with another plain network of seed 0.*give another work folder"):
        planted_bench(["plain"], 4, 1, CHOSEN, work=tmp_path)


def test_a_kind_of_which_nothing_is_fair_ends_with_the_reason(monkeypatch):
    def unfair(kind, classes, seed=0):
        raise PlantedError("not fair")

    monkeypatch.setattr(module, "plant", unfair)
    with pytest.raises(PlantedError, match=r"20 plain networks of 4 classes were refused and 0 accepted.*not fair"):
        planted_bench(["plain"], 4, 1, CHOSEN)


def test_networks_can_be_others_than_the_first(planting):
    found = planted_bench(["plain"], 4, 1, CHOSEN[1:], first_seed=1)
    assert planting == [1, 2]
    assert found.runs["seed"] == (2,)
    with pytest.raises(SettingError, match="first_seed must be a whole number"):
        planted_bench(["plain"], 4, 1, CHOSEN, first_seed=-1)


def test_unknown_methods_are_refused():
    with pytest.raises(SettingError, match="no method 'guess'; there are default, released"):
        planted_bench(methods=["guess"])


def test_every_objective_is_among_the_methods():
    from unweave.search.objectives import OBJECTIVES

    assert set(OBJECTIVES) - {DEFAULT_OBJECTIVE} <= METHODS.keys()
    assert "default" in METHODS
