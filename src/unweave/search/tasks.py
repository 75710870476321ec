"""One part of a search that can run by itself, anywhere: a shard of rows with one objective."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from unweave.data.labelled import LabelledImages
from unweave.errors import EngineError, RunError
from unweave.network.sites import Level, Sites
from unweave.network.teaching import Taught
from unweave.runs.checkpoints import SECONDS_BETWEEN_SAVES, Checkpoints
from unweave.search.attributor import Attributor, Keeping, Work
from unweave.search.elimination import solver_of
from unweave.search.objectives import Objective
from unweave.search.plan import Plan, images_are_remembered
from unweave.search.preparation import Prepared, prepare
from unweave.search.reference import Store
from unweave.search.solver import Solver
from unweave.search.start import START_QUESTION, Start
from unweave.search.threads import torch_threads
from unweave.versions import versions


@dataclass(frozen=True)
class Task:
    """A shard's search: the attribution that it starts from, if it does, and all passes. `measured`: its reconstruction
    error and size are wanted too, for the elbow."""

    name: str
    objective: Objective
    plan: Plan
    measured: bool = False

    @property
    def start_name(self) -> str:
        """What its attribution is kept as."""
        return f"{self.name}-start"


Saved = tuple[dict[str, Any], dict[str, np.ndarray]]
"""What a checkpoint holds: notes and arrays."""


@dataclass(frozen=True)
class Outcome:
    """What a task found: `scores[i]` `[rows, channels]` at site i, `steps` `[rows]` made, `measured` `[rows that have
    images that count, 2]`, and images that could not be read, by position, with the reason. `unsaved`: what is to be
    saved of the task, where it ran on a machine that does not see the run folder."""

    scores: list[np.ndarray]
    steps: np.ndarray
    measured: np.ndarray
    damaged: dict[int, str]
    unsaved: Saved | None = None


Report = Callable[[int, str], None]
"""Told how many batches have been done since the last call, and what is being worked on."""


@dataclass
class Worker:
    """Runs tasks of one search, one after the other; can be sent to another process.

    `sent`: where it was sent to another process, whether there is a run folder, and the versions there must be.
    """

    network: nn.Module
    images: LabelledImages
    sites: Sites | Level
    device: str | torch.device | None
    logits: str | int | None
    checkpoints: Checkpoints | None = None
    report: Report | None = None
    seconds_between_saves: float = SECONDS_BETWEEN_SAVES
    prepared: Prepared | None = None
    start: Start | None = None
    """The scores to start from, where they are given."""
    memory: int = 0
    """Bytes that pictures may take which are kept from pass to pass."""
    sent: tuple[bool, dict[str, str]] | None = None
    _kept: _Kept | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Without what another process makes for itself; first what it must know of operations."""
        left = {"prepared": None, "_kept": None, "report": None}
        return {"taught": Taught(), **self.__dict__, **left, "sent": (self.checkpoints is not None, versions())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({name: value for name, value in state.items() if name != "taught"})

    def __call__(self, task: Task) -> Outcome:
        """Run a task from where it was left to its end."""
        self._check_versions()
        if self.prepared is None:
            self.prepared = prepare(self.network, self.images, self.sites, self.device, self.logits)
        with torch.inference_mode(False), torch.enable_grad(), torch_threads(task.plan.threads):
            try:
                return self._run(task, self.prepared)
            except (MemoryError, RuntimeError):
                self._kept = None  # may be what there was no room beside
                raise

    def finished(self, task: Task) -> bool:
        """Whether the task was saved with its result: running it reads that."""
        found = self._loaded(task)
        return found is not None and found.finished

    def _check_versions(self) -> None:
        """Refuse a machine on which the same plan would make other bytes."""
        if self.sent is not None and self.sent[1] != versions():
            raise EngineError(
                f"a worker has {_listed(versions())}, this process {_listed(self.sent[1])}; install the same versions "
                "on all machines"
            )

    def _run(self, task: Task, prepared: Prepared) -> Outcome:
        plan = task.plan
        found = self._loaded(task)
        kept = _Kept(plan, None, self.images) if found is not None and found.finished else self._of(plan)
        start = self._start(task, prepared, kept) if found is None else self.start
        solver = solver_of(plan)(
            prepared.tapped, task.objective, kept.images, plan, prepared.device, prepared.dtype, kept.store, start
        )
        if found is not None:
            with _of_this_search(task):
                solver.restore(found.arrays)
            solver.damaged.update(found.damaged)
            if found.finished:
                self._tell(plan.batches(self.images), task, plan.passes)
                return _outcome(solver, found.arrays["measured"])
        self._pass_by_pass(task, solver, found or _Reached())
        measured = solver.measure() if task.measured else np.zeros((0, 2))
        return _outcome(solver, measured, self._save(task, solver, _Reached(plan.passes, 0), measured))

    def _pass_by_pass(self, task: Task, solver: Solver, reached: _Reached) -> None:
        plan = task.plan
        # Tasks of a sweep share what is kept: filled before their first pass, whichever of them comes first.
        solver.refill(*((1, 0) if task.measured else (reached.passes, reached.batches)))
        if reached.passes or reached.batches:
            done = reached.passes * plan.batches_per_pass(self.images) + reached.batches
            self._tell(plan.start_batches(self.images) + done, task, reached.passes)
        saved_at = time.monotonic()
        for number in range(reached.passes, plan.passes):
            first = reached.batches if number == reached.passes else 0

            def after_batch(done: int, loss: float, number: int = number) -> None:
                nonlocal saved_at
                self._tell(1, task, number)
                if time.monotonic() - saved_at >= self.seconds_between_saves:
                    self._save(task, solver, _Reached(number, done))
                    saved_at = time.monotonic()

            solver.run_pass(number, first, after_batch)
            if number + 1 < plan.passes:  # the last pass is saved with what is measured after it
                self._save(task, solver, _Reached(number + 1, 0))
                saved_at = time.monotonic()

    def _of(self, plan: Plan) -> _Kept:
        """What is kept for `plan`; the last task's, where it is of the same images in the same batches."""
        if self._kept is None or self._kept.plan != plan:
            self._kept = None  # frees the last task's before the next are made
            images = self.images.remembering(self.memory) if images_are_remembered(plan, self.images) else self.images
            self._kept = _Kept(plan, plan.store(self.images), images)
        return self._kept

    def _start(self, task: Task, prepared: Prepared, kept: _Kept) -> Start | None:
        """The scores that a task starts from: of its own images' attribution, those given, or none."""
        plan = task.plan
        if plan.start_batch is None:
            return self.start
        if kept.start is None:
            keeping = Keeping(self.checkpoints, task.start_name, self.seconds_between_saves)
            attributor = start_of(plan, prepared, kept.images)
            found = attributor.attributed(keeping, lambda batches: self._report(batches, "attributing"))
            kept.start = Start.of_attribution(found, plan.targets, prepared.sites)
        else:
            self._report(plan.start_batches(self.images), "attributing")
        return kept.start

    def _tell(self, batches: int, task: Task, number: int) -> None:
        self._report(batches, f"pass {min(number + 1, task.plan.passes)} of {task.plan.passes}")

    def _report(self, batches: int, doing: str) -> None:
        if self.report is not None:
            self.report(batches, doing)

    def _save(self, task: Task, solver: Solver, reached: _Reached, measured: np.ndarray | None = None) -> Saved | None:
        """Keep how far a task has come; what the run folder must have of it and this process cannot put there."""
        out_of_reach = self.checkpoints is None and self.sent is not None and self.sent[0]
        if self.checkpoints is None and not (out_of_reach and measured is not None):
            return None
        notes = {
            "passes": reached.passes,
            "batches": reached.batches,
            "of_passes": task.plan.passes,
            "damaged": [[position, reason] for position, reason in sorted(solver.damaged.items())],
        }
        arrays = solver.state() | ({} if measured is None else {"measured": measured})
        if self.checkpoints is None:
            return notes, arrays
        self.checkpoints.save(task.name, notes, arrays)
        return None

    def _loaded(self, task: Task) -> _Found | None:
        saved = self.checkpoints.load(task.name) if self.checkpoints is not None else None
        if saved is None:
            return None
        notes, arrays = saved
        with _of_this_search(task):
            damaged = {int(position): str(reason) for position, reason in notes["damaged"]}
            return _Found(int(notes["passes"]), int(notes["batches"]), arrays, damaged)


@dataclass
class _Kept:
    """What tasks of one plan share: the store of activations, if they are kept, the images, which may be remembered,
    and the scores that an attribution found."""

    plan: Plan
    store: Store | None
    images: LabelledImages
    start: Start | None = None


@dataclass(frozen=True)
class _Reached:
    """Whole passes done, and batches of the next one."""

    passes: int = 0
    batches: int = 0


@dataclass(frozen=True)
class _Found(_Reached):
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    damaged: dict[int, str] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return "measured" in self.arrays


def start_of(plan: Plan, prepared: Prepared, images: LabelledImages) -> Attributor:
    """What finds the scores that `plan` starts from, where it does by attribution."""
    work = Work.planned(prepared, len(plan.targets), plan.start_batch, plan.threads, plan.precision)
    return Attributor(prepared, images, plan.targets, START_QUESTION, work, plan.limit_per_class, plan.seed)


@contextmanager
def _of_this_search(task: Task) -> Iterator[None]:
    """A whole checkpoint that another search wrote is refused: it may be of use to that one."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"what was kept of {task.name} is not of this search ({error}); give another folder") from error


def _outcome(solver: Solver, measured: np.ndarray, unsaved: Saved | None = None) -> Outcome:
    scores = [table.cpu().numpy() for table in solver.scores]
    return Outcome(scores, solver.steps, measured, dict(solver.damaged), unsaved)


def _listed(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())
