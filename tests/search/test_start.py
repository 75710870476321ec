"""Searches that begin with what another method found."""

import pytest
import torch

from tests.search.problems import small_problem
from unweave.errors import PathsError, RunError
from unweave.search.attribute import attribute
from unweave.search.disentangle import disentangle
from unweave.search.start import Start

QUICK = {"objective": "variational", "beta": 0.1, "passes": 1, "batch": 64}


def test_scores_are_cut_where_the_masks_are():
    network, data = small_problem()
    paths = attribute(network, data, keep=0.5)
    for name, table in Start.of(paths).tables.items():
        assert torch.equal(table > 0, paths.masks[name])
        scores = paths.scores[name]
        # the same order and distances, in units of the row's deviation
        expected = (scores - scores[:, :1]) / scores.std(1, keepdim=True, correction=0)
        assert torch.allclose(table - table[:, :1], expected.float(), atol=1e-5)


def test_paths_without_scores_start_at_one_and_minus_one():
    network, data = small_problem()
    paths = ~attribute(network, data)
    for name, table in Start.of(paths).tables.items():
        assert torch.equal(table, paths.masks[name].float() * 2 - 1)


def test_search_makes_its_first_step_from_there():
    network, data = small_problem()
    paths = attribute(network, data)
    found = disentangle(network, data, start=paths, rate=1e-6, **QUICK)
    start = Start.of(paths)
    for name, table in found.scores.items():
        assert torch.allclose(table.float(), start.tables[name], atol=1e-4)


def test_one_row_can_start_from_paths_of_all():
    network, data = small_problem()
    paths = attribute(network, data)
    alone = disentangle(network, data, start=paths, classes=[1], **QUICK)
    whole = disentangle(network, data, start=paths, **QUICK)
    assert all(torch.allclose(table[0], whole.scores[name][1]) for name, table in alone.scores.items())


def test_paths_that_do_not_fit_are_refused():
    network, data = small_problem()
    paths = attribute(network, data, classes=[0, 1])
    with pytest.raises(PathsError, match="have no row for class 2"):
        disentangle(network, data, start=paths, **QUICK)
    with pytest.raises(PathsError, match="lack site"):
        disentangle(network, data, "filter", classes=[0], start=paths, **QUICK)


def test_run_begun_from_other_paths_is_refused(tmp_path):
    network, data = small_problem()
    disentangle(network, data, start=attribute(network, data), run=tmp_path / "run", **QUICK)
    with pytest.raises(RunError, match="start"):
        disentangle(network, data, start=attribute(network, data, of="logit"), run=tmp_path / "run", **QUICK)
