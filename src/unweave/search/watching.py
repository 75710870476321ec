"""Progress of tasks that run in other processes, read from the run's journal."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from unweave.progress import Advance
from unweave.runs.journal import Journal

_SECONDS_BETWEEN_LOOKS = 0.5


@contextmanager
def watched(journal: Path | None, batches_per_pass: Mapping[str, int], advance: Advance) -> Iterator[None]:
    """While the block runs, tell `advance` of what tasks write into `journal` as they save; None: nothing is known."""
    if journal is None:
        yield
        return
    ended = threading.Event()
    done = dict.fromkeys(batches_per_pass, 0)

    def look() -> None:
        for event in Journal(journal).read():
            task = event.get("task")
            if event["event"] != "saved" or task not in done:
                continue
            reached = int(event["passes"]) * batches_per_pass[task] + int(event["batches"])
            if reached > done[task]:
                advance(reached - done[task], f"{task}: pass {event['passes']}")
                done[task] = reached

    def keep_looking() -> None:
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            look()

    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        look()
