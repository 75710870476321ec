"""A search in a run folder: gone on with, read when finished, refused where it is another."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from tests.search.interrupted import ELBOW, SETTINGS, Countdown, SmallSearches, Stopped
from tests.search.problems import small_problem
from unweave.data.labelled import labelled
from unweave.engine.processes import Processes
from unweave.errors import MismatchError, RunError, SettingError, SiteError
from unweave.paths import Paths
from unweave.runs.folder import RunFolder
from unweave.search.disentangle import disentangle
from unweave.search.objectives.released import Released
from unweave.search.search import Search
from unweave.search.settings import Settings
from unweave.search.solver import Solver


@pytest.fixture(scope="module")
def small():
    return SmallSearches()


@pytest.fixture
def steps(monkeypatch):
    """Counts steps of the search, and stops it before one."""
    countdown = Countdown()
    monkeypatch.setattr(Solver, "step", countdown.wrapped(Solver.step))
    return countdown


@pytest.fixture
def begun(small, steps, tmp_path):
    """The folder of a search that was stopped in its second pass."""
    steps.restart(stop_at=6)
    with pytest.raises(Stopped):
        small.run(tmp_path / "run")
    steps.restart()
    return tmp_path / "run"


def test_a_run_folder_changes_no_byte_of_the_result(small, tmp_path):
    without = small.search().run()
    assert small.run(tmp_path / "run") == without.save(tmp_path / "alone.safetensors").read_bytes()


@pytest.mark.parametrize("kind", [str, Path])
def test_disentangle_keeps_its_run_where_it_is_told(small, tmp_path, kind):
    paths = disentangle(small.network, small.images, run=kind(tmp_path / "new" / "run"), **SETTINGS)
    assert Paths.load(tmp_path / "new" / "run" / "paths.safetensors") == paths
    assert [event["event"] for event in RunFolder(tmp_path / "new" / "run").journal.read()] == [
        "begun",
        *["saved"] * SETTINGS["passes"],
        "finished",
    ]


def test_a_search_by_an_objective_of_one_s_own_is_kept_and_gone_on_with(small, steps, tmp_path):
    settings = {**SETTINGS, "objective": Released(0.3)}
    del settings["beta"]
    steps.restart(stop_at=6)
    with pytest.raises(Stopped):
        disentangle(small.network, small.images, run=tmp_path, **settings)
    steps.restart()
    paths = disentangle(small.network, small.images, run=tmp_path, **settings)
    assert all(torch.equal(paths.scores[n], table) for n, table in small.search().run().scores.items())
    with pytest.raises(RunError, match=r"was begun with beta = 0\.3, this call has 0\.4"):
        disentangle(small.network, small.images, run=tmp_path, **{**settings, "objective": Released(0.4)})


def test_a_finished_run_is_read_without_looking_at_the_network(small, tmp_path, monkeypatch):
    whole = small.run(tmp_path)

    def fail(*_):
        raise AssertionError("the network was captured")

    monkeypatch.setattr("unweave.search.run.prepare", fail)
    read = disentangle(small.network, small.images, run=tmp_path, **SETTINGS)
    assert read.save(tmp_path / "again.safetensors").read_bytes() == whole


def test_a_run_says_whether_it_was_begun_and_has_finished(small, begun):
    assert (small.search(begun).begun, small.search(begun).finished) == (True, False)
    small.run(begun)
    assert small.search(begun).finished
    assert [e["event"] for e in RunFolder(begun).journal.read() if e["event"] != "saved"] == [
        "begun",
        "resumed",
        "finished",
    ]
    other = begun.with_name("other")
    assert (small.search(other).begun, small.search(other).finished) == (False, False)


def test_a_result_that_could_not_be_written_is_made_again_from_what_was_kept(small, steps, tmp_path, monkeypatch):
    whole = small.run(tmp_path / "whole")

    def full(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Paths, "save", full)
        with pytest.raises(OSError, match="no space left"):
            small.run(tmp_path / "run")
    steps.restart(stop_at=0)
    assert small.run(tmp_path / "run") == whole


CHANGED = [
    ({"passes": 4}, "passes = 3, this call has 4"),
    ({"beta": 0.5}, "beta = 0.3, this call has 0.5"),
    ({"beta": "elbow"}, "beta = 0.3, this call has 'elbow'"),
    ({"seed": 1}, "seed = 0, this call has 1"),
    ({"rate": 0.2}, "rate = 0.1, this call has 0.2"),
    ({"objective": "variational"}, "objective = 'released', this call has 'variational'"),
    ({"reconstruction": False}, "reconstruction = True, this call has False"),
    ({"classes": None}, r"classes = \[0, 1, 2\], this call has none"),
    ({"groups": {"low": [0, 1]}}, r"groups = none, this call has \{'low': \[0, 1\]\}"),
    ({"against": [0, 1, 2]}, r"against = none, this call has \[0, 1, 2\]"),
    ({"limit_per_class": 5}, "limit_per_class = none, this call has 5"),
    ({"augment": "published"}, "augment = 'none', this call has 'published'"),
    ({"precision": "bfloat16"}, "precision = 'float32', this call has 'bfloat16'"),
]


@pytest.mark.parametrize(("changed", "message"), CHANGED, ids=lambda value: str(value)[:30])
def test_a_changed_setting_is_refused_by_name_with_both_values(small, begun, changed, message):
    with pytest.raises(RunError, match=f"was begun with {message}; repeat the call that began it"):
        small.run(begun, **changed)


def test_settings_of_speed_alone_may_change(small, begun, tmp_path):
    whole = small.run(tmp_path / "whole")
    assert small.run(begun, rows_per_batch=1, classes_per_shard=1, threads=1, keep_activations=False) == whole


def changed_search(small, folder, network=None, images=None, **keywords):
    return Search(
        network or small.network,
        images or small.images,
        keywords.pop("sites", "block"),
        Settings(**SETTINGS),
        folder=RunFolder(folder),
        **keywords,
    )


@pytest.mark.parametrize("done", [False, True])
def test_another_network_is_refused_by_its_first_tensor(small, begun, done):
    if done:
        small.run(begun)
    network, _ = small_problem(torch.float32)
    with torch.no_grad():
        network.last.bias[0] += 1
    with pytest.raises(MismatchError, match=r"another network than the run in .* first difference at 'last\.bias'"):
        changed_search(small, begun, network=network).run()


@pytest.mark.parametrize("done", [False, True])
def test_other_images_are_refused(small, begun, done):
    if done:
        small.run(begun)
    _, data = small_problem(torch.float32)
    other = labelled(TensorDataset(data.tensors[0] + 1, data.tensors[1]))
    with pytest.raises(RunError, match=r"begun with other search images: \d+ of 3 classes .* there, \d+ of 3"):
        changed_search(small, begun, images=other).run()
    with pytest.raises(RunError, match="begun with other validation images: none there"):
        changed_search(small, begun, validation=other).run()


@pytest.mark.parametrize(
    ("changed", "name"),
    [({"sites": "filter"}, "sites"), ({"notes": {"a": 1}}, r"notes\.a")],
)
def test_other_sites_and_notes_are_refused(small, begun, changed, name):
    with pytest.raises(RunError, match=f"was begun with {name} = "):
        changed_search(small, begun, **changed).run()


def test_another_version_goes_not_on_but_reads_what_is_finished(small, begun, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("unweave.search.run.versions", lambda: {"unweave": "0.0", "torch": "1.0"})
        with pytest.raises(RunError, match=r"was begun with versions\.torch = .*, this call has '1\.0'"):
            small.run(begun)
    whole = small.run(begun)
    monkeypatch.setattr("unweave.search.run.versions", lambda: {"unweave": "0.0", "torch": "1.0"})
    assert small.run(begun) == whole


@pytest.mark.parametrize("part", ["asked", "network", "data", "plan"])
@pytest.mark.parametrize("instead", ["missing", [1], None])
def test_a_damaged_record_is_refused_by_name(small, begun, part, instead):
    file = RunFolder(begun).record_file
    record = json.loads(file.read_text())
    record[part] = instead
    if instead == "missing":
        del record[part]
    file.write_text(json.dumps(record))
    with pytest.raises(RunError, match=r"run\.json is damaged .*; give another folder"):
        small.run(begun)


def test_the_plan_s_threads_are_used_again_whatever_torch_has(small, tmp_path, monkeypatch):
    whole = small.run(tmp_path / "whole", threads=2)
    used, step, before = [], Solver.step, torch.get_num_threads()

    def noting(self, *arguments):
        used.append(torch.get_num_threads())
        if len(used) == 5:
            raise Stopped
        return step(self, *arguments)

    monkeypatch.setattr(Solver, "step", noting)
    with pytest.raises(Stopped):
        small.run(tmp_path / "run", threads=2)
    try:
        torch.set_num_threads(3)
        assert small.run(tmp_path / "run", threads=1) == whole
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(used) == {2}


def test_processes_find_the_same_bytes_and_save_where_they_are(small, tmp_path):
    # of the default objective, which begins with an attribution: workers make that of their shards
    settings = {"objective": "selective", "beta": None, "classes_per_shard": 2, "threads": 1, "passes": 2}
    inline = small.run(tmp_path / "inline", **settings)
    assert small.run(tmp_path / "processes", engine=Processes(2), **settings) == inline
    saved = {e["task"] for e in RunFolder(tmp_path / "processes").journal.read() if e["event"] == "saved"}
    assert saved == {"search-0000-start", "search-0000", "search-0001-start", "search-0001"}


def test_a_failure_before_anything_was_reached_leaves_no_folder(small, monkeypatch, tmp_path):
    failing = Countdown(stop_at=2, error=ValueError)
    monkeypatch.setattr(Solver, "step", failing.wrapped(Solver.step))
    with pytest.raises(ValueError, match="stopped"):
        small.run(tmp_path / "run", seconds_between_saves=1e9)
    assert list(tmp_path.iterdir()) == []
    failing.restart(stop_at=6)
    with pytest.raises(ValueError, match="stopped"):
        small.run(tmp_path / "run", seconds_between_saves=1e9)
    assert [file.name for file in (tmp_path / "run" / "shards").iterdir()] == ["search-0000.safetensors"]


def test_what_is_refused_beforehand_leaves_no_folder(small, tmp_path):
    with pytest.raises(SettingError, match="at least three classes, found 2"):
        small.run(tmp_path / "run", **{**ELBOW, "classes": [0, 1]})
    with pytest.raises(SiteError, match="nowhere"):
        changed_search(small, tmp_path / "run", sites=["nowhere/relu:0"]).run()
    assert list(tmp_path.iterdir()) == []


def test_the_elbow_s_sweep_is_in_the_manifest_of_a_run_that_was_stopped(small, steps, tmp_path):
    whole = small.search(tmp_path / "whole", **ELBOW).run()
    steps.restart(stop_at=steps.calls // 2)
    with pytest.raises(Stopped):
        small.run(tmp_path / "run", **ELBOW)
    steps.restart()
    paths = small.search(tmp_path / "run", **ELBOW).run()
    assert paths.manifest["elbow"] == whole.manifest["elbow"]
    assert paths.manifest["elbow"]["chosen"] == paths.manifest["objective"]["beta"]
    assert all(np.isfinite(paths.manifest["elbow"]["reconstruction"]))


def test_the_cost_is_that_of_the_recorded_plan(small, begun):
    again = small.search(begun, keep_activations=False, rows_per_batch=1)
    cost = again.cost()
    assert again.plan.rows_per_batch == 3
    assert (cost.rows, cost.passes) == (3, 3)


def test_shards_left_by_a_process_that_died_after_its_last_write_are_removed(small, tmp_path):
    small.run(tmp_path)
    shards = RunFolder(tmp_path).shards
    shards.mkdir()
    (shards / "search-0000.safetensors").write_bytes(b"left")
    small.search(tmp_path).run()
    assert not shards.exists()
