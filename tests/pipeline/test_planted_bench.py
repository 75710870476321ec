"""The bench runs methods on planted networks and says what they found."""

import numpy as np
import pytest

from unweave.errors import PlantedError, SettingError
from unweave.pipeline import planted_bench as module
from unweave.pipeline.planted_bench import METHODS, planted_bench
from unweave.planted import plant
from unweave.search.settings import DEFAULT_OBJECTIVE
from unweave.views.planted_plots import plot_planted


@pytest.fixture(scope="module")
def small_plant():
    made = {}

    def cached(kind, classes, seed=0):
        return made.setdefault((kind, seed), plant(kind, classes, seed=seed, images_per_class=40))

    return cached


CHOSEN = ("attribute, logit, unsigned, all images", "mean activation")


def test_every_network_and_method_has_a_row_and_means_are_over_seeds(small_plant, monkeypatch):
    monkeypatch.setattr(module, "plant", small_plant)
    found = planted_bench(["plain"], 4, (0, 1), CHOSEN)
    assert list(zip(found.runs["seed"], found.runs["method"], strict=True)) == [(s, m) for s in (0, 1) for m in CHOSEN]
    for row, method in enumerate(CHOSEN):
        mine = [a for a, m in zip(found.runs["auroc"], found.runs["method"], strict=True) if m == method]
        assert found.table["auroc"][row] == pytest.approx(np.mean(mine))
        assert found.table["lowest_auroc"][row] == min(mine)
    assert [network["seed"] for network in found.networks] == [0, 1]
    text = plot_planted(found.runs).get_supxlabel()
    assert "How to read:" in text


def test_attribution_to_the_logit_finds_planted_channels_and_activity_does_not(small_plant, monkeypatch):
    monkeypatch.setattr(module, "plant", small_plant)
    found = planted_bench(["plain"], 4, (0,), CHOSEN)
    by_method = dict(zip(found.runs["method"], found.runs["auroc"], strict=True))
    assert by_method[CHOSEN[0]] > 0.99
    assert by_method[CHOSEN[1]] <= 0.8


def test_unfair_networks_are_left_out_and_said(monkeypatch):
    def unfair(kind, classes, seed=0):
        raise PlantedError("not fair")

    monkeypatch.setattr(module, "plant", unfair)
    with (
        pytest.warns(UserWarning, match="plain, seed 0, is left out: not fair"),
        pytest.raises(PlantedError, match="none of the plain networks was fair"),
    ):
        planted_bench(["plain"], 4, (0,), CHOSEN)


def test_unknown_methods_are_refused():
    with pytest.raises(SettingError, match="no method 'guess'; there are default, released"):
        planted_bench(methods=["guess"])


def test_every_objective_is_among_the_methods():
    from unweave.search.objectives import OBJECTIVES

    assert set(OBJECTIVES) - {DEFAULT_OBJECTIVE} <= METHODS.keys()
    assert "default" in METHODS
