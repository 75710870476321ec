"""Tasks in processes of this machine, by joblib's loky."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from unweave.engine.base import Arrived, Needs, OutOfMemory, Result, Task, not_told
from unweave.engine.inline import Inline
from unweave.engine.memory import Guarded
from unweave.engine.sending import pickled
from unweave.errors import EngineError

MOST_BY_DEFAULT = 4


class Processes:
    """Several processes, each with its own copy of the work."""

    remote = True
    gives_gpus = False

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or min(MOST_BY_DEFAULT, os.cpu_count() or 1)

    def opened(self, needs: Needs) -> AbstractContextManager[None]:
        """Processes start with the first task, and stay for the next ones."""
        return nullcontext()

    def run(
        self, work: Callable[[Task], Result], tasks: Sequence[Task], arrived: Arrived = not_told
    ) -> Iterator[Result | OutOfMemory]:
        """Results in order. The work travels once, by a file that only this user can read, not with every task.

        What one process is to do is done in this one: there is nothing to gain elsewhere.
        """
        together = min(self.workers, len(tasks))
        if together < 2:
            yield from Inline().run(work, tasks, arrived)
            return
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        with tempfile.TemporaryDirectory(prefix="unweave-") as folder:
            file = Path(folder) / "work"
            file.write_bytes(pickled(Guarded(work)))
            calls = (delayed(_call)(str(file), os.getpid(), task) for task in tasks)
            pool = Parallel(n_jobs=together, backend="loky", batch_size=1, return_as="generator")
            try:
                for position, result in enumerate(pool(calls)):
                    arrived(position, result)
                    yield result
            except TerminatedWorkerError as error:
                raise EngineError(
                    "a worker process died (killed, or out of memory: use fewer workers); what was finished is kept in "
                    "the run folder, if there is one: repeat the call to go on from there"
                ) from error


_received: dict[str, Any] = {}


def _call(file: str, parent: int, task: Any) -> Any:
    """In a worker process: run one task with the work that was sent, unpickled once."""
    if file not in _received:
        import cloudpickle

        _received.clear()
        _received[file] = cloudpickle.loads(Path(file).read_bytes())
        threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    return _received[file](task)


def _die_with(parent: int) -> None:
    """A worker whose parent was killed must not go on writing into the run folder."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
