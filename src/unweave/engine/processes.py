"""Tasks in processes of this machine, by joblib's loky."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from unweave.engine.base import Result, Task
from unweave.errors import EngineError

_MOST_BY_DEFAULT = 4
_USER_MODULES = "_user_"


class Processes:
    """Several processes, each with its own copy of the work."""

    remote = True

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or min(_MOST_BY_DEFAULT, os.cpu_count() or 1)

    def run(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Results in order. The work travels once, by a file that only this user can read, not with every task.

        What one process is to do is done in this one: there is nothing to gain elsewhere.
        """
        together = min(self.workers, len(tasks))
        if together < 2:
            yield from map(work, tasks)
            return
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        with tempfile.TemporaryDirectory(prefix="unweave-") as folder:
            file = Path(folder) / "work"
            file.write_bytes(_pickled(work))
            calls = (delayed(_call)(str(file), os.getpid(), task) for task in tasks)
            pool = Parallel(n_jobs=together, backend="loky", batch_size=1, return_as="generator")
            try:
                yield from pool(calls)
            except TerminatedWorkerError as error:
                raise EngineError(
                    "a worker process died (killed, or out of memory: use fewer workers); what was finished is kept in "
                    "the run folder, if there is one: repeat the call to go on from there"
                ) from error


def _pickled(work: Any) -> bytes:
    import cloudpickle

    # Modules made from a user's file cannot be imported by name elsewhere: their contents travel.
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(_USER_MODULES)]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(work))
    except (TypeError, AttributeError, ValueError, RuntimeError, RecursionError, OSError) as error:
        raise EngineError(
            f"the network or data set cannot be sent to processes ({error}); use engine inline"
        ) from error
    except Exception as error:
        if "pickle" in type(error).__name__.lower():
            raise EngineError(
                f"the network or data set cannot be sent to processes ({error}); use engine inline"
            ) from error
        raise
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


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
