"""Tasks: stopped anywhere, they go on to the same bytes."""

import pickle

import numpy as np
import pytest
import torch

from tests.search.interrupted import ELBOW, Countdown, SmallSearches, Stopped
from unweave.errors import RunError
from unweave.runs.checkpoints import FolderCheckpoints
from unweave.runs.folder import RunFolder
from unweave.search import elimination
from unweave.search.elimination import Elimination
from unweave.search.objectives import objective_named
from unweave.search.plan import Plan
from unweave.search.solver import Solver
from unweave.search.tasks import Task, Worker
from unweave.search.threads import torch_threads

VARIANTS = {
    "kept": {"keep_activations": True},
    "not kept": {"keep_activations": False},
    "shards": {"classes_per_shard": 1, "keep_activations": True, "batch": 8, "passes": 2},
    "batches of fewer rows": {"rows_per_batch": 2, "keep_activations": True},
    "noise": {"objective": "variational-noise", "keep_activations": True},
    "augmented": {"augment": "published"},
    "told size": {"objective": "selective", "beta": None, "keep": 0.5, "keep_activations": True},
    "told size, not kept": {"objective": "selective", "beta": None, "keep": 0.5, "augment": "mild"},
    "groups": {"groups": {"low": [0, 1]}, "classes": [2], "against": [2, 0, 3], "keep_activations": True},
    "elbow": {**ELBOW, "keep_activations": True},
    "elbow in shards, not kept": {**ELBOW, "classes_per_shard": 2, "keep_activations": False, "batch": 16},
}
EVERY = {"kept": 1, "not kept": 1, "elbow": 7, "elbow in shards, not kept": 7}
"""Where a search is stopped before every so many of its steps, and the last: the others differ in what a step is."""
DAMAGED = {
    "damaged, kept": {"keep_activations": True},
    "damaged, not kept": {"keep_activations": False},
    "damaged, told size": {"objective": "selective", "beta": None, "keep": 0.5, "augment": "mild"},
}


@pytest.fixture(autouse=True)
def several_choices_a_pass(monkeypatch):
    """Of searches at a told size, so that some stops fall between two choices of a pass."""
    monkeypatch.setattr(elimination, "CHOICE_IMAGES", 4)


@pytest.fixture(scope="module")
def small():
    return SmallSearches()


@pytest.fixture(scope="module")
def scratched():
    return SmallSearches(scratched=True)


@pytest.fixture
def steps(monkeypatch):
    """Counts steps of the search, and stops it before one."""
    countdown = Countdown()
    for kind in (Solver, Elimination):
        monkeypatch.setattr(kind, "step", countdown.wrapped(kind.step))
    return countdown


@pytest.fixture
def saves(monkeypatch):
    """Counts what is saved, and fails before one is."""
    countdown = Countdown(error=RuntimeError)
    monkeypatch.setattr(FolderCheckpoints, "save", countdown.wrapped(FolderCheckpoints.save))
    return countdown


def stop(searches, folder, error, **settings):
    with pytest.raises(error, match="stopped by the test"):
        searches.run(folder, **settings)


def check_every_stop(searches, countdown, folder, settings, repeated, step=1):
    """Stop before each call that `countdown` counts (or each `step`-th and the last), go on, and compare; at most
    `repeated` calls are made twice."""
    whole = searches.run(folder / "whole", **settings)
    total = countdown.restart()
    assert total >= 6
    for done in sorted({*range(0, total, step), total - 1}):
        run = folder / str(done)
        countdown.restart(stop_at=done)
        stop(searches, run, countdown.error, **settings)
        countdown.restart()
        assert searches.run(run, **settings) == whole, f"stopped after {done} of {total}"
        assert total - done <= countdown.restart() <= total - done + repeated


@pytest.mark.parametrize("name", VARIANTS)
def test_a_search_stopped_before_any_batch_goes_on_to_the_same_bytes(small, steps, tmp_path, name):
    # The elbow's sweep is many short searches: a prime step meets every place of a pass in some of them.
    check_every_stop(small, steps, tmp_path, VARIANTS[name], repeated=0, step=EVERY.get(name, 3))


@pytest.mark.parametrize("name", DAMAGED)
def test_with_damaged_images_too(scratched, steps, tmp_path, name):
    check_every_stop(scratched, steps, tmp_path, DAMAGED[name], repeated=0)


@pytest.mark.parametrize("name", ["kept", "not kept"])
def test_without_saves_within_passes_at_most_one_pass_is_repeated(small, steps, tmp_path, name):
    settings = VARIANTS[name]
    per_pass = max(s.batches_per_pass(small.images) for s in small.search(**settings).plan.shards())
    check_every_stop(small, steps, tmp_path, {**settings, "seconds_between_saves": 1e9}, repeated=per_pass - 1)


@pytest.mark.parametrize("name", ["shards", "elbow"])
def test_a_search_that_fails_before_any_save_goes_on_to_the_same_bytes(small, saves, tmp_path, name):
    check_every_stop(small, saves, tmp_path, {**VARIANTS[name], "seconds_between_saves": 1e9}, repeated=0)


def test_a_search_stopped_again_and_again_ends_with_the_same_bytes(small, steps, tmp_path):
    whole = small.run(tmp_path / "whole", **VARIANTS["kept"])
    for _ in range(steps.restart() - 1):
        steps.restart(stop_at=1)
        stop(small, tmp_path / "run", Stopped, **VARIANTS["kept"])
    steps.restart()
    assert small.run(tmp_path / "run", **VARIANTS["kept"]) == whole
    assert steps.calls == 1


def test_damaged_images_found_before_a_stop_are_counted_once(scratched, steps, tmp_path):
    steps.restart(stop_at=8)
    stop(scratched, tmp_path, Stopped)
    steps.restart()
    with pytest.warns(UserWarning, match=r"2 of \d+ images cannot be read and were left out; the first: .*scratched"):
        paths = scratched.search(tmp_path).run()
    assert paths.manifest["damaged_images"] == 2


@pytest.mark.parametrize("harm", [lambda whole: whole[:40], lambda whole: whole[:-1] + b"x", lambda whole: b""])
def test_a_damaged_checkpoint_is_said_and_its_part_done_again(small, steps, tmp_path, harm):
    settings = VARIANTS["shards"]
    whole = small.run(tmp_path / "whole", **settings)
    per_shard = steps.restart() // 3
    steps.restart(stop_at=per_shard + 2)
    stop(small, tmp_path / "run", Stopped, **settings)
    first = RunFolder(tmp_path / "run").shards / "search-0000.safetensors"
    first.write_bytes(harm(first.read_bytes()))
    steps.restart()
    with pytest.warns(UserWarning, match=r"search-0000\.safetensors is damaged .* done again"):
        found = small.run(tmp_path / "run", **settings)
    assert found == whole


STRANGE = [
    (lambda notes, arrays: (notes, {**arrays, "score.0000": np.zeros((3, 9), np.float32)}), "site 0 has shape"),
    (lambda notes, arrays: (notes, {name: arrays[name] for name in arrays if name != "steps"}), "steps"),
    (lambda notes, arrays: ({"batches": 0}, arrays), "damaged"),
    (lambda notes, arrays: ({**notes, "passes": "many"}, arrays), "many"),
]


@pytest.mark.parametrize(("changed", "message"), STRANGE, ids=["shape", "no steps", "no notes", "no number"])
def test_a_checkpoint_of_another_search_is_refused(small, steps, tmp_path, changed, message):
    steps.restart(stop_at=8)
    stop(small, tmp_path, Stopped)
    checkpoints = RunFolder(tmp_path).checkpoints
    checkpoints.save("search-0000", *changed(*checkpoints.load("search-0000")))
    with pytest.raises(RunError, match=f"kept of search-0000 is not of this search .*{message}.*; give another folder"):
        small.run(tmp_path)


def test_a_finished_task_is_read_not_run(small, steps, tmp_path):
    worker = Worker(
        small.network, small.images, "block", None, None, RunFolder(tmp_path).checkpoints, prepared=small.prepared
    )
    RunFolder(tmp_path).shards.mkdir()
    plan = Plan.of_classes([0, 1, 2], passes=2, batch=4, rows_per_batch=3, kept=True)
    task = Task("one", objective_named("released", 0.3), plan, measured=True)
    first = worker(task)
    steps.restart(stop_at=0)
    again = worker(task)
    assert all(np.array_equal(a, b) for a, b in zip(first.scores, again.scores, strict=True))
    assert np.array_equal(first.measured, again.measured)
    assert np.array_equal(first.steps, again.steps)


def test_progress_counts_every_batch_once_whether_done_before_or_now(small, steps, tmp_path):
    plan = Plan.of_classes([0, 1, 2], passes=2, batch=4, rows_per_batch=3, kept=True)
    task, told = Task("one", objective_named("released", 0.3), plan), []
    RunFolder(tmp_path).shards.mkdir()

    def worker(report):
        checkpoints = RunFolder(tmp_path).checkpoints
        return Worker(
            small.network, small.images, "block", None, None, checkpoints, report, 0.0, prepared=small.prepared
        )

    steps.restart(stop_at=3)
    with pytest.raises(Stopped):
        worker(None)(task)
    steps.restart()
    worker(lambda batches, note: told.append((batches, note)))(task)
    assert told[0] == (3, "pass 1 of 2")
    assert sum(batches for batches, _ in told) == 2 * plan.batches_per_pass(small.images)
    assert told[-1] == (1, "pass 2 of 2")


def test_a_worker_sent_elsewhere_leaves_behind_what_is_made_there(small):
    worker = Worker(small.network, small.images, "block", None, None, report=print, prepared=small.prepared)
    sent = pickle.loads(pickle.dumps(worker))
    assert (sent.prepared, sent.report) == (None, None)
    assert worker.prepared is small.prepared


def test_threads_are_set_within_and_set_back_after():
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    with pytest.raises(ValueError, match="bad"), torch_threads(before + 2):
        raise ValueError("bad")
    assert torch.get_num_threads() == before
