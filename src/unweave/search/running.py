"""Tasks of a search in the hands of an engine: their progress, and what the run folder has and gets of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unweave.data.labelled import LabelledImages
from unweave.engine import Engine, OutOfMemory
from unweave.progress import Advance, progress
from unweave.runs.folder import RunFolder
from unweave.search.tasks import Outcome, Task, Worker
from unweave.search.watching import Followed, watched


@dataclass(frozen=True)
class Running:
    """Runs tasks by `worker`, on `engine`; `folder`: where they are kept, if anywhere."""

    engine: Engine
    worker: Worker
    images: LabelledImages
    folder: RunFolder | None
    show_progress: bool | None

    def __call__(self, tasks: Sequence[Task], title: str) -> list[Outcome | OutOfMemory]:
        """What each task found, or that it ran out of memory."""
        total = sum(task.plan.batches(self.images) for task in tasks)
        with progress(title, total, self.show_progress) as advance:
            if self.engine.remote:
                return self._elsewhere(tasks, advance)
            self.worker.report = advance
            return list(self.engine.run(self.worker, tasks))

    def _elsewhere(self, tasks: Sequence[Task], advance: Advance) -> list[Outcome | OutOfMemory]:
        """Finished tasks are read here: the machine of a worker need not see the run folder."""
        self.worker.report = None
        per_pass = {task.name: task.plan.batches_per_pass(self.images) for task in tasks}
        starts = {task.start_name: task.plan.start_batches(self.images) for task in tasks}
        followed = Followed(per_pass | starts, advance)
        found: dict[str, Outcome | OutOfMemory] = {}
        left = [task for task in tasks if not self.worker.finished(task)]

        def arrived(position: int, result: Any) -> None:
            if isinstance(result, Outcome):
                self._keep(left[position], result)
                followed.reached(left[position].start_name, 0, starts[left[position].start_name])
                followed.reached(left[position].name, left[position].plan.passes)

        with watched(self.folder.journal if self.folder is not None else None, followed):
            names = {task.name for task in left}
            found |= {task.name: self.worker(task) for task in tasks if task.name not in names}
            results = self.engine.run(self.worker, left, arrived)
            found |= {task.name: result for task, result in zip(left, results, strict=True)}
        return [found[task.name] for task in tasks]

    def _keep(self, task: Task, outcome: Outcome) -> None:
        if self.folder is not None and outcome.unsaved is not None:
            self.folder.checkpoints.save(task.name, *outcome.unsaved)
