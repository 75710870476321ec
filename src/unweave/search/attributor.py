"""Attribution of the images of some rows, batch after batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unweave.data.labelled import LabelledImages
from unweave.errors import RunError
from unweave.estimates import fastest
from unweave.network.precision import check_precision
from unweave.runs.checkpoints import SECONDS_BETWEEN_SAVES, Checkpoints
from unweave.search.attribution_scores import Question, attribution_scores
from unweave.search.plan import fastest_rows_per_batch
from unweave.search.preparation import Prepared
from unweave.search.targets import Target
from unweave.search.threads import torch_threads

_TOTALS_BYTES = 400_000_000
"""What the attributions of one batch may take: rows x images x channels."""


@dataclass(frozen=True)
class Work:
    """How it is done, which decides the last digits of a result: images a batch, rows at a time, threads; and the
    precision of the network's own operations."""

    batch: int
    rows: int
    threads: int
    precision: str = "float32"

    @classmethod
    def planned(
        cls,
        prepared: Prepared,
        rows: int,
        batch: int | None = None,
        threads: int | None = None,
        precision: str = "float32",
    ) -> Work:
        """For so many rows; what is None is what runs fastest, or torch's threads."""
        check_precision(precision, prepared.dtype)
        batch = batch or fastest_rows_per_batch(prepared, 1)
        itemsize = torch.empty(0, dtype=prepared.dtype).itemsize
        at_once = _TOTALS_BYTES // (batch * prepared.sites.channels * itemsize)
        return cls(batch, max(1, min(at_once, rows)), threads or torch.get_num_threads(), precision)


@dataclass(frozen=True)
class Attributed:
    """`means` `Float64[rows, channels of all sites]`: zeros for a row that no image counts for; `counts` `[rows]`:
    images that count; `damaged`: the reason, by position of an image that could not be read."""

    means: Tensor
    counts: np.ndarray
    damaged: dict[int, str]


@dataclass(frozen=True)
class Keeping:
    """Where an attribution is kept to be gone on with: in `checkpoints`, if any, as `name`, every so many seconds and
    at its end."""

    checkpoints: Checkpoints | None = None
    name: str = "attribute"
    seconds_between_saves: float = SECONDS_BETWEEN_SAVES


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

    def attributed(self, keeping: Keeping, after_batch: Callable[[int], None] = lambda batches: None) -> Attributed:
        """The attribution of all images, gone on with where it was left; `after_batch` is told how many batches have
        been done since the last call."""
        reached = self._reached(keeping)
        after_batch(reached.batches)
        saved_at = time.monotonic()
        with torch_threads(self.work.threads):
            for positions in self.batches[reached.batches :]:
                self._add(positions, reached)
                last = reached.batches == len(self.batches)
                if last or time.monotonic() - saved_at >= keeping.seconds_between_saves:
                    reached.save(keeping)
                    saved_at = time.monotonic()
                after_batch(1)
        means = reached.totals.div_(torch.from_numpy(reached.counts.clip(1))[:, None])
        return Attributed(means, reached.counts, reached.damaged)

    def _reached(self, keeping: Keeping) -> _Reached:
        shape = (len(self.targets), self.prepared.sites.channels)
        found = keeping.checkpoints.load(keeping.name) if keeping.checkpoints is not None else None
        if found is None:
            return _Reached(torch.zeros(shape, dtype=torch.float64), np.zeros(shape[0], dtype=np.int64))
        return _reached_before(keeping.name, found, shape)

    def _add(self, positions: np.ndarray, reached: _Reached) -> None:
        """What the images at `positions` give."""
        part = self._of_batch(positions)
        reached.totals.index_add_(0, torch.from_numpy(part.rows), part.totals)
        reached.counts[part.rows] += part.counts
        reached.damaged.update(part.damaged)
        reached.batches += 1

    def _of_batch(self, positions: np.ndarray) -> _Part:
        batch = next(iter(self.images.batches([positions])))
        damaged = {one.position: one.reason for one in batch.damaged}
        shows = self._shows(batch.positions)
        rows = np.flatnonzero(shows.any(1))
        totals = torch.zeros(len(rows), self.prepared.sites.channels, dtype=torch.float64)
        if batch.images is not None:
            images = batch.images.to(self.prepared.device)
            images = images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images
            for start in range(0, len(rows), self.work.rows):
                some = rows[start : start + self.work.rows]
                seen = np.flatnonzero(shows[some].any(0))
                totals[start : start + len(some)] = attribution_scores(
                    self.prepared,
                    images[torch.from_numpy(seen).to(images.device)],
                    [self.targets[row] for row in some],
                    torch.from_numpy(shows[some][:, seen]).to(images.device),
                    self.question,
                    self.work.precision,
                ).to("cpu", torch.float64)
        return _Part(rows, totals, shows[rows].sum(1), damaged)

    def _shows(self, positions: np.ndarray) -> np.ndarray:
        """`Bool[rows, images]`: which images count for which row."""
        labels = self.images.labels[positions]
        return self._counting[:, np.searchsorted(self.images.classes, labels)]

    @cached_property
    def _counting(self) -> np.ndarray:
        """`Bool[rows, classes that have images]`: whose images count for which row; with `against`, those of its
        opponents alone beside its own."""
        classes = np.asarray(self.images.classes)
        rows = []
        for target in self.targets:
            own = np.isin(classes, target.members)
            if self.question.over == "all":
                own = own | np.isin(classes, target.against) if target.against else np.ones(len(classes), dtype=bool)
            rows.append(own)
        return np.stack(rows)


@dataclass(frozen=True)
class _Part:
    """What a batch gave: `totals` `[rows.size, channels]` and `counts` `[rows.size]` of the rows that it concerns."""

    rows: np.ndarray
    totals: Tensor
    counts: np.ndarray
    damaged: dict[int, str]


@dataclass
class _Reached:
    """Sums over the images of the batches that are done."""

    totals: Tensor
    counts: np.ndarray
    batches: int = 0
    damaged: dict[int, str] = field(default_factory=dict)

    def save(self, keeping: Keeping) -> None:
        if keeping.checkpoints is not None:
            notes = {
                "passes": 0,
                "batches": self.batches,
                "damaged": [list(one) for one in sorted(self.damaged.items())],
            }
            keeping.checkpoints.save(keeping.name, notes, {"totals": self.totals.numpy(), "counts": self.counts})


def _reached_before(name: str, saved: tuple[dict[str, Any], dict[str, np.ndarray]], shape: tuple[int, int]) -> _Reached:
    notes, arrays = saved
    try:
        if arrays["totals"].shape != shape or arrays["counts"].shape != shape[:1]:
            raise ValueError(f"attributions of shape {arrays['totals'].shape}, {shape} is needed")
        damaged = {int(position): str(why) for position, why in notes["damaged"]}
        return _Reached(torch.from_numpy(arrays["totals"]), arrays["counts"], int(notes["batches"]), damaged)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"what was kept of {name} is not of this run ({error}); give another folder") from error
