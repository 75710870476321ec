"""Ray as an engine: a cluster of two nodes on this machine, whose workers and one of whose nodes die."""

import json
import os
import signal
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from tests.cli.conftest import finished
from tests.engine.elsewhere import (
    check_a_class_of_a_user_s_own_file_is_sent,
    check_an_error_of_ours_comes_back_as_itself,
    check_results_come_in_order,
    wait_until,
)
from tests.search.interrupted import SETTINGS
from tests.search.problems import small_problem
from unweave.engine import Needs, ray_cluster
from unweave.engine.ray_cluster import RayCluster, _result
from unweave.engine.ray_connection import LOOPBACK, QUIET, environment
from unweave.errors import EngineError
from unweave.runs.folder import RunFolder
from unweave.search.disentangle import disentangle

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'unweave[ray]'")

SHARDS = {**SETTINGS, "classes": [0, 1, 2], "classes_per_shard": 2, "threads": 1, "keep_activations": False}
TYPED = (
    *("disentangle", "{file}:network", "{file}:images", "--objective", "variational", "--beta", "0.1"),
    *("--passes", "2", "--limit-per-class", "2", "--classes", "0,1,2"),
    *("--classes-per-shard", "2", "--threads", "1", "--no-keep-activations"),
)


class Troubled(Dataset):
    """The small problem's images. Reading one in the second pass of the second shard kills the worker that does, once,
    if it is `deadly`; a `slow` one takes time over all until a file says that it is enough."""

    def __init__(self, folder, deadly=False, slow=False):
        _, data = small_problem(torch.float32)
        self.images, self.targets = data.tensors[0], data.tensors[1].tolist()
        self.folder, self.deadly, self.slow, self.made_by = Path(folder), deadly, slow, os.getpid()

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, position):
        if os.getpid() != self.made_by:
            self.make_trouble()
        return self.images[position], self.targets[position]

    def make_trouble(self):
        if self.slow and not (self.folder / "enough").exists():
            time.sleep(0.05)
        there, done = self.folder / "run" / "shards" / "search-0001.safetensors", self.folder / "trouble"
        if self.deadly and there.exists() and not done.exists():
            done.touch()
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster(compiled_once):
    """Two nodes of one processor each; Ray's own processes listen on this machine alone."""
    with environment({**QUIET, **LOOPBACK}):
        from ray.cluster_utils import Cluster  # with these settings, before anything else imports Ray

        made = Cluster()
        try:
            started(made, num_cpus=1, include_dashboard=False)
            made.second = started(made, num_cpus=1)
            yield made
        finally:
            made.shutdown()


def started(cluster, **node):
    """Another node; on a busy machine Ray's processes find each other too late, now and then."""
    for left in (2, 1, 0):
        try:
            return cluster.add_node(**node)
        except Exception as error:
            if "timed out during startup" not in str(error) or not left:
                raise
    raise AssertionError


@pytest.fixture(scope="module")
def engine(cluster):
    """Joined to the cluster; it is left again."""
    import ray

    found = RayCluster(None, cluster.address)
    assert found.workers == 2
    with found.opened(Needs()):
        yield found
    assert not ray.is_initialized()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of the search in this process."""
    place = tmp_path_factory.mktemp("inline")
    return searched(place, "inline")


@pytest.fixture(scope="module")
def typed_inline(tmp_path_factory):
    """The bytes that the command gives in this process."""
    return (finished(tmp_path_factory.mktemp("typed"), *TYPED) / "run" / "paths.safetensors").read_bytes()


def searched(place, engine, address=None, **troubles):
    network, _ = small_problem(torch.float32)
    workers = None if engine == "inline" else 2
    run, images = place / "run", Troubled(place, **troubles)
    disentangle(network, images, run=run, engine=engine, workers=workers, address=address, **SHARDS)
    return RunFolder(run).paths_file.read_bytes()


def saves(folder, shard="search-0001"):
    """The passes after which a shard was saved."""
    events = RunFolder(folder).journal.read()
    return [e["passes"] for e in events if e["event"] == "saved" and e["task"] == shard]


def planned_smaller(place):
    return json.loads((place / "run" / "run.json").read_text())["plan"]["smaller"]


def test_results_come_in_the_tasks_order_from_other_processes(engine, tmp_path):
    arrived = check_results_come_in_order(engine, tmp_path)
    assert arrived.index(1) < arrived.index(0)


def test_a_class_of_a_user_s_own_file_is_sent_and_comes_back(engine, tmp_path):
    check_a_class_of_a_user_s_own_file_is_sent(engine, tmp_path)


def test_an_error_of_ours_comes_back_as_itself(engine):
    check_an_error_of_ours_comes_back_as_itself(engine)


def test_a_task_takes_what_it_needs_of_a_node(engine):
    with (
        pytest.raises(EngineError, match="a task needs 1 processors and 1 GPUs of one node"),
        RayCluster(2, engine.address).opened(Needs(1, gpus=1)),
    ):
        pass


def test_another_cluster_than_the_one_that_is_joined_is_refused(engine):
    with (
        pytest.raises(EngineError, match=r"is connected to Ray at .* already; call ray\.shutdown\(\)"),
        RayCluster(2, "127.0.0.1:1").opened(Needs()),
    ):
        pass


def test_work_whose_workers_die_again_and_again_is_one_line(engine, monkeypatch):
    monkeypatch.setattr(ray_cluster, "RETRIES", 0)
    with pytest.raises(EngineError, match=r"^workers died 1 times over one task.*repeat the call to go on") as caught:
        list(engine.run(lambda task: os.kill(os.getpid(), signal.SIGKILL), [1]))
    assert "\n" not in str(caught.value)


@pytest.mark.timeout(540)  # the first search here: on a busy machine workers import torch for minutes
@pytest.mark.parametrize("url", [False, True], ids=["a path", "a URL"])
def test_the_command_gives_the_bytes_of_inline_and_workers_save_in_its_folder(
    engine, typed_inline, tmp_path, monkeypatch, url
):
    results = []
    monkeypatch.setattr(ray_cluster, "_result", lambda *one: results.append(_result(*one)) or results[-1])
    out = (tmp_path / "run").as_uri() if url else tmp_path / "run"
    finished(tmp_path, *TYPED, "--engine", "ray", "--workers", "2", out=out)
    assert len(results) == 2
    assert RunFolder(out).paths_file.read_bytes() == typed_inline
    assert saves(out) == [1, 2]  # only the last would be, if it came back with the result


def test_a_worker_with_other_versions_is_refused(engine, tmp_path, monkeypatch):
    monkeypatch.setitem(SHARDS, "classes", [0])
    monkeypatch.setattr("unweave.search.tasks.versions", lambda: {"unweave": "0.0"})
    with pytest.raises(EngineError, match=r"^a worker has .*, this process unweave 0\.0; install the same") as caught:
        searched(tmp_path, "ray", engine.address)
    assert "\n" not in str(caught.value)


def test_a_worker_that_ray_ends_for_want_of_memory_is_followed_by_one_with_a_smaller_batch(
    engine, tmp_path, monkeypatch
):
    import ray

    get, short = ray.get, [ray.exceptions.OutOfMemoryError("the node has none left")]

    def got(reference):
        if short:
            raise short.pop()
        return get(reference)

    monkeypatch.setattr(ray, "get", got)
    monkeypatch.setitem(SHARDS, "classes", [0, 1])
    monkeypatch.setitem(SHARDS, "rows_per_batch", 2)
    searched(tmp_path, "ray", engine.address)
    assert planned_smaller(tmp_path) == {"search-0000": 1}
    assert saves(tmp_path / "run", "search-0000") == [1, 2, 3, 1, 2, 3]


def _crowded():
    """Whether Ray's own time limits, which cannot be set, would decide what is tested."""
    return os.getloadavg()[0] > 2 * (os.cpu_count() or 1)


@pytest.mark.timeout(540)
def test_a_shard_whose_worker_is_killed_goes_on_where_it_was_saved(engine, whole, tmp_path):
    if _crowded():
        pytest.skip("the machine is too busy for Ray to find out in time that a worker died")
    assert searched(tmp_path, "ray", engine.address, deadly=True) == whole
    assert (tmp_path / "trouble").exists()
    assert saves(tmp_path / "run") == [1, 2, 3]  # none was made twice


def test_a_search_one_of_whose_nodes_is_killed_has_the_same_bytes(engine, cluster, whole, tmp_path, capfd):
    import ray

    def kill():
        wait_until(lambda: saves(tmp_path / "run"))
        cluster.remove_node(cluster.second, allow_graceful=False)
        wait_until(lambda: alive() == 1)
        (tmp_path / "enough").touch()

    def alive():
        return [node["Alive"] for node in ray.nodes()].count(True)

    killing = threading.Thread(target=kill)
    killing.start()
    found = searched(tmp_path, "ray", engine.address, slow=True)
    killing.join()
    assert found == whole
    assert alive() == 1
    assert "raylet" not in "".join(capfd.readouterr())  # what Ray says of it stays in Ray's logs
