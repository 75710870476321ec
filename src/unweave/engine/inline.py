"""Tasks one after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

from unweave.engine.base import Arrived, Needs, OutOfMemory, Result, Task, not_told
from unweave.engine.memory import Guarded


class Inline:
    """The engine that needs nothing."""

    workers = 1
    remote = False
    gives_gpus = False

    def opened(self, needs: Needs) -> AbstractContextManager[None]:
        """It always is."""
        return nullcontext()

    def run(
        self, work: Callable[[Task], Result], tasks: Sequence[Task], arrived: Arrived = not_told
    ) -> Iterator[Result | OutOfMemory]:
        """Results in order."""
        guarded = Guarded(work)
        for position, task in enumerate(tasks):
            result = guarded(task)
            arrived(position, result)
            yield result
