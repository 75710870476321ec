"""What an engine is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Engine(Protocol):
    """Runs independent tasks and gives their results in the tasks' order."""

    workers: int
    """How many tasks run at a time."""

    remote: bool
    """Whether tasks run elsewhere: `work` is then pickled, and cannot call back."""

    def run(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Results of `work(task)` for all tasks, in their order, each as soon as it and those before it are there.

        Raises
        ------
        EngineError
            If a worker dies.
        Exception
            What `work` raises.
        """
        ...
