"""A lack of memory, told from other failures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from unweave.engine.base import OutOfMemory, Result, Task

_OF_THE_PROCESSOR = ("can't allocate memory", "not enough memory", "Cannot allocate memory")
"""How torch says it where the processor's memory is short, in a plain `RuntimeError`."""


@dataclass(frozen=True)
class Guarded(Generic[Task, Result]):
    """`work`, which gives `OutOfMemory` where it would fail for a lack of it."""

    work: Callable[[Task], Result]

    def __call__(self, task: Task) -> Result | OutOfMemory:
        """One task's result."""
        try:
            return self.work(task)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return OutOfMemory(" ".join(str(error).split()) or type(error).__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory is short: Python's `MemoryError`, torch's of a GPU or of the processor."""
    if isinstance(error, MemoryError):
        return True
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which need not be imported for a look at its name
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OF_THE_PROCESSOR)
