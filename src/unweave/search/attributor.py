"""Attribution of the images of some rows, batch after batch, each kept as it is done."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unweave.data.labelled import LabelledImages
from unweave.errors import RunError
from unweave.estimates import fastest
from unweave.progress import progress
from unweave.runs.checkpoints import Checkpoints
from unweave.search.attribution_scores import Question, attribution_scores
from unweave.search.plan import fastest_rows_per_batch
from unweave.search.preparation import Prepared
from unweave.search.targets import Target
from unweave.search.threads import torch_threads

_TOTALS_BYTES = 400_000_000
"""What the attributions of one batch may take: rows x images x channels."""


@dataclass(frozen=True)
class Work:
    """What the bytes of a result depend on besides what was asked for: images a batch, rows at a time, threads."""

    batch: int
    rows: int
    threads: int

    @classmethod
    def planned(cls, prepared: Prepared, rows: int, batch: int | None = None, threads: int | None = None) -> Work:
        """For so many rows; what is None is what runs fastest, or torch's threads."""
        batch = batch or fastest_rows_per_batch(prepared, 1)
        itemsize = torch.empty(0, dtype=prepared.dtype).itemsize
        at_once = _TOTALS_BYTES // (batch * prepared.sites.channels * itemsize)
        return cls(batch, max(1, min(at_once, rows)), threads or torch.get_num_threads())


@dataclass(frozen=True)
class Attributed:
    """`means` `Float64[rows, channels of all sites]`: zeros for a row that no image counts for; `counts` `[rows]`:
    images that count; `damaged`: the reason, by position of an image that could not be read."""

    means: Tensor
    counts: np.ndarray
    damaged: dict[int, str]


class Attributor:
    """Scores the channels of all sites for `targets` by `question`, as `work` says; at most `limit_per_class` images a
    class, drawn by (seed, class)."""

    def __init__(
        self,
        prepared: Prepared,
        images: LabelledImages,
        targets: Sequence[Target],
        question: Question,
        work: Work,
        limit_per_class: int | None,
        seed: int,
    ) -> None:
        self.prepared, self.images, self.targets = prepared, images, targets
        self.question, self.work = question, work
        self.limit_per_class, self.seed = limit_per_class, seed

    @cached_property
    def positions(self) -> np.ndarray:
        """Of the images that count for any row, ascending."""
        own = sorted({c for target in self.targets for c in target.members})
        shown = own if self.question.over == "own" else self.images.classes
        return np.sort(np.concatenate([self.images.of_class(c, self.limit_per_class, self.seed) for c in shown]))

    @cached_property
    def batches(self) -> list[np.ndarray]:
        """Positions of the images of each batch: in order, so that a batch holds images of few classes."""
        size = self.work.batch
        return [self.positions[start : start + size] for start in range(0, len(self.positions), size)]

    @property
    def seconds(self) -> float:
        """Expected, from two goes at one of the batches, the first of which warms up."""
        sample, timed = self.batches[len(self.batches) // 2], []
        with torch.inference_mode(False), torch.enable_grad(), torch_threads(self.work.threads):
            for _ in range(2):
                started = time.perf_counter()
                self._of_batch(sample)
                timed.append(time.perf_counter() - started)
        return fastest(timed) * len(self.positions) / len(sample)

    def attributed(self, saved: Checkpoints | None, show_progress: bool | None) -> Attributed:
        """The attribution of all images. Batches that `saved` has are not done again."""
        totals = torch.zeros(len(self.targets), self.prepared.sites.channels, dtype=torch.float64)
        counts, damaged = np.zeros(len(self.targets), dtype=np.int64), {}
        for arrays, broken in self._parts(saved, show_progress):
            totals += torch.from_numpy(arrays["totals"])
            counts += arrays["counts"]
            damaged.update(broken)
        return Attributed(totals / torch.from_numpy(counts.clip(1))[:, None], counts, damaged)

    def _parts(
        self, saved: Checkpoints | None, show_progress: bool | None
    ) -> Iterator[tuple[dict[str, np.ndarray], dict[int, str]]]:
        """What each batch gave, in order."""
        with (
            progress("attributing", len(self.positions), show_progress) as advance,
            torch_threads(self.work.threads),
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
            for start in range(0, len(wanted), self.work.rows):
                rows = wanted[start : start + self.work.rows]
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
