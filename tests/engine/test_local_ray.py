"""Ray without an address: started for the call, and shut down after it."""

import os
from importlib.util import find_spec

import pytest

from unweave.engine.ray_cluster import RayCluster

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'unweave[ray]'")


def test_ray_is_started_for_the_tasks_and_shut_down_after_them(compiled_once, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # a cluster of the environment's is not joined unasked
    found = list(RayCluster(1).run(lambda task: (task, os.getpid()), [1, 2]))
    assert [task for task, _ in found] == [1, 2]
    assert os.getpid() not in {process for _, process in found}
    import ray

    assert not ray.is_initialized()
