"""What every engine does whose tasks run in other processes."""

import os
import time

import pytest

from unweave.engine import OutOfMemory
from unweave.errors import DataError
from unweave.zoo.user_file import function_in_file

USERS = """
class Twice:
    def __init__(self, start):
        self.start = start

    def __call__(self, task):
        return Twice(self.start + 2 * task)


def make():
    return Twice(100)
"""


def wait_until(condition, seconds=120):
    """Wait for a condition, but not for ever."""
    limit = time.monotonic() + seconds
    while not condition() and time.monotonic() < limit:
        time.sleep(0.05)
    return condition()


def check_results_come_in_order(engine, folder):
    """From other processes, the first task being the last to end; one has not enough memory, which does not cost the
    others. Returns the order in which they ended."""
    here, arrived = os.getpid(), []

    def work(task):  # a closure: it cannot be imported by name
        if task == 0:
            limit = time.monotonic() + 60
            while not (folder / "last").exists() and time.monotonic() < limit:
                time.sleep(0.01)
        if task == 2:
            raise MemoryError("planted")
        if task == 3:
            (folder / "last").touch()
        return task, os.getpid() != here

    found = list(engine.run(work, [0, 1, 2, 3], lambda position, result: arrived.append(position)))
    assert found == [(0, True), (1, True), OutOfMemory("planted"), (3, True)]
    assert sorted(arrived) == [0, 1, 2, 3]
    return arrived


def check_a_class_of_a_user_s_own_file_is_sent(engine, folder):
    """And comes back."""
    (folder / "mine.py").write_text(USERS)
    work = function_in_file(f"{folder / 'mine.py'}:make")()
    assert type(work).__module__.startswith("_user_")
    assert [one.start for one in engine.run(work, [1, 5])] == [102, 110]


def check_an_error_of_ours_comes_back_as_itself(engine):
    """In its own words."""

    def work(task):
        raise DataError(f"image {task} is damaged")

    with pytest.raises(DataError, match=r"^image 7 is damaged$"):
        list(engine.run(work, [7, 7]))
