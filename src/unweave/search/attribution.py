"""Attribution from its settings to `Paths`, kept in a run folder every few minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import torch
from torch import nn

from unweave.data.labelled import LabelledImages
from unweave.errors import DataError, PathsError, SettingError
from unweave.network.sites import Level, Sites
from unweave.paths import Paths, Rows
from unweave.progress import progress
from unweave.runs.checkpoints import SECONDS_BETWEEN_SAVES
from unweave.runs.folder import RunFolder
from unweave.search.attribution_cost import AttributionCost
from unweave.search.attribution_scores import Question
from unweave.search.attributor import Attributed, Attributor, Keeping, Work
from unweave.search.messages import warn_of_damage
from unweave.search.routing_gates import by_site
from unweave.search.run import Run
from unweave.search.selection import Keep, checked_choice, chosen_channels
from unweave.search.targets import Against, Group, Target, make_targets
from unweave.versions import versions
from unweave.whole_numbers import whole_number


class Attribution(Run[Work]):
    """What `attribute` does."""

    method = "attribute"
    planned = ("plan", "targets", "attributor")

    def __init__(
        self,
        network: nn.Module,
        images: LabelledImages,
        sites: Sites | Level,
        question: Question,
        *,
        keep: Keep = 0.5,
        threshold: float | None = None,
        classes: Sequence[int] | None = None,
        groups: Mapping[str, Group] | None = None,
        against: Against | None = None,
        limit_per_class: int | None = None,
        seed: int = 0,
        batch: int | None = None,
        precision: str = "float32",
        device: str | torch.device | None = None,
        logits: str | int | None = None,
        folder: RunFolder | None = None,
        notes: dict[str, Any] | None = None,
        show_progress: bool | None = None,
        seconds_between_saves: float = SECONDS_BETWEEN_SAVES,
    ) -> None:
        checked_choice(keep, threshold)
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
            raise SettingError(f"batch must be a whole number of at least 1, found {batch!r}")
        if limit_per_class is not None:
            limit_per_class = whole_number("limit_per_class", limit_per_class, 1)
        seed = whole_number("seed", seed, 0)
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
        self.question, self.keep, self.threshold, self.batch = question, keep, threshold, batch
        self.precision = precision
        self.classes, self.groups, self.against = classes, groups, against
        self.limit_per_class, self.seed = limit_per_class, seed
        self.seconds_between_saves = seconds_between_saves

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """The rows."""
        outputs = self.prepared.captured.classes
        return make_targets(self.images, outputs, self.classes, self.groups, self.against)

    @cached_property
    def attributor(self) -> Attributor:
        """What does the work."""
        return Attributor(
            self.prepared, self.images, self.targets, self.question, self.plan, self.limit_per_class, self.seed
        )

    def _new_plan(self) -> Work:
        return Work.planned(self.prepared, len(self.targets), self.batch, precision=self.precision)

    def _recorded_plan(self, recorded: Any) -> Work:
        counts = {name: int(value) for name, value in recorded.items() if name != "precision"}
        return Work(**counts, precision=str(recorded.get("precision", "float32")))

    def _plan_record(self) -> dict[str, Any]:
        self._check_sizes()
        return asdict(self.plan)

    def _asked(self) -> dict[str, Any]:
        sizes = self.keep
        if isinstance(sizes, Paths):
            sizes = {name: mask.sum(1).tolist() for name, mask in sizes.masks.items()}  # type: ignore[assignment]
        rows = [{"members": list(t.members), "against": list(t.against), "name": t.name} for t in self.targets]
        return {
            **self.question.record(),
            "method": self.method,
            "keep": sizes,
            "threshold": self.threshold,
            "rows": rows,
            "limit_per_class": self.limit_per_class,
            "precision": self.precision,
            "seed": self.seed,
        }

    def _fingerprints(self) -> dict[str, Any]:
        return {"search": self.images.fingerprint(self.attributor.positions)}

    def cost(self) -> AttributionCost:
        """What it will take, from a batch of it."""
        self._check_sizes()
        work, rows, channels = self.attributor, len(self.targets), self.prepared.sites.channels
        return AttributionCost(
            images=len(work.positions),
            rows=rows,
            steps=self.question.steps,
            seconds=work.seconds,
            disk=rows * channels * (8 + 4),
        )

    def _find(self, folder: RunFolder | None) -> Paths:
        self._check_sizes()
        keeping = Keeping(
            folder.checkpoints if folder is not None else None, seconds_between_saves=self.seconds_between_saves
        )
        with progress("attributing", len(self.attributor.batches), self.show_progress) as advance:
            found = self.attributor.attributed(keeping, advance)
        if (found.counts == 0).any():
            raise DataError("a row has no image that can be read; leave its class out: classes=")
        warn_of_damage(found.damaged, len(self.attributor.positions))
        return self._to_paths(found)

    def _check_sizes(self) -> None:
        if not isinstance(self.keep, Paths):
            return
        members = tuple(target.members for target in self.targets)
        if tuple(self.keep.sites) != tuple(self.prepared.sites) or self.keep.rows.members != members:
            raise PathsError("keep has other sites or rows than are asked for; give paths of the same, or a share")

    def _to_paths(self, found: Attributed) -> Paths:
        sites = self.prepared.sites
        names = [target.name or self.images.name_of(target.members[0]) for target in self.targets]
        rows = Rows.of_groups([t.members for t in self.targets], [t.against for t in self.targets], names)
        tables = [table.clone() for table in by_site(found.means.to(self.prepared.dtype), sites)]
        scores = dict(zip(sites.names, tables, strict=True))
        manifest = {
            "method": self.method,
            "network": self._network,
            "settings": {**self._asked(), "device": self.prepared.device.type},
            "plan": asdict(self.plan),
            "seed": self.seed,
            "images_per_row": found.counts.tolist(),
            "damaged_images": len(found.damaged),
            "data": self._data,
            "versions": versions(),
            **self.notes,
        }
        return Paths(chosen_channels(scores, self.keep, self.threshold), rows, sites, manifest, scores)
