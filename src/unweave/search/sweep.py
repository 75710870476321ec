"""The elbow's searches: every beta on a few classes, then betas between the best and its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from unweave.errors import DataError, SettingError
from unweave.search.elbow import REFINEMENTS, Sweep, between, sweep_classes
from unweave.search.plan import Plan
from unweave.search.settings import Settings
from unweave.search.tasks import Outcome, Task

Run = Callable[[Sequence[Task], str], list[Outcome]]
"""Runs tasks under a title."""


def sweep_plan(plan: Plan, settings: Settings) -> Plan:
    """The plan of every beta's search: the first rows, fewer images.

    Raises
    ------
    SettingError
        With fewer than three rows.
    """
    if len(plan.targets) < 3:
        raise SettingError(f"the elbow needs at least three classes, found {len(plan.targets)}; give beta a number")
    limit = min(settings.elbow_limit_per_class, plan.limit_per_class or settings.elbow_limit_per_class)
    chosen = tuple(plan.targets[row] for row in sweep_classes(range(len(plan.targets))))
    together = min(plan.rows_per_batch, len(chosen))
    return replace(plan, targets=chosen, limit_per_class=limit, rows_per_batch=together)


def sweep_betas(plan: Plan, settings: Settings, run: Run) -> Sweep:
    """Search with every beta and read off the elbow (ICCV Appendix B)."""
    small = sweep_plan(plan, settings)
    keys = tuple(target.key for target in small.targets)
    measured: dict[float, tuple[float, float]] = {}
    _measure([float(beta) for beta in dict.fromkeys(settings.betas)], settings, small, run, measured)
    sweep = Sweep.read(measured, keys)
    for _ in range(REFINEMENTS):
        _measure(between(sweep.betas, sweep.betas.index(sweep.chosen)), settings, small, run, measured)
        sweep = Sweep.read(measured, keys)
    return sweep


def _measure(
    betas: Sequence[float], settings: Settings, small: Plan, run: Run, measured: dict[float, tuple[float, float]]
) -> None:
    tasks = [
        Task(f"elbow-{beta!r}-{index:04d}", settings.objective_with(beta), shard, measured=True)
        for beta in betas
        for index, shard in enumerate(small.shards())
    ]
    outcomes = run(tasks, "elbow")
    shards = len(small.shards())
    for position, beta in enumerate(betas):
        rows = np.concatenate([one.measured for one in outcomes[position * shards : (position + 1) * shards]])
        if not len(rows):
            raise DataError("the network classifies no image of the elbow's classes correctly; give beta a number")
        error, size = rows.mean(0)
        measured[beta] = float(error), float(size)
