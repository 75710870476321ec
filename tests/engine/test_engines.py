"""Engines: results in order, and refusals in one line."""

import pytest

from unweave.engine import ENGINES, engine_named
from unweave.engine.inline import Inline
from unweave.errors import SettingError


def test_inline_gives_results_in_order_one_at_a_time():
    done = []
    results = Inline().run(lambda task: done.append(task) or 10 * task, [3, 1, 2])
    assert next(results) == 30
    assert done == [3]
    assert list(results) == [10, 20]


def test_inline_lets_what_work_raises_through():
    def fail(task):
        raise ValueError(f"task {task}")

    with pytest.raises(ValueError, match="task 1"):
        list(Inline().run(fail, [1]))


def test_every_engine_is_there_by_name():
    assert [type(engine_named(name)).__name__ for name in ENGINES] == ["Inline", "Processes", "RayCluster"]
    assert [engine_named(name).remote for name in ENGINES] == [False, True, True]
    assert (engine_named("inline", 1).workers, engine_named("processes", 3).workers) == (1, 3)


def test_processes_are_as_many_as_cores_but_at_most_four(monkeypatch):
    found = []
    for cores in (None, 2, 64):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        found.append(engine_named("processes").workers)
    assert found == [1, 2, 4]


@pytest.mark.parametrize(
    ("name", "workers", "message"),
    [
        ("dask", None, "no engine 'dask'; there are inline, processes, ray"),
        ("inline", 2, "engine inline has one worker.* for 2 use engine processes"),
        ("processes", 0, "whole number from 1, found 0"),
        ("processes", 1.5, r"found 1\.5"),
        ("processes", True, "found True"),
    ],
)
def test_an_engine_that_cannot_be_had_is_refused(name, workers, message):
    with pytest.raises(SettingError, match=message):
        engine_named(name, workers)
