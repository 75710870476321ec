"""Progress of tasks that run in other processes: from the run's journal, and from the results as they come."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from unweave.progress import Advance
from unweave.runs.journal import Journal


@dataclass
class Followed:
    """How far tasks have come, in batches; `advance` is told once of each. `batches_per_pass`: by the task's name."""

    batches_per_pass: Mapping[str, int]
    advance: Advance
    _done: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reached(self, task: str, passes: int, batches: int = 0) -> None:
        """So many passes of a task are done, and batches of the next one."""
        if task not in self.batches_per_pass:
            return
        reached = passes * self.batches_per_pass[task] + batches
        with self._lock:
            before = self._done.get(task, 0)
            self._done[task] = max(reached, before)
        if reached > before:
            self.advance(reached - before, f"{task}: pass {passes}")


@contextmanager
def watched(journal: Journal | None, followed: Followed) -> Iterator[None]:
    """While the block runs, tell `followed` of what tasks write into `journal` as they save; None: nothing is known."""
    if journal is None:
        yield
        return
    ended = threading.Event()

    def look() -> None:
        for event in journal.read():
            if event["event"] == "saved" and isinstance(task := event.get("task"), str):
                followed.reached(task, int(event["passes"]), int(event["batches"]))

    def keep_looking() -> None:
        while not ended.wait(journal.seconds_between_looks):
            look()

    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        look()
