"""Choosing beta at the elbow."""

import math

import pytest
import torch

from tests.search.problems import prepared_small, small_problem
from unweave.errors import DataError, SettingError
from unweave.search.disentangle import disentangle
from unweave.search.elbow import BETAS, Sweep, between, elbow, sweep_classes


@pytest.fixture(scope="module")
def swept():
    network, data = small_problem(torch.float32)
    betas = (0.01, 0.1, 1.0, 10.0, 100.0)
    paths = disentangle(
        network, data, "block", "released", classes=[0, 1, 2], betas=betas, passes=15, batch=4, show_progress=False
    )
    return network, data, betas, paths


@pytest.mark.parametrize(
    ("errors", "sizes", "expected"),
    [
        # scaled: (1, 0), (0.5, 0.1), (0.1, 0.2), (0, 1): below the line by 0, 0.4, 0.7, 0
        ([0.0, 0.2, 1.0, 2.0], [10.0, 2.0, 1.0, 0.0], 1),
        # the same curve, the betas in another order
        ([2.0, 0.2, 0.0, 1.0], [0.0, 2.0, 10.0, 1.0], 1),
        # a curve that bends late
        ([0.0, 0.1, 0.2, 0.3, 4.0], [1.0, 0.8, 0.5, 0.1, 0.0], 3),
        # a right angle
        ([0.0, 0.0, 5.0], [9.0, 1.0, 1.0], 1),
    ],
)
def test_elbow_is_farthest_below_the_line(errors, sizes, expected):
    assert elbow(errors, sizes) == expected


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_elbow_does_not_depend_on_units(scale):
    errors, sizes = [0.0, 0.2, 1.0, 2.0], [10.0, 2.0, 1.0, 0.0]
    assert elbow([scale * e + 3 for e in errors], sizes) == elbow(errors, [scale * s - 1 for s in sizes]) == 1


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_betas_are_refused(count):
    with pytest.raises(SettingError, match=f"at least three betas, found {count}"):
        elbow([1.0] * count, [1.0] * count)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_losses_that_are_not_finite_are_refused(bad):
    with pytest.raises(SettingError, match="not finite"):
        elbow([0.0, bad, 1.0], [1.0, 0.5, 0.0])
    with pytest.raises(SettingError, match="not finite"):
        elbow([0.0, 0.5, 1.0], [1.0, bad, 0.0])


@pytest.mark.parametrize(
    ("errors", "sizes"),
    [
        ([0.0, 1.0, 2.0], [2.0, 1.0, 0.0]),  # straight
        ([0.0, 1.9, 2.0], [2.0, 1.9, 0.0]),  # bent the wrong way
    ],
)
def test_curve_without_elbow_is_refused(errors, sizes):
    with pytest.raises(SettingError, match="has no elbow over these betas"):
        elbow(errors, sizes)


@pytest.mark.parametrize(
    ("classes", "expected"), [(2, 2), (3, 3), (10, 3), (60, 3), (61, 4), (100, 5), (101, 6), (1000, 50)]
)
def test_sweep_takes_first_five_percent_but_at_least_three(classes, expected):
    names = list(range(100, 100 + classes))
    assert sweep_classes(names) == names[:expected]


def test_default_betas_span_the_published_ones():
    assert min(BETAS) < 0.02
    assert max(BETAS) > 5.0
    assert list(BETAS) == sorted(BETAS)


def test_sweep_reads_its_elbow():
    sweep = Sweep.read({10.0: (1.0, 0.0), 0.1: (0.0, 1.0), 1.0: (0.1, 0.1)}, (0, 1, 2))
    assert sweep.betas == (0.1, 1.0, 10.0)
    assert sweep.reconstruction == (0.0, 0.1, 1.0)
    assert sweep.size == (1.0, 0.1, 0.0)
    assert sweep.chosen == 1.0


def test_betas_between_are_geometric_means_with_the_neighbours():
    assert between((0.1, 1.0, 4.0), 1) == [0.316, 2.0]
    assert between((0.1, 1.0, 4.0), 0) == [0.316]
    assert between((0.0, 1.0, 4.0), 1) == [2.0]  # 0 has no ratio to anything, and is there already


def test_search_by_elbow_keeps_its_sweep(swept):
    _, _, betas, paths = swept
    found = paths.manifest["elbow"]
    assert list(found["betas"]) == sorted(found["betas"])
    assert set(betas) < set(found["betas"])
    assert found["classes"] == (0, 1, 2)
    assert len(found["reconstruction"]) == len(found["size"]) == len(found["betas"])
    assert found["chosen"] == found["betas"][elbow(found["reconstruction"], found["size"])]
    assert paths.manifest["objective"]["beta"] == found["chosen"]
    # a heavier penalty makes gates smaller, and activations less alike
    assert list(found["size"]) == sorted(found["size"], reverse=True)
    assert found["reconstruction"][0] < found["reconstruction"][-1]


def test_search_by_elbow_equals_search_with_chosen_beta(swept):
    network, data, _, paths = swept
    settings = {"objective": "released", "classes": [0, 1, 2], "passes": 15, "batch": 4}
    again = disentangle(network, data, beta=paths.manifest["elbow"]["chosen"], **settings)
    assert "elbow" not in again.manifest
    assert all(torch.equal(paths.scores[name], again.scores[name]) for name in paths.sites.names)


def test_sweep_in_shards_reads_the_same_curve(swept, monkeypatch):
    network, data, betas, paths = swept
    monkeypatch.setattr("unweave.search.plan._rows_that_fit", lambda prepared, data, plan, workers: 1)
    settings = {"objective": "released", "classes": [0, 1, 2], "betas": betas, "passes": 15, "batch": 4}
    sharded = disentangle(network, data, **settings)
    assert sharded.manifest["settings"]["classes_per_shard"] == 1
    for name in ("reconstruction", "size"):
        assert sharded.manifest["elbow"][name] == pytest.approx(paths.manifest["elbow"][name], rel=1e-3)


def test_too_few_classes_are_refused():
    network, data = small_problem(torch.float32)
    with pytest.raises(SettingError, match="needs at least three classes, found 2; give beta a number"):
        disentangle(network, data, objective="released", classes=[0, 1])


def test_reconstruction_off_is_refused():
    network, data = small_problem(torch.float32)
    with pytest.raises(SettingError, match="reconstruction=False"):
        disentangle(network, data, objective="released", reconstruction=False)


def test_too_few_betas_are_refused():
    network, data = small_problem(torch.float32)
    with pytest.raises(SettingError, match="at least three betas, found 2"):
        disentangle(network, data, objective="released", classes=[0, 1, 2], betas=(0.1, 1.0), passes=1)


def test_classes_never_right_cannot_be_swept():
    network, data = small_problem(torch.float32)
    labels = (data.tensors[1] + 1) % 4
    with torch.no_grad():
        wrong = network(data.tensors[0]).argmax(1)
    labels = torch.where(wrong == labels, (labels + 1) % 4, labels)
    with pytest.raises(DataError, match="classifies no image of the elbow's classes correctly"):
        disentangle(network, data, objective="released", labels=labels, betas=(0.1, 1.0, 3.0), passes=1)


def test_prepared_network_serves_many_searches():
    prepared, images, network = prepared_small(torch.float32)
    paths = disentangle(
        network, images, prepared.sites, "released", classes=[0, 1, 2], betas=(0.01, 1.0, 100.0), passes=10
    )
    assert paths.sites.names == prepared.sites.names
