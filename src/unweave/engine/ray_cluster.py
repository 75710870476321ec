"""Tasks on the machines of a Ray cluster, or in processes that a Ray started here has."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from unweave.engine.base import Arrived, Needs, OutOfMemory, Result, Task, not_told
from unweave.engine.memory import Guarded
from unweave.engine.processes import MOST_BY_DEFAULT
from unweave.engine.ray_connection import check_room, connected, imported, nodes_at
from unweave.engine.sending import pickled
from unweave.errors import EngineError

RETRIES = 5
"""How often a task is begun again whose worker or node dies."""
_SECONDS_BETWEEN_LOOKS = 10.0
"""While no task ends: whether any node is left that could run one."""


class RayCluster:
    """Several workers, on machines that Ray knows; without an `address` on this one, where Ray is started, and shut
    down afterwards.

    The work goes into Ray's object store once, and each worker process unpickles it once. A task whose worker or node
    dies is begun again elsewhere.
    """

    remote = True
    gives_gpus = True

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        self._asked, self.address = workers, address
        self._ray: Any = None
        self._needs = Needs()

    @cached_property
    def workers(self) -> int:
        """As told; or one a processor of the cluster, or of this machine, of which at most four."""
        if self._asked is not None:
            return self._asked
        if self.address is None:
            return min(MOST_BY_DEFAULT, os.cpu_count() or 1)
        imported(self.address)
        return max(1, int(sum(node.get("CPU", 0) for node in nodes_at(self.address))))

    @contextmanager
    def opened(self, needs: Needs) -> Iterator[None]:
        """Connected to Ray while the block lasts."""
        with connected(self.address, self.workers, needs) as ray:
            self._ray, self._needs = ray, needs
            try:
                yield
            finally:
                self._ray = None

    def run(
        self, work: Callable[[Task], Result], tasks: Sequence[Task], arrived: Arrived = not_told
    ) -> Iterator[Result | OutOfMemory]:
        """Results in order; opened for it where it is not yet."""
        if self._ray is None:
            with self.opened(self._needs):
                yield from self._run(self._ray, work, tasks, arrived)
        else:
            yield from self._run(self._ray, work, tasks, arrived)

    def _run(
        self, ray: Any, work: Callable[[Task], Result], tasks: Sequence[Task], arrived: Arrived
    ) -> Iterator[Result | OutOfMemory]:
        held = ray.put(pickled(Guarded(work)))
        call = ray.remote(max_retries=RETRIES, num_cpus=self._needs.threads, num_gpus=self._needs.gpus)(_call)
        waiting = iter(enumerate(tasks))
        running: dict[Any, int] = {}
        results: dict[int, Any] = {}
        try:
            for position in range(len(tasks)):
                while position not in results:
                    while len(running) < self.workers and (left := next(waiting, None)) is not None:
                        running[call.remote([held], pickled(left[1]))] = left[0]
                    ended, _ = ray.wait(list(running), timeout=_SECONDS_BETWEEN_LOOKS)
                    if not ended:
                        check_room(ray, self._needs)
                    for one in ended:
                        done = running.pop(one)
                        results[done] = _result(ray, one)
                        arrived(done, results[done])
                yield results.pop(position)
        finally:
            for one in running:
                ray.cancel(one, force=True)


@dataclass(frozen=True)
class _Failed:
    """An error in the place of a result: Ray's own way to send one adds pages to it."""

    error: Exception


def _result(ray: Any, reference: Any) -> Any:
    """What a task gave.

    Raises
    ------
    EngineError
        If its workers died.
    Exception
        What the work raised.
    """
    import cloudpickle

    try:
        found = cloudpickle.loads(ray.get(reference))
    except ray.exceptions.OutOfMemoryError as error:
        return OutOfMemory(" ".join(str(error).split())[:200])
    except ray.exceptions.RayTaskError as error:
        raise EngineError(
            f"a worker could not read its work ({' '.join(str(error.cause).split())[:200]}); install the same versions "
            "of unweave, and of what the network and data need, on every node"
        ) from error
    except ray.exceptions.RayError as error:
        raise EngineError(
            f"workers died {RETRIES + 1} times over one task, or the cluster is lost "
            f"({' '.join(str(error).split())[:120]}); what was finished is kept in the run folder, if there is one: "
            "repeat the call to go on from there"
        ) from error
    if isinstance(found, _Failed):
        raise found.error
    return found


_received: dict[str, Any] = {}


def _call(held: list[Any], task: bytes) -> bytes:
    """In a worker process: run one task with the work that was put into the store, unpickled once."""
    import cloudpickle

    (reference,) = held
    if (name := reference.hex()) not in _received:
        import ray

        _received.clear()
        _received[name] = cloudpickle.loads(ray.get(reference))
    work, given = _received[name], cloudpickle.loads(task)
    try:
        return pickled(work(given))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where the results are waited for
        return _pickled_error(error)


def _pickled_error(error: Exception) -> bytes:
    try:
        return pickled(_Failed(error))
    except EngineError:
        return pickled(_Failed(EngineError(f"{type(error).__name__}: {error}")))
