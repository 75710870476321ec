"""Work in processes: what can be sent there, what comes back, and what becomes of workers."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.engine.elsewhere import (
    check_a_class_of_a_user_s_own_file_is_sent,
    check_an_error_of_ours_comes_back_as_itself,
    check_results_come_in_order,
    wait_until,
)
from unweave.engine.processes import Processes
from unweave.errors import EngineError


@pytest.fixture(scope="module", autouse=True)
def _no_worker_stays():
    yield
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True, kill_workers=True)


def test_results_come_in_the_tasks_order_from_other_processes(tmp_path):
    assert check_results_come_in_order(Processes(2), tmp_path) == [0, 1, 2, 3]


def test_a_class_of_a_user_s_own_file_is_sent_and_comes_back(tmp_path):
    check_a_class_of_a_user_s_own_file_is_sent(Processes(2), tmp_path)


def test_work_is_unpickled_once_by_a_worker(tmp_path):
    class Work:
        def __setstate__(self, state):
            self.made = time.perf_counter_ns()

        def __getstate__(self):
            return {"a": 1}

        def __call__(self, task):
            return os.getpid(), self.made

    found = list(Processes(2).run(Work(), range(8)))
    assert len(set(found)) == len({worker for worker, _ in found})


def test_an_error_of_ours_comes_back_as_itself():
    check_an_error_of_ours_comes_back_as_itself(Processes(2))


@pytest.mark.parametrize(("workers", "tasks"), [(1, [1, 2]), (2, [1]), (2, [])])
def test_what_one_process_is_to_do_is_done_here(workers, tasks):
    assert list(Processes(workers).run(lambda task: (task, os.getpid()), tasks)) == [(t, os.getpid()) for t in tasks]


def test_a_worker_that_dies_is_one_line():
    def work(task):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(EngineError, match=r"a worker process died .*repeat the call to go on") as caught:
        list(Processes(2).run(work, [1, 2]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["lock", "generator", "open file"])
def test_work_that_cannot_be_sent_names_the_engine_that_needs_no_sending(tmp_path, kind):
    with (tmp_path / "held").open("wb") as file:
        held = {"lock": threading.Lock(), "generator": (number for number in [1]), "open file": file}[kind]
        check_cannot_be_sent(held)


def check_cannot_be_sent(held):
    with pytest.raises(EngineError, match=r"cannot be sent to processes \(.*\); use engine inline") as caught:
        list(Processes(2).run(lambda task: held, [1, 2]))
    assert "\n" not in str(caught.value)


PARENT = """
import os, sys, time
from unweave.engine.processes import Processes

def work(task, folder=sys.argv[1]):
    open(os.path.join(folder, "worker-" + str(os.getpid())), "w").close()
    time.sleep(600)

if __name__ == "__main__":
    list(Processes(2).run(work, [1, 2]))
"""


def alive(worker):
    """Whether the process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes where Linux lists them")
def test_a_worker_ends_with_the_process_that_it_works_for(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py"), str(tmp_path)])
    try:
        assert wait_until(lambda: list(tmp_path.glob("worker-*")))
        worker = int(next(tmp_path.glob("worker-*")).name.removeprefix("worker-"))
        assert alive(worker)
    finally:
        parent.kill()
        parent.wait(60)
    assert wait_until(lambda: not alive(worker))
