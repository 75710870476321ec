"""Run folders behind URLs: gone on with, locked, read by the commands that read run folders."""

import json
import os
import socket
import time
import uuid

import cloudpickle
import pytest

from tests.search.interrupted import SETTINGS, Countdown, SmallSearches, Stopped
from unweave.decoupling.training.folder import TrainingFolder
from unweave.engine.base import not_told
from unweave.engine.inline import Inline
from unweave.engine.sending import pickled
from unweave.errors import RunError
from unweave.paths import Paths
from unweave.places import names_in, place
from unweave.runs.folder import RunFolder
from unweave.search.disentangle import disentangle
from unweave.search.solver import Solver


@pytest.fixture(scope="module")
def small():
    return SmallSearches()


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path):
    return f"memory://{uuid.uuid4().hex}/run" if request.param == "memory" else f"file://{tmp_path}/run"


def events(folder):
    return [event["event"] for event in RunFolder(folder).journal.read()]


def test_a_search_behind_a_url_has_the_bytes_of_one_in_a_folder(small, url, tmp_path):
    seldom = {"seconds_between_saves": 1e9}
    assert small.run(url, **seldom) == small.run(tmp_path / "local", **seldom)
    assert events(url) == events(tmp_path / "local") == ["begun", "saved", "saved", "saved", "finished"]
    assert names_in(place(url)) == ["journal", "paths.safetensors", "run.json"]
    assert len(names_in(place(url) / "journal")) == 5


def test_a_search_that_was_stopped_goes_on_behind_its_url(small, url, tmp_path, monkeypatch):
    whole = small.run(tmp_path / "whole")
    steps = Countdown(stop_at=6)
    monkeypatch.setattr(Solver, "step", steps.wrapped(Solver.step))
    with pytest.raises(Stopped):
        small.run(url)
    assert names_in(place(url) / "shards") == ["search-0000.safetensors"]
    done = steps.restart()
    assert small.run(url) == whole
    assert steps.calls < done + 3  # what was saved is not done again
    steps.restart(stop_at=0)
    assert disentangle(small.network, small.images, run=url, **SETTINGS) == Paths.load(
        tmp_path / "whole/paths.safetensors"
    )


def test_another_setting_is_refused_behind_a_url(small, url):
    small.run(url)
    with pytest.raises(RunError, match=r"was begun with passes = 3, this call has 4"):
        small.run(url, passes=4)


def test_a_damaged_shard_behind_a_url_is_searched_again(small, url, tmp_path, monkeypatch):
    steps = Countdown(stop_at=6)
    with monkeypatch.context() as patch:
        patch.setattr(Solver, "step", steps.wrapped(Solver.step))
        with pytest.raises(Stopped):
            small.run(url)
    (RunFolder(url).shards / "search-0000.safetensors").write_bytes(b"half")
    with pytest.warns(UserWarning, match=r"search-0000.safetensors is damaged"):
        found = small.run(url)
    assert found == small.run(tmp_path / "whole")


def test_one_process_at_a_time_works_behind_a_url(url):
    with RunFolder(url).opened():
        with (
            pytest.raises(RunError, match=r"another process is working in .* 0 s ago\); wait for it"),
            RunFolder(url).opened(),
        ):
            pass
        with pytest.raises(RunError, match="another process"), RunFolder(url).opened():
            pass  # the refused one did not take the lock away
    with RunFolder(url).opened():
        pass


@pytest.mark.parametrize(
    ("owner", "free"),
    [
        ({"host": "elsewhere", "process": 1, "age": 1000.0}, True),
        ({"host": "elsewhere", "process": 1, "age": 10.0}, False),
        ({"host": socket.gethostname(), "process": 2**22 + 1, "age": 10.0}, True),
        ({"host": socket.gethostname(), "process": os.getpid(), "age": 10.0}, False),
    ],
    ids=["not renewed", "renewed", "process of this machine is gone", "process of this machine runs"],
)
def test_a_lock_whose_process_is_gone_is_taken_over(url, owner, free):
    folder = RunFolder(url)
    folder.check_writable()
    left = {"host": owner["host"], "process": owner["process"], "token": "x", "time": time.time() - owner["age"]}
    (place(url).parent).mkdir(parents=True, exist_ok=True)
    place(url).mkdir(parents=True, exist_ok=True)
    (place(url) / ".lock").write_bytes(json.dumps(left).encode())
    if free:
        with folder.opened():
            assert json.loads((place(url) / ".lock").read_bytes())["process"] == os.getpid()
        assert names_in(place(url)) == []
    else:
        with pytest.raises(RunError, match="another process is working in"), folder.opened():
            pass


class Elsewhere(Inline):
    """An engine whose one worker is a copy of the work in this process."""

    remote = True

    def run(self, work, tasks, arrived=not_told):
        return super().run(cloudpickle.loads(pickled(work)), tasks, arrived)


@pytest.mark.parametrize("seen", [True, False])
def test_workers_that_do_not_see_the_folder_leave_saving_to_this_process(small, tmp_path, monkeypatch, seen):
    settings = {"classes_per_shard": 2, "passes": 2, "seconds_between_saves": 1e9}
    whole = small.run(tmp_path / "inline", **settings)
    sides = iter(["here", "here" if seen else "there"] * 2)
    monkeypatch.setattr("unweave.runs.checkpoints._seal", lambda folder: next(sides))
    with monkeypatch.context() as patch:
        patch.setattr(Paths, "save", Countdown(stop_at=0).wrapped(Paths.save))
        with pytest.raises(Stopped):
            small.run(tmp_path / "run", engine=Elsewhere(), **settings)
    saved = [(e["task"], e["passes"]) for e in RunFolder(tmp_path / "run").journal.read() if e["event"] == "saved"]
    passes = [1, 2] if seen else [2]
    assert saved == [(task, number) for task in ("search-0000", "search-0001") for number in passes]
    monkeypatch.setattr(Solver, "step", Countdown(stop_at=0).wrapped(Solver.step))  # everything is there
    assert small.run(tmp_path / "run", engine=Elsewhere(), **settings) == whole


def test_training_is_not_kept_behind_a_url():
    with pytest.raises(RunError, match=r"memory://a/b: training is kept on this machine; give a path"):
        TrainingFolder("memory://a/b")
