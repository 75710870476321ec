"""What an engine is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Needs:
    """What one task takes of a machine, for engines that choose machines: processor `threads`, and `gpus`."""

    threads: int = 1
    gpus: int = 0


@dataclass(frozen=True)
class OutOfMemory:
    """Stands in the place of a result whose task had not enough memory, so that the others are not lost."""

    reason: str


Arrived = Callable[[int, Any], None]
"""Told of every result as it comes, in whatever order: the task's position, and the result."""


def not_told(position: int, result: Any) -> None:
    """For those who wait for results in order."""


class Engine(Protocol):
    """Runs independent tasks and gives their results in the tasks' order."""

    remote: bool
    """Whether tasks run elsewhere: `work` is then pickled, and cannot call back."""

    gives_gpus: bool
    """Whether a task sees the GPU that it was given alone, as the first one."""

    @property
    def workers(self) -> int:
        """How many tasks run at a time."""
        ...

    def opened(self, needs: Needs) -> AbstractContextManager[None]:
        """Ready for `run` while the block lasts; every task takes `needs` of a machine.

        Raises
        ------
        EngineError
            If there are no such machines, or they cannot be reached.
        MissingExtraError
            If the engine's package is not installed.
        """
        ...

    def run(
        self, work: Callable[[Task], Result], tasks: Sequence[Task], arrived: Arrived = not_told
    ) -> Iterator[Result | OutOfMemory]:
        """Results of `work(task)` for all tasks, in their order, each as soon as it and those before it are there.

        Raises
        ------
        EngineError
            If a worker dies.
        Exception
            What `work` raises, but for a lack of memory.
        """
        ...
