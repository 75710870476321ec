"""Tasks one after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from unweave.engine.base import Result, Task


class Inline:
    """The engine that needs nothing."""

    workers = 1
    remote = False

    def run(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Results in order."""
        return map(work, tasks)
