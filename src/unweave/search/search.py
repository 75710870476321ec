"""A search from its settings to `Paths`: prepared, planned, run by an engine, kept in a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from unweave.data.labelled import LabelledImages
from unweave.engine import Engine, Needs, OutOfMemory, engine_named
from unweave.engine.inline import Inline
from unweave.errors import EngineError
from unweave.network.sites import Level, Sites
from unweave.paths import Paths, Rows
from unweave.runs.checkpoints import SECONDS_BETWEEN_SAVES
from unweave.runs.folder import RunFolder
from unweave.search.cost import Cost, estimate_cost
from unweave.search.messages import warn_of_damage, warn_of_few_steps, warn_of_rows_without_steps
from unweave.search.objectives.base import Objective
from unweave.search.plan import Plan, make_plan
from unweave.search.reference import available_memory
from unweave.search.run import Run
from unweave.search.running import Running
from unweave.search.settings import Settings
from unweave.search.start import START_QUESTION, Start
from unweave.search.sweep import sweep_betas, sweep_plan
from unweave.search.tasks import Outcome, Task, Worker, start_of
from unweave.versions import versions


class Search(Run[Plan]):
    """One search: what `disentangle` does. `validation` goes into the manifest."""

    method = "disentangle"

    def __init__(
        self,
        network: nn.Module,
        images: LabelledImages,
        sites: Sites | Level,
        settings: Settings,
        *,
        validation: LabelledImages | None = None,
        device: str | torch.device | None = None,
        logits: str | int | None = None,
        folder: RunFolder | None = None,
        engine: Engine | None = None,
        notes: dict[str, Any] | None = None,
        show_progress: bool | None = None,
        seconds_between_saves: float = SECONDS_BETWEEN_SAVES,
    ) -> None:
        super().__init__(
            network,
            images,
            sites,
            device=device,
            logits=logits,
            folder=folder,
            notes=notes,
            show_progress=show_progress,
        )
        self.settings, self.validation, self.engine = settings, validation, engine or Inline()
        self.seconds_between_saves = seconds_between_saves

    @classmethod
    def with_engine(
        cls, engine: str, workers: int | None, *arguments: Any, address: str | None = None, **keywords: Any
    ) -> Search:
        """A search run by the engine called `engine`."""
        return cls(*arguments, engine=engine_named(engine, workers, address), **keywords)

    def _new_plan(self) -> Plan:
        chosen = self.settings
        return make_plan(
            self.prepared,
            self.images,
            chosen.classes,
            groups=chosen.groups,
            against=chosen.against,
            seed=chosen.seed,
            passes=chosen.passes,
            rate=chosen.rate,
            batch=chosen.batch,
            augment=chosen.augment,
            precision=chosen.precision,
            limit_per_class=chosen.limit_per_class,
            rows_per_batch=chosen.rows_per_batch,
            classes_per_shard=chosen.classes_per_shard,
            keep_activations=chosen.keep_activations,
            threads=chosen.threads,
            workers=self.engine.workers,
            others=chosen.kind.shows_others,
            attributed=chosen.start == "attribution",
            reads_activations=chosen.kind.reads_activations,
            keep=chosen.keep,
        )

    def _recorded_plan(self, recorded: Any) -> Plan:
        return Plan.from_record(recorded)

    def _plan_record(self) -> dict[str, Any]:
        if (start := self.settings.given_start) is not None:
            for site in self.prepared.sites:
                start.of_targets(self.plan.targets, site)  # refuses paths that do not fit
        if self.settings.wants_elbow:
            sweep_plan(self.plan, self.settings)  # refuses what cannot be swept
        return self.plan.record()

    def _asked(self) -> dict[str, Any]:
        return {**self.settings.record(), "strict": self.images.strict}

    def _fingerprints(self) -> dict[str, Any]:
        found = {"search": self.images.fingerprint(self.plan.positions(self.images))}
        if self.validation is not None:
            found["validation"] = self.validation.fingerprint(np.arange(len(self.validation)))
        return found

    def cost(self) -> Cost:
        """What the search will take, from a few batches of it."""
        sweep = sweep_plan(self.plan, self.settings) if self.settings.wants_elbow else None
        objective = self.settings.objective_with(1.0 if self.settings.wants_elbow else self.settings.beta)
        betas = len(set(self.settings.betas))
        cost = estimate_cost(self.prepared, self.images, self.plan, objective, sweep, betas, self.engine.workers)
        if self.plan.start_batch is None:
            return cost
        at_once = min(self.engine.workers, len(self.plan.shards()))
        return replace(cost, seconds=cost.seconds + start_of(self.plan, self.prepared, self.images).seconds / at_once)

    def _start(self) -> tuple[Start | None, dict[str, Any]]:
        """The scores to start from, None where a task finds them; and how they come about, for the manifest."""
        if (given := self.settings.given_start) is not None:
            assert isinstance(self.settings.start, Paths)
            made_by = self.settings.start.manifest.get("method", "unknown method")
            return given, {"method": made_by, "fingerprint": given.fingerprint()}
        if self.settings.keep is not None:
            return None, {"method": "open"}
        if self.plan.start_batch is not None:
            return None, {"method": "attribution", **START_QUESTION.record()}
        mean, deviation = self.settings.kind.start
        return None, {"method": "random", "mean": mean, "deviation": deviation}

    def _find(self, folder: RunFolder | None) -> Paths:
        start, started_from = self._start()
        worker = Worker(
            self.network,
            self.images,
            self.prepared.sites,
            self._workers_device,
            self.logits,
            folder.checkpoints if folder is not None else None,
            seconds_between_saves=self.seconds_between_saves,
            prepared=self.prepared,
            start=start,
            memory=available_memory(torch.device("cpu")) // self.engine.workers,
        )
        manifest: dict[str, Any] = {"method": self.method, "network": self._network}
        beta = self.settings.beta
        with self.engine.opened(self._needs):
            if self.settings.wants_elbow:
                sweep = sweep_betas(self.plan, self.settings, lambda tasks, title: self._run(worker, tasks, title))
                manifest["elbow"] = asdict(sweep)
                beta = sweep.chosen
            objective = self.settings.objective_with(beta)
            tasks = [Task(f"search-{i:04d}", objective, shard) for i, shard in enumerate(self.plan.shards())]
            outcomes = self._run(worker, tasks, "disentangling")
        steps = np.concatenate([outcome.steps for outcome in outcomes])
        damaged = {position: why for outcome in outcomes for position, why in outcome.damaged.items()}
        self._warn(steps, damaged, objective)
        manifest |= {
            "objective": objective.settings(),
            "settings": {**self.plan.settings(), "device": self.prepared.device.type},
            "start": started_from,
            "seed": self.plan.seed,
            "steps": steps.tolist(),
            "classes_without_steps": [c for row in np.flatnonzero(steps == 0) for c in self.plan.targets[row].members],
            "damaged_images": len(damaged),
            "data": self._data,
            "versions": versions(),
            "threads": self.plan.threads or torch.get_num_threads(),
            **self.notes,
        }
        return self._to_paths(outcomes, manifest)

    @property
    def _needs(self) -> Needs:
        """What a task takes of a machine."""
        return Needs(self.plan.threads or torch.get_num_threads(), int(self.prepared.device.type == "cuda"))

    @property
    def _workers_device(self) -> str | torch.device | None:
        """Where workers search: `cuda:1` here may be another GPU there, or none."""
        return "cuda" if self.engine.gives_gpus and self._needs.gpus else self.device

    def _run(self, worker: Worker, tasks: Sequence[Task], title: str) -> list[Outcome]:
        """What the tasks find. Those that run out of memory are tried again, once, with smaller batches."""
        run = Running(self.engine, worker, self.images, self.folder, self.show_progress)
        found: dict[str, Outcome] = {}
        while waiting := [task for task in tasks if task.name not in found]:
            planned = [replace(task, plan=self.plan.of_task(task.name, task.plan)) for task in waiting]
            results = run(planned, title)
            found |= {t.name: one for t, one in zip(planned, results, strict=True) if isinstance(one, Outcome)}
            short = [(t, one) for t, one in zip(planned, results, strict=True) if isinstance(one, OutOfMemory)]
            if short:
                self._make_smaller(short)
                title = f"{title} with smaller batches"
        return [found[task.name] for task in tasks]

    def _make_smaller(self, short: Sequence[tuple[Task, OutOfMemory]]) -> None:
        """Halve the rows a batch of tasks that ran out of memory, and keep that in the plan before they begin anew.

        Raises
        ------
        EngineError
            If a task was made smaller before, or cannot be.
        """
        smaller = dict(self.plan.smaller)
        for task, lack in short:
            rows = task.plan.rows_per_batch
            least = rows == 1 and task.plan.start_batch in (None, 1) and not task.plan.kept
            if task.name in smaller or least:
                tried = "" if task.name not in smaller else ", which were half of what was tried before"
                raise EngineError(
                    f"{task.name} ran out of memory with {rows} rows a batch of {task.plan.batch} images{tried} "
                    f"({lack.reason}); what was finished is kept in the run folder, if there is one: repeat with fewer "
                    "workers or on a machine with more memory, or begin another with a smaller batch"
                )
            smaller[task.name] = max(1, rows // 2)
        if self.folder is not None:  # first, because what is there was made in batches of another size
            for task, _ in short:
                self.folder.checkpoints.remove(task.name)
                self.folder.checkpoints.remove(task.start_name)
        self.plan = replace(self.plan, smaller=smaller)
        self._keep_plan()
        if self.folder is not None:
            for task, _ in short:
                self.folder.journal.append("smaller", task=task.name, rows_per_batch=smaller[task.name])

    def _warn(self, steps: np.ndarray, damaged: dict[int, str], objective: Objective) -> None:
        names = [target.name or self.images.name_of(target.members[0]) for target in self.plan.targets]
        warn_of_damage(damaged, len(self.plan.positions(self.images)))
        warn_of_rows_without_steps(names, steps)
        if self.plan.keep is None:
            random = self.settings.start == "random"
            warn_of_few_steps(self.plan, steps, self.prepared.sites, objective, random=random)

    def _to_paths(self, outcomes: Sequence[Outcome], manifest: dict[str, Any]) -> Paths:
        targets = self.plan.targets
        names = [target.name or self.images.name_of(target.members[0]) for target in targets]
        rows = Rows.of_groups([t.members for t in targets], [t.against for t in targets], names)
        tables = {
            site.name: torch.from_numpy(np.concatenate([outcome.scores[position] for outcome in outcomes]))
            for position, site in enumerate(self.prepared.sites)
        }
        return Paths({name: score > 0 for name, score in tables.items()}, rows, self.prepared.sites, manifest, tables)
