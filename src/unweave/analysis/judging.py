"""Asking rows about images, their own and others', through given masks: what specificity and the controls share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from unweave.analysis.class_rows import ClassRow, no_images
from unweave.analysis.predictions import Predictor, image_batches
from unweave.data.labelled import LabelledImages
from unweave.network.sites import Site
from unweave.network.tapping import Multiplier, Recorder, along_channels, positions_of
from unweave.paths import Paths
from unweave.progress import progress
from unweave.randomness import generator
from unweave.whole_numbers import whole_number

Filling = Literal["zero", "mean", "resample"]
FILLINGS: tuple[Filling, ...] = ("zero", "mean", "resample")
"""What a channel that a mask drops holds instead: nothing, its mean over images, or what it holds for another image."""

_WHOLE = -1
_MEAN_OF = 512
_MOST_BYTES = 2**28


@dataclass(frozen=True)
class Variant:
    """Masks to ask through, and what dropped channels hold."""

    paths: Paths
    filling: Filling = "zero"


@dataclass(frozen=True, eq=False)
class Questions:
    """Which images each row is asked about: `own[row]` and `others[row]` are positions; `asked` `[rows, images]` is 1
    for a row's own, 2 for others, 0 for the rest."""

    rows: Sequence[ClassRow]
    own: list[np.ndarray]
    others: list[np.ndarray]
    asked: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[ClassRow], images: LabelledImages, others: int | None, seed: int) -> Questions:
        """All own images of every row, and at most `others` of other classes, drawn by (seed, classes of the row).

        Raises
        ------
        SettingError
            If `others` or `seed` is not a whole number from 0.
        DataError
            If no row has images of its own.
        """
        seed = whole_number("seed", seed, 0)
        others = None if others is None else whole_number("others", others, 0)
        own = [row.own(images) for row in rows]
        if not any(len(positions) for positions in own):
            raise no_images(rows, images)
        foreign = [row.others(images, others, seed) for row in rows]
        asked = np.zeros((len(rows), len(images)), dtype=np.uint8)
        for row, (mine, theirs) in enumerate(zip(own, foreign, strict=True)):
            asked[row, theirs], asked[row, mine] = 2, 1
        return cls(rows, own, foreign, asked)

    @property
    def images(self) -> np.ndarray:
        """Positions of all images that some row is asked about."""
        return np.flatnonzero(self.asked.any(0))


@dataclass(frozen=True, eq=False)
class Answers:
    """`own` and `false_accepts` `[1 + variants, rows]`: the share of its own images, and of others', that a row calls
    its own, first by the whole network, then through each variant; NaN without images. `counts` `[2, rows]`: of how
    many images, own and others'. `read`: which images. `called` `[rows, images]`: what a row calls its own through the
    first variant, of what it was asked about."""

    own: np.ndarray
    false_accepts: np.ndarray
    counts: np.ndarray
    read: np.ndarray
    called: np.ndarray

    @property
    def balanced(self) -> np.ndarray:
        """`[1 + variants, rows]`: the mean of `own` and of the share of others' images that are refused."""
        return np.asarray((self.own + 1 - self.false_accepts) / 2)

    def mean(self, figures: np.ndarray | Sequence[object]) -> float:
        """Of `figures` `[rows]` over the rows that were asked about images of their own: all means are of the same
        rows, also that of false accepts, which a row without own images has."""
        return mean_known(np.asarray(figures, float)[self.counts[0] > 0])


def answers(
    predictor: Predictor,
    questions: Questions,
    images: LabelledImages,
    variants: Sequence[Variant],
    *,
    title: str,
    seed: int = 0,
    show_progress: bool | None = None,
) -> Answers:
    """What every row calls its own, by the whole network and through each of `variants`."""
    rows = questions.rows
    counts, hits = np.zeros((2, len(rows)), np.int64), np.zeros((2, 1 + len(variants), len(rows)), np.int64)
    everything, seen, through = questions.images, [], np.zeros(questions.asked.shape, dtype=bool)
    fills = _Fills.of(predictor, images, everything, {v.filling for v in variants}, seed)
    same = _first_alike(variants)
    distinct = sorted(set(same) - {_WHOLE})
    total = len(everything) + len(distinct) * int((questions.asked > 0).sum())
    with progress(title, total, show_progress) as advance:
        for chosen, batch in image_batches(images, everything, size=fills.batch_size):
            seen.append(chosen)
            original, records = predictor.original(batch), fills.records(chosen, batch)
            advance(len(chosen))
            # Rows share passes: a thousand of them may each ask about a handful of these images.
            asking, about = np.nonzero(questions.asked[:, chosen])
            for start in range(0, len(asking), fills.batch_size):
                which, use = asking[start : start + fills.batch_size], about[start : start + fills.batch_size]
                part, kinds = batch[torch.from_numpy(use)], questions.asked[which, chosen[use]]
                called = {_WHOLE: _called(rows, which, original[use])}
                for number in distinct:
                    scores = predictor.run(part, fills.tap(variants[number], which, records, use))
                    called[number] = _called(rows, which, scores)
                calls = np.stack([called[number] for number in (_WHOLE, *same)])
                through[which, chosen[use]] = calls[1]
                for kind in (0, 1):
                    mine = kinds == kind + 1
                    np.add.at(counts[kind], which[mine], 1)
                    np.add.at(hits[kind].T, which[mine], calls[:, mine].T)
                advance(len(distinct) * len(use))
    with np.errstate(invalid="ignore"):
        own, others = hits / counts[:, None].astype(float)
    return Answers(own, others, counts, np.concatenate([np.empty(0, np.int64), *seen]), through)


def _first_alike(variants: Sequence[Variant]) -> list[int]:
    """For each variant the first one that asks the same; `_WHOLE` if it keeps every channel. The ends of keep curves
    are asked once so, however many curves there are."""
    first: dict[tuple[object, ...], int] = {}
    found = []
    for number, variant in enumerate(variants):
        masks = variant.paths.masks.values()
        if all(bool(mask.all()) for mask in masks):
            found.append(_WHOLE)
            continue
        digest = blake2b()
        for mask in masks:
            digest.update(mask.cpu().contiguous().numpy().tobytes())
        found.append(first.setdefault((variant.filling, digest.digest()), number))
    return found


def _called(rows: Sequence[ClassRow], which: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """`[images]`: whether row `which[i]` calls image `i` its own, by `scores` `[images, classes]`."""
    found = np.empty(len(which), dtype=bool)
    for row in np.unique(which).tolist():
        mine = which == row
        found[mine] = rows[row].called(scores[mine])
    return found


def mean_known(values: Sequence[object] | np.ndarray) -> float:
    """The mean of what is not NaN; NaN if nothing is."""
    figures = np.asarray(values, float)
    known = figures[~np.isnan(figures)]
    return float(known.mean()) if len(known) else float("nan")


def worst(balanced: np.ndarray, names: Sequence[str]) -> tuple[float, str]:
    """The lowest of the rows' figures, and the row's name; NaN and nothing if none is known."""
    if np.isnan(balanced).all():
        return float("nan"), ""
    row = int(np.nanargmin(balanced))
    return float(balanced[row]), names[row]


@dataclass(frozen=True, eq=False)
class _Fills:
    """What dropped channels hold instead. `means`: a tensor `[channels]` per site; `partners`: the position of another
    image for every image. Both None where no variant needs them."""

    predictor: Predictor
    images: LabelledImages
    means: list[Tensor] | None
    partners: np.ndarray | None

    @classmethod
    def of(
        cls, predictor: Predictor, images: LabelledImages, asked: np.ndarray, fillings: set[Filling], seed: int
    ) -> _Fills:
        means = _mean_activations(predictor, images, asked) if "mean" in fillings else None
        partners = _partners(images, seed) if "resample" in fillings else None
        return cls(predictor, images, means, partners)

    @property
    def batch_size(self) -> int:
        """64, or as many as whose kept activations take no more than 256 MB."""
        if self.partners is None:
            return 64
        bytes_an_image = 4 * sum(math.prod(site.shape) for site in self.predictor.tapped.sites)
        return max(1, min(64, _MOST_BYTES // bytes_an_image))

    def records(self, chosen: np.ndarray, batch: Tensor) -> list[Tensor] | None:
        """Every site's value in the untouched network, for the partners of the images at `chosen`."""
        if self.partners is None:
            return None
        wanted = self.partners[chosen]
        others = batch.roll(1, 0)  # in place of a partner that cannot be read: another image of the batch
        for read in self.images.batches([np.unique(wanted)]):
            if read.images is not None:
                there = np.flatnonzero(np.isin(wanted, read.positions))
                others[torch.from_numpy(there)] = read.images[np.searchsorted(read.positions, wanted[there])]
        recorder = Recorder()
        self.predictor.run(others, recorder)
        return recorder.values

    def tap(
        self, variant: Variant, rows: np.ndarray, records: list[Tensor] | None, use: np.ndarray
    ) -> Multiplier | _Replacer:
        """The tap that runs image `use[i]` of a batch through row `rows[i]` of a variant."""
        through = torch.from_numpy(rows)
        gates = [mask[through].to(self.predictor.device) for mask in variant.paths.masks.values()]
        sites = self.predictor.tapped.sites
        if variant.filling == "zero":
            return Multiplier(sites, gates)
        if variant.filling == "mean":
            assert self.means is not None
            return _Replacer(sites, gates, self.means, None)
        assert records is not None
        return _Replacer(sites, gates, records, torch.from_numpy(use).to(self.predictor.device))


@dataclass(frozen=True, eq=False)
class _Replacer:
    """A tap that puts something else in place of dropped channels: `fills` is `[channels]` per site, or values of whole
    batches, of which those at `use` are taken."""

    sites: Sequence[Site]
    gates: Sequence[Tensor]
    fills: Sequence[Tensor]
    use: Tensor | None

    def __call__(self, position: int, value: Tensor) -> Tensor:
        dim = self.sites[position].dim
        kept = along_channels(self.gates[position], value.ndim, dim)
        fill = self.fills[position]
        fill = along_channels(fill, value.ndim, dim) if self.use is None else fill[self.use]
        return torch.where(kept, value, fill.to(value.dtype))


def _partners(images: LabelledImages, seed: int) -> np.ndarray:
    """`[images]`: another image for each, of any known class, drawn by the seed."""
    candidates = np.flatnonzero(images.labels >= 0)
    drawn = generator("partners", seed).integers(len(candidates), size=len(images.labels))
    itself = candidates[drawn] == np.arange(len(images.labels))
    return np.asarray(candidates[np.where(itself, (drawn + 1) % len(candidates), drawn)])


def _mean_activations(predictor: Predictor, images: LabelledImages, positions: np.ndarray) -> list[Tensor]:
    """The mean of every channel of every site over up to 512 of the images, evenly spread, and over positions."""
    spread = positions[np.unique(np.linspace(0, len(positions) - 1, min(_MEAN_OF, len(positions))).astype(int))]
    sites = predictor.tapped.sites
    sums: list[Tensor] = [torch.zeros(site.channels, dtype=torch.float64) for site in sites]
    count = 0

    def add(position: int, value: Tensor) -> Tensor:
        means = value.double().mean(positions_of(value, sites[position].dim)) if value.ndim > 2 else value.double()
        sums[position] += means.sum(0).cpu()
        return value

    for _, batch in _small_batches(images, spread):
        predictor.run(batch, add)
        count += len(batch)
    return [(total / max(count, 1)).to(predictor.device) for total in sums]


def _small_batches(images: LabelledImages, positions: np.ndarray) -> Iterator[tuple[np.ndarray, Tensor]]:
    return image_batches(images, positions, size=16)
