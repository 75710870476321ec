"""A search from its settings to `Paths`: prepared, planned, run by an engine, kept in a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from unweave.data.labelled import LabelledImages
from unweave.engine import Engine, engine_named
from unweave.engine.inline import Inline
from unweave.errors import RunError
from unweave.network.fingerprint import check_fingerprint, fingerprint
from unweave.network.sites import Level, Sites
from unweave.paths import Paths, Rows
from unweave.progress import Advance, progress
from unweave.runs.folder import RunFolder
from unweave.runs.identity import check_images, check_same
from unweave.search.cost import Cost, estimate_cost
from unweave.search.messages import warn_of_damage, warn_of_few_steps, warn_of_rows_without_steps
from unweave.search.plan import Plan, make_plan
from unweave.search.preparation import Prepared, prepare
from unweave.search.settings import Settings
from unweave.search.sweep import sweep_betas, sweep_plan
from unweave.search.tasks import SECONDS_BETWEEN_SAVES, Outcome, Task, Worker
from unweave.search.watching import watched
from unweave.versions import versions

METHOD = "disentangle"
_RECORDED = ("asked", "network", "data", "plan")
"""What a run's record must hold to be gone on with."""


class Search:
    """One search: what `disentangle` does, in steps that can be looked at before they are taken.

    `folder`: where it is kept, if anywhere; a search that was begun there is gone on with. `validation` and `notes` go
    into the manifest.
    """

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
        self.network, self.images, self.sites, self.settings = network, images, sites, settings
        self.validation, self.device, self.logits, self.notes = validation, device, logits, notes or {}
        self.folder, self.engine, self.show_progress = folder, engine or Inline(), show_progress
        self.seconds_between_saves = seconds_between_saves
        self._begun = folder.read_record() if folder is not None else None

    @classmethod
    def with_engine(cls, engine: str, workers: int | None, *arguments: Any, **keywords: Any) -> Search:
        """A search run by the engine called `engine`."""
        return cls(*arguments, engine=engine_named(engine, workers), **keywords)

    @property
    def begun(self) -> bool:
        """Whether the folder holds a search that was begun before."""
        return self._begun is not None

    @property
    def finished(self) -> bool:
        """Whether the folder holds this search's result.

        Raises
        ------
        RunError
            If the folder holds another search.
        """
        self._refuse_another()
        return self.folder is not None and self.folder.finished

    @cached_property
    def prepared(self) -> Prepared:
        """The network made ready."""
        return prepare(self.network, self.images, self.sites, self.device, self.logits)

    @cached_property
    def plan(self) -> Plan:
        """The plan that the run folder's search was begun with, or a new one."""
        if self._begun is not None:
            return self._recorded_plan(self._begun)
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
        )

    def _recorded_plan(self, record: dict[str, Any]) -> Plan:
        try:
            return Plan.from_record(record["plan"])
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            assert self.folder is not None
            raise RunError(f"{self.folder.record_file} is damaged ({error}); give another folder") from error

    @cached_property
    def _network(self) -> dict[str, Any]:
        return fingerprint(self.network)

    @cached_property
    def _data(self) -> dict[str, Any]:
        found = {"search": self.images.fingerprint(self.plan.positions(self.images))}
        if self.validation is not None:
            found["validation"] = self.validation.fingerprint(np.arange(len(self.validation)))
        return found

    def cost(self) -> Cost:
        """What the search will take, from a few batches of it."""
        sweep = sweep_plan(self.plan, self.settings) if self.settings.wants_elbow else None
        objective = self.settings.objective_with(1.0 if self.settings.wants_elbow else self.settings.beta)
        betas = len(set(self.settings.betas))
        return estimate_cost(self.prepared, self.images, self.plan, objective, sweep, betas, self.engine.workers)

    def run(self) -> Paths:
        """Search, or go on with what was begun; a finished run's paths are read."""
        with torch.inference_mode(False), torch.enable_grad():
            if self.folder is None:
                return self._search(None)
            self._refuse_another()
            if self.folder.finished:
                self.folder.remove_shards()  # of a process that was killed after its last write
                return Paths.load(self.folder.paths_file)
            if self.settings.wants_elbow:
                sweep_plan(self.plan, self.settings)  # refuses before anything is written
            record = self._record()
            with self.folder.opened():
                return self._in_folder(self.folder, record)

    def _in_folder(self, folder: RunFolder, record: dict[str, Any]) -> Paths:
        if self._begun is None and (other := folder.read_record()) is not None:
            self._begun = other  # begun by another process since
            self.__dict__.pop("plan", None)
            self._refuse_another()
        if self._begun is None:
            folder.begin(record)
        folder.journal.append("resumed" if self._begun is not None else "begun")
        found = self._search(folder)
        found.save(folder.paths_file)
        folder.finish()
        return found

    def _record(self) -> dict[str, Any]:
        """What tells this search from others, and its plan."""
        return {**self._identity(), **self._machinery(), "plan": self.plan.record()}

    def _identity(self) -> dict[str, Any]:
        """What was asked for, of which network and images."""
        sites = self.sites if isinstance(self.sites, str) else list(self.prepared.sites.names)
        data = {"strict": self.images.strict, "logits": self.logits, "notes": self.notes}
        asked = {**self.settings.record(), "sites": sites, **data}
        return {"asked": asked, "network": self._network, "data": self._data}

    def _machinery(self) -> dict[str, Any]:
        """What else bytes depend on while a search goes on."""
        return {"device": self.prepared.device.type, "versions": versions()}

    def _refuse_another(self) -> None:
        """Refuse a folder that was begun with another network, other images or other settings."""
        if self._begun is None or self.folder is None:
            return
        record, where = self._begun, self.folder.root
        missing = [part for part in _RECORDED if not isinstance(record.get(part), dict)]
        if missing:
            raise RunError(f"{self.folder.record_file} is damaged (no {missing[0]}); give another folder")
        # First, because another method's plan cannot be read as one of this.
        check_same(where, {"method": record["asked"].get("method", METHOD)}, {"method": METHOD})
        given = self._identity()
        check_same(where, record["asked"], given["asked"])
        check_fingerprint(given["network"], record["network"], f"the run in {where} was begun with")
        for part in sorted({*record["data"], *given["data"]}):
            check_images(where, part, record["data"].get(part), given["data"].get(part))
        if not self.folder.finished:  # a finished one is read, without a look at the network
            machinery = self._machinery()
            check_same(where, {name: record.get(name) for name in machinery}, machinery)

    def _search(self, folder: RunFolder | None) -> Paths:
        worker = Worker(
            self.network,
            self.images,
            self.prepared.sites,
            self.device,
            self.logits,
            folder.checkpoints if folder is not None else None,
            seconds_between_saves=self.seconds_between_saves,
            prepared=self.prepared,
        )
        manifest: dict[str, Any] = {"method": METHOD, "network": self._network}
        beta = self.settings.beta
        if self.settings.wants_elbow:
            sweep = sweep_betas(self.plan, self.settings, lambda tasks, title: self._run(worker, tasks, title))
            manifest["elbow"] = asdict(sweep)
            beta = sweep.chosen
        objective = self.settings.objective_with(beta)
        tasks = [Task(f"search-{i:04d}", objective, shard) for i, shard in enumerate(self.plan.shards())]
        outcomes = self._run(worker, tasks, "disentangling")
        steps = np.concatenate([outcome.steps for outcome in outcomes])
        damaged = {position: why for outcome in outcomes for position, why in outcome.damaged.items()}
        self._warn(steps, damaged)
        manifest |= {
            "objective": objective.settings(),
            "settings": {**self.plan.settings(), "device": self.prepared.device.type},
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

    def _run(self, worker: Worker, tasks: Sequence[Task], title: str) -> list[Outcome]:
        total = sum(task.plan.passes * task.plan.batches_per_pass(self.images) for task in tasks)
        with progress(title, total, self.show_progress) as advance:
            follow = self._followed(tasks, advance) if self.engine.remote else nullcontext()
            worker.report = None if self.engine.remote else advance
            with follow:
                return list(self.engine.run(worker, tasks))

    def _followed(self, tasks: Sequence[Task], advance: Advance) -> Any:
        batches = {task.name: task.plan.batches_per_pass(self.images) for task in tasks}
        journal: Path | None = self.folder.journal.file if self.folder is not None else None
        return watched(journal, batches, advance)

    def _warn(self, steps: np.ndarray, damaged: dict[int, str]) -> None:
        names = [target.name or self.images.name_of(target.members[0]) for target in self.plan.targets]
        warn_of_damage(damaged, len(self.plan.positions(self.images)))
        warn_of_rows_without_steps(names, steps)
        warn_of_few_steps(self.plan, steps, self.prepared.sites)

    def _to_paths(self, outcomes: Sequence[Outcome], manifest: dict[str, Any]) -> Paths:
        targets = self.plan.targets
        names = [target.name or self.images.name_of(target.members[0]) for target in targets]
        rows = Rows.of_groups([t.members for t in targets], [t.against for t in targets], names)
        tables = {
            site.name: torch.from_numpy(np.concatenate([outcome.scores[position] for outcome in outcomes]))
            for position, site in enumerate(self.prepared.sites)
        }
        return Paths({name: score > 0 for name, score in tables.items()}, rows, self.prepared.sites, manifest, tables)
