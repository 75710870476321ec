"""Searches that begin with what another method found."""

import numpy as np
import pytest
import torch

import unweave as uw
from tests.search.interrupted import Countdown, SmallSearches, Stopped
from tests.search.problems import small_problem
from unweave.errors import PathsError, RunError, SettingError
from unweave.runs.folder import RunFolder
from unweave.search import attributor, plan
from unweave.search.attribute import attribute
from unweave.search.attributor import Attributed
from unweave.search.disentangle import disentangle
from unweave.search.settings import Settings
from unweave.search.start import Start
from unweave.search.targets import Target

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


def test_mixed_precision_is_that_of_the_attribution_too():
    network, data = small_problem(torch.float32)
    found = disentangle(network, data, objective="selective", passes=1, rate=1e-6, precision="bfloat16")
    start = attribute(network, data, of="logit", signed=False, precision="bfloat16")
    for name, table in start.scores.items():
        spread = table.std(1, keepdim=True, correction=0)
        assert torch.allclose(found.scores[name], table / spread, atol=1e-4)


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


def test_attribution_begins_above_zero_where_a_class_score_is_reached_and_further_up_the_more_it_is():
    network, data = small_problem()
    question = {"of": "logit", "signed": False, "threshold": 0.0}
    attributed = attribute(network, data, **question)
    found = disentangle(network, data, start="attribution", rate=1e-6, **QUICK)
    for name, table in attributed.scores.items():
        expected = torch.where(table > 0, table / table.std(1, keepdim=True, correction=0), -1.0)
        assert torch.allclose(found.scores[name], expected, atol=1e-4)
        assert torch.equal(found.masks[name], attributed.masks[name])
    assert found.manifest["start"]["method"] == "attribution"
    assert found.manifest["start"]["of"] == "logit"


def test_selective_begins_with_attribution_and_the_others_at_random():
    assert Settings("selective").start == "attribution"
    assert all(Settings(name).start == "random" for name in ("released", "variational", "concept-path"))
    network, data = small_problem()
    quick = {**QUICK, "objective": "selective", "beta": 1.0, "rate": 1e-6}
    assert disentangle(network, data, **quick).manifest["start"]["method"] == "attribution"
    random = disentangle(network, data, start="random", **quick)
    assert random.manifest["start"] == {"method": "random", "mean": 0.5, "deviation": 0.1}
    assert all(0.4 < float(table.mean()) < 0.6 for table in random.scores.values())


def test_a_row_without_readable_images_starts_whole():
    network, data = small_problem()
    sites = uw.find_sites(network, data[0][0][None])
    channels = sum(site.channels for site in sites)
    attributed = Attributed(torch.ones(2, channels, dtype=torch.float64), np.array([3, 0]), {})
    attributed.means[0] = torch.arange(channels)
    start = Start.of_attribution(attributed, (Target((0,)), Target((1,))), sites)
    assert all((table[1] == 1).all() for table in start.tables.values())
    assert not (next(iter(start.tables.values()))[0] == 1).all()


@pytest.fixture(scope="module")
def small():
    return SmallSearches()


@pytest.fixture
def attributions(monkeypatch):
    """Counts batches of four images that are attributed, and stops before one."""
    countdown = Countdown()
    monkeypatch.setattr(plan, "fastest_rows_per_batch", lambda prepared, batch: 4)
    monkeypatch.setattr(attributor, "attribution_scores", countdown.wrapped(attributor.attribution_scores))
    return countdown


STARTED = {**QUICK, "start": "attribution"}


def saved_in(folder):
    return [event["task"] for event in RunFolder(folder).journal.read() if event["event"] == "saved"]


def test_an_interrupted_start_goes_on_to_the_same_bytes(small, attributions, tmp_path):
    whole = small.run(tmp_path / "whole", **STARTED)
    total = attributions.restart(stop_at=2)
    with pytest.raises(Stopped):
        small.run(tmp_path / "run", **STARTED)
    attributions.restart()
    assert small.run(tmp_path / "run", **STARTED) == whole
    assert attributions.restart() == total - 2


def test_what_is_kept_of_a_start_is_one_file_however_many_batches_it_has(small, attributions, tmp_path):
    attributions.restart(stop_at=5)
    with pytest.raises(Stopped):
        small.run(tmp_path, **STARTED)
    assert saved_in(tmp_path) == ["search-0000-start"] * 5
    assert [file.name for file in RunFolder(tmp_path).shards.glob("*.safetensors")] == ["search-0000-start.safetensors"]


def test_every_shard_starts_from_its_own_rows_attribution(small, attributions, tmp_path):
    together = small.search(None, **STARTED).run()
    shards = small.search(tmp_path, **STARTED, classes_per_shard=2, seconds_between_saves=1e9).run()
    assert saved_in(tmp_path) == ["search-0000-start", "search-0000", "search-0001-start", "search-0001"]
    for name, scores in shards.scores.items():
        assert torch.allclose(scores, together.scores[name], atol=1e-5)


def test_a_shard_that_is_short_of_memory_starts_in_smaller_batches_too(small, attributions, monkeypatch, tmp_path):
    real = attributor.attribution_scores

    def limited(prepared, images, targets, *others):
        if len(images) > 2 and any(2 in target.members for target in targets):
            raise MemoryError("planted")
        return real(prepared, images, targets, *others)

    monkeypatch.setattr(attributor, "attribution_scores", limited)
    shards = {**STARTED, "classes_per_shard": 2, "rows_per_batch": 1}
    paths = small.search(tmp_path, **shards).run()
    assert paths.manifest["settings"]["smaller"] == {"search-0001": 1}
    whole = small.search(None, **STARTED).run()
    assert all(torch.allclose(scores, whole.scores[name], atol=1e-5) for name, scores in paths.scores.items())


def test_where_a_search_may_start_is_said():
    with pytest.raises(SettingError, match="starts from 'random', 'attribution' or Paths, found 'attributed'"):
        Settings(start="attributed")
