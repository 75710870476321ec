"""Routing in a run folder: stopped anywhere it goes on to the same bytes."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.search.interrupted import Countdown, Scratched, Stopped
from tests.search.problems import small_problem
from unweave.data.labelled import labelled
from unweave.errors import RunError, SettingError
from unweave.runs.folder import RunFolder
from unweave.search import routing
from unweave.search.disentangle import disentangle
from unweave.search.routing import Routing
from unweave.search.routing_gates import Descent


@pytest.fixture(scope="module")
def problem():
    """`(network, images)`, two of which cannot be read."""
    network, data = small_problem(torch.float32)
    return network, labelled(Scratched(data))


def run(problem, folder, *, batch=8, descent=None, sites="block", **settings):
    """Route to the end; the bytes of the result. In batches of 8 there are five."""
    made = Routing(*problem, sites, descent or Descent(steps=3), batch=batch, folder=RunFolder(folder), **settings)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*cannot be read and were left out.*")
        made.run()
    return RunFolder(folder).paths_file.read_bytes()


@pytest.fixture(scope="module")
def whole(problem, tmp_path_factory):
    """The bytes of a run that nothing stopped."""
    return run(problem, tmp_path_factory.mktemp("whole"))


@pytest.fixture
def steps(monkeypatch):
    """Counts batches that are routed, and stops before one of them."""
    counted = Countdown()
    monkeypatch.setattr(routing, "find_routes", counted.wrapped(routing.find_routes))
    return counted


@pytest.mark.parametrize("done", [0, 1, 4])
def test_a_stopped_run_goes_on_from_the_last_batch_to_the_same_bytes(problem, whole, steps, tmp_path, done):
    steps.restart(stop_at=done)
    with pytest.raises(Stopped):
        run(problem, tmp_path / "run")
    assert not (tmp_path / "run" / "paths.safetensors").exists()
    steps.restart()
    assert run(problem, tmp_path / "run") == whole
    assert steps.calls == 5 - done
    assert not (tmp_path / "run" / "shards").exists()


def test_the_manifest_has_the_names_of_the_classes_that_inputs_are_of_or_taken_for(problem, tmp_path):
    network, images = problem
    found = Routing(network, replace(images, class_names=("cat", "dog", "cow", "ape")), "block", Descent(1), limit=3)
    paths = found.run()
    classes = {*paths.rows.labels, *paths.rows.predictions}
    assert paths.manifest["class_names"] == {str(c): ("cat", "dog", "cow", "ape")[c] for c in sorted(classes)}


def test_a_damaged_checkpoint_is_done_again(problem, whole, steps, tmp_path):
    steps.restart(stop_at=3)
    with pytest.raises(Stopped):
        run(problem, tmp_path)
    file = tmp_path / "shards" / "route-000001.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    steps.restart()
    with pytest.warns(UserWarning, match="route-000001.safetensors is damaged"):
        assert run(problem, tmp_path) == whole
    assert steps.calls == 1 + 2


def test_a_checkpoint_of_another_search_is_refused(problem, steps, tmp_path):
    steps.restart(stop_at=1)
    with pytest.raises(Stopped):
        run(problem, tmp_path)
    RunFolder(tmp_path).checkpoints.save("route-000000", {}, {"scores": np.zeros(3)})
    with pytest.raises(RunError, match="what was kept of route-000000 is not of this run"):
        run(problem, tmp_path)


def test_a_finished_run_is_read(problem, whole, steps, tmp_path):
    run(problem, tmp_path)
    (tmp_path / "shards").mkdir()  # as a process leaves it that is killed after its last write
    steps.restart()
    assert run(problem, tmp_path) == whole
    assert steps.calls == 0
    assert not (tmp_path / "shards").exists()


def test_a_run_keeps_the_batches_that_it_began_with(problem, whole, steps, tmp_path):
    steps.restart(stop_at=2)
    with pytest.raises(Stopped):
        run(problem, tmp_path)
    steps.restart()
    assert run(problem, tmp_path, batch=None) == whole
    assert steps.calls == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"descent": Descent(steps=4)}, "was begun with steps = 3, this call has 4"),
        ({"sites": "filter"}, "was begun with sites = 'block', this call has 'filter'"),
        ({"limit": 20}, "was begun with other routed images: 40 of 4 classes .* 20 of 4 classes"),
        ({"batch": 4}, "was begun with batch = 8, this call has 4"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_run_with_other_settings_is_refused(problem, steps, tmp_path, change, message, finished):
    steps.restart(stop_at=None if finished else 2)
    if finished:
        run(problem, tmp_path)
    else:
        with pytest.raises(Stopped):
            run(problem, tmp_path)
    steps.restart()
    with pytest.raises(RunError, match=message):
        run(problem, tmp_path, **change)
    assert steps.calls == 0


def test_another_network_is_refused(problem, tmp_path):
    run(problem, tmp_path)
    network, images = small_problem(torch.float32)[0], problem[1]
    network.classifier.bias.data += 1
    with pytest.raises(ValueError, match=r"classifier\.bias"):
        run((network, images), tmp_path)


def test_a_folder_of_another_method_is_refused(problem, tmp_path):
    network, data = small_problem(torch.float32)
    disentangle(network, data, beta=0.3, classes=[0], passes=1, run=tmp_path)
    with pytest.raises(RunError, match="was begun with method = 'disentangle', this call has 'route'"):
        run(problem, tmp_path)


def test_a_search_in_a_folder_of_routing_is_refused(problem, tmp_path):
    run(problem, tmp_path)
    with pytest.raises(RunError, match="was begun with method = 'route', this call has 'disentangle'"):
        disentangle(*small_problem(torch.float32), beta=0.3, classes=[0], passes=1, run=tmp_path)


@pytest.mark.parametrize("record", [{}, {"asked": 3}])
def test_a_record_without_what_was_asked_is_refused(problem, tmp_path, record):
    RunFolder(tmp_path).begin(record)
    with pytest.raises(RunError, match=r"run\.json is damaged \(no asked\)"):
        run(problem, tmp_path)


def test_a_damaged_division_is_refused(problem, steps, tmp_path):
    steps.restart(stop_at=1)
    with pytest.raises(Stopped):
        run(problem, tmp_path)
    RunFolder(tmp_path).begin({**RunFolder(tmp_path).read_record(), "plan": {"batch": "many", "threads": 1}})
    steps.restart()
    with pytest.raises(RunError, match=r"run\.json is damaged \(invalid literal"):
        run(problem, tmp_path)


@pytest.mark.parametrize("name", ["batch", "limit"])
@pytest.mark.parametrize("value", [0, 2.5, True])
def test_counts_that_are_none_are_refused(problem, name, value):
    with pytest.raises(SettingError, match=f"{name} must be a whole number of at least 1, found {value}"):
        Routing(*problem, "block", Descent(), **{name: value})


def test_the_cost_grows_with_inputs_and_leaves_no_trace(problem, tmp_path):
    made = Routing(*problem, "block", Descent(), batch=8, limit=20, folder=RunFolder(tmp_path / "run"))
    cost = made.cost()
    # 13 channels: gates twice in 4 bytes, masks in bits
    assert (cost.inputs, cost.steps, cost.disk) == (20, 30, 20 * (2 * 13 * 4 + 1))
    assert cost.seconds > 0
    assert str(cost).startswith("20 inputs x 30 steps: about ")
    assert not (tmp_path / "run").exists()
