"""Attribution from its settings to `Paths`: batch after batch, each kept in a run folder as it is done."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unweave.data.labelled import LabelledImages
from unweave.errors import DataError, PathsError, RunError, SettingError
from unweave.estimates import fastest
from unweave.network.sites import Level, Sites
from unweave.paths import Paths, Rows
from unweave.progress import progress
from unweave.runs.folder import RunFolder
from unweave.search.attribution_cost import AttributionCost
from unweave.search.attribution_scores import Question, attribution_scores
from unweave.search.messages import warn_of_damage
from unweave.search.plan import fastest_rows_per_batch
from unweave.search.routing_gates import by_site
from unweave.search.run import Run
from unweave.search.selection import Keep, checked_choice, chosen_channels
from unweave.search.targets import Against, Group, Target, make_targets
from unweave.search.tasks import torch_threads
from unweave.versions import versions

_TOTALS_BYTES = 400_000_000
"""What the attributions of one batch may take: rows x images x channels."""


@dataclass(frozen=True)
class Work:
    """What the bytes of a result depend on besides what was asked for: images a batch, rows at a time, threads."""

    batch: int
    rows: int
    threads: int


class Attribution(Run[Work]):
    """What `attribute` does."""

    method = "attribute"
    planned = ("plan", "targets", "batches")

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
        device: str | torch.device | None = None,
        logits: str | int | None = None,
        folder: RunFolder | None = None,
        notes: dict[str, Any] | None = None,
        show_progress: bool | None = None,
    ) -> None:
        checked_choice(keep, threshold)
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
            raise SettingError(f"batch must be a whole number of at least 1, found {batch!r}")
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
        self.classes, self.groups, self.against = classes, groups, against
        self.limit_per_class, self.seed = limit_per_class, seed

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """The rows."""
        outputs = self.prepared.captured.classes
        return make_targets(self.images, outputs, self.classes, self.groups, self.against)

    @cached_property
    def batches(self) -> list[np.ndarray]:
        """Positions of the images of each batch: in order, so that a batch holds images of few classes."""
        size = self.plan.batch
        return [self._positions[start : start + size] for start in range(0, len(self._positions), size)]

    @cached_property
    def _positions(self) -> np.ndarray:
        own = sorted({c for target in self.targets for c in target.members})
        shown = own if self.question.over == "own" else self.images.classes
        return np.sort(np.concatenate([self.images.of_class(c, self.limit_per_class, self.seed) for c in shown]))

    def _new_plan(self) -> Work:
        batch = self.batch or fastest_rows_per_batch(self.prepared, 1)
        itemsize = torch.empty(0, dtype=self.prepared.dtype).itemsize
        rows = _TOTALS_BYTES // (batch * self.prepared.sites.channels * itemsize)
        return Work(batch, max(1, min(rows, len(self.targets))), torch.get_num_threads())

    def _recorded_plan(self, recorded: Any) -> Work:
        return Work(**{name: int(value) for name, value in recorded.items()})

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
            "seed": self.seed,
        }

    def _fingerprints(self) -> dict[str, Any]:
        return {"search": self.images.fingerprint(self._positions)}

    def cost(self) -> AttributionCost:
        """What it will take, from two goes at one of its batches, the first of which warms up."""
        self._check_sizes()
        sample, timed = self.batches[len(self.batches) // 2], []
        with torch.inference_mode(False), torch.enable_grad(), torch_threads(self.plan.threads):
            for _ in range(2):
                started = time.perf_counter()
                self._of_batch(sample)
                timed.append(time.perf_counter() - started)
        images, rows, channels = len(self._positions), len(self.targets), self.prepared.sites.channels
        return AttributionCost(
            images=images,
            rows=rows,
            steps=self.question.steps,
            seconds=fastest(timed) * images / len(sample),
            disk=rows * channels * (8 * len(self.batches) + 4),
        )

    def _find(self, folder: RunFolder | None) -> Paths:
        self._check_sizes()
        totals = torch.zeros(len(self.targets), self.prepared.sites.channels, dtype=torch.float64)
        counts, damaged = np.zeros(len(self.targets), dtype=np.int64), {}
        for arrays, broken in self._parts(folder):
            totals += torch.from_numpy(arrays["totals"])
            counts += arrays["counts"]
            damaged.update(broken)
        if (counts == 0).any():
            raise DataError("a row has no image that can be read; leave its class out: classes=")
        warn_of_damage(damaged, len(self._positions))
        return self._to_paths(totals / torch.from_numpy(counts)[:, None], counts, damaged)

    def _check_sizes(self) -> None:
        if not isinstance(self.keep, Paths):
            return
        members = tuple(target.members for target in self.targets)
        if tuple(self.keep.sites) != tuple(self.prepared.sites) or self.keep.rows.members != members:
            raise PathsError("keep has other sites or rows than are asked for; give paths of the same, or a share")

    def _parts(self, folder: RunFolder | None) -> Iterator[tuple[dict[str, np.ndarray], dict[int, str]]]:
        """What each batch gave, in order; those that `folder` has are not done again."""
        saved = folder.checkpoints if folder is not None else None
        with (
            progress("attributing", len(self._positions), self.show_progress) as advance,
            torch_threads(self.plan.threads),
        ):
            for number, positions in enumerate(self.batches):
                name = f"attribute-{number:06d}"
                found = saved.load(name) if saved is not None else None
                if found is None:
                    arrays, broken = self._of_batch(positions)
                    if saved is not None:
                        saved.save(name, {"damaged": sorted(broken.items())}, arrays)
                    part = arrays, broken
                else:
                    part = _part_of(name, found, (len(self.targets), self.prepared.sites.channels))
                advance(len(positions))
                yield part

    def _of_batch(self, positions: np.ndarray) -> tuple[dict[str, np.ndarray], dict[int, str]]:
        batch = next(iter(self.images.batches([positions])))
        totals = torch.zeros(len(self.targets), self.prepared.sites.channels, dtype=torch.float64)
        shows = self._shows(batch.positions)
        if batch.images is not None:
            images = batch.images.to(self.prepared.device)
            images = images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images
            wanted = np.flatnonzero(shows.any(1))
            for start in range(0, len(wanted), self.plan.rows):
                rows = wanted[start : start + self.plan.rows]
                seen = np.flatnonzero(shows[rows].any(0))
                totals[torch.from_numpy(rows)] = attribution_scores(
                    self.prepared,
                    images[torch.from_numpy(seen).to(images.device)],
                    [self.targets[row] for row in rows],
                    torch.from_numpy(shows[rows][:, seen]).to(images.device),
                    self.question,
                ).to("cpu", torch.float64)
        damaged = {one.position: one.reason for one in batch.damaged}
        return {"totals": totals.numpy(), "counts": shows.sum(1)}, damaged

    def _shows(self, positions: np.ndarray) -> np.ndarray:
        """`Bool[rows, images]`: which images count for which row; with `against`, those of its opponents alone beside
        its own."""
        labels = self.images.labels[positions]
        rows = []
        for target in self.targets:
            own = np.isin(labels, target.members)
            if self.question.over == "all":
                own = own | np.isin(labels, target.against) if target.against else np.ones(len(labels), dtype=bool)
            rows.append(own)
        return np.stack(rows)

    def _to_paths(self, means: Tensor, counts: np.ndarray, damaged: Mapping[int, str]) -> Paths:
        sites = self.prepared.sites
        names = [target.name or self.images.name_of(target.members[0]) for target in self.targets]
        rows = Rows.of_groups([t.members for t in self.targets], [t.against for t in self.targets], names)
        tables = [table.clone() for table in by_site(means.to(self.prepared.dtype), sites)]
        scores = dict(zip(sites.names, tables, strict=True))
        manifest = {
            "method": self.method,
            "network": self._network,
            "settings": {**self._asked(), **asdict(self.plan), "device": self.prepared.device.type},
            "images_per_row": counts.tolist(),
            "damaged_images": len(damaged),
            "data": self._data,
            "versions": versions(),
            **self.notes,
        }
        return Paths(chosen_channels(scores, self.keep, self.threshold), rows, sites, manifest, scores)


def _part_of(
    name: str, saved: tuple[dict[str, Any], dict[str, np.ndarray]], shape: tuple[int, int]
) -> tuple[dict[str, np.ndarray], dict[int, str]]:
    notes, arrays = saved
    try:
        if arrays["totals"].shape != shape or arrays["counts"].shape != shape[:1]:
            raise ValueError(f"attributions of shape {arrays['totals'].shape}, {shape} is needed")
        return arrays, {int(position): str(why) for position, why in notes["damaged"]}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"what was kept of {name} is not of this run ({error}); give another folder") from error
