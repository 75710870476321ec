"""What is measured, and what a measure leaves behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from unweave.analysis.accuracy import accuracy
from unweave.analysis.class_rows import class_rows
from unweave.analysis.clusters import Clusters, cluster
from unweave.analysis.hit_rate import MOSAICS
from unweave.analysis.mosaics import check_mosaics, draw_mosaics, first_readable
from unweave.analysis.similarity import Similarity, similarity
from unweave.analysis.stability import Stability, stability
from unweave.data.labelled import LabelledImages
from unweave.errors import DataError, PathsError, SettingError
from unweave.paths import Paths
from unweave.pipeline.inputs import recorded_inputs
from unweave.runs.folder import RunFolder
from unweave.search.reference import available_memory
from unweave.tables import Table

_MOSAICS_SHOWN = 2
_MOST_ASKED = 2_000_000
_MOST_REMEMBERED = 2 << 30


def others_asked(rows: int, images: int) -> int | None:
    """How many images of other classes each row is asked about: all (None) up to two million questions, else a share.

    A thousand rows asked about fifty thousand images each, with their random masks, would take weeks.
    """
    return None if rows * images <= _MOST_ASKED else max(100, _MOST_ASKED // rows)


def remembering(images: LabelledImages) -> LabelledImages:
    """The images, kept from one measure to the next in at most 2 GiB, and a part of what memory is free: to read large
    pictures and make them small takes longer than most measures of them."""
    return images.remembering(min(_MOST_REMEMBERED, available_memory(torch.device("cpu")) // 2))


def why_no_mosaics(paths: Paths, images: LabelledImages | None) -> str:
    """Why neither hit rates nor feature maps can be measured, as far as it is known before an image is read; empty if
    nothing is in the way. Without `images`: as far as the paths alone tell."""
    try:
        check_mosaics(paths, images)
    except (PathsError, DataError) as refused:
        return str(refused)
    return ""


def readable_mosaics(paths: Paths, images: LabelledImages, count: int, seed: int, most: int) -> list[int]:
    """Numbers of the first of `count` mosaics, at most `most`, of which no image is damaged."""
    return first_readable(draw_mosaics(class_rows(paths, "a mosaic"), images, count, seed), images, most)


@dataclass(frozen=True)
class Excited:
    """Whose channels are shown with the images that excite them: the `channels` with the highest scores of each of
    `rows` (positions), at each of `sites` (names)."""

    rows: tuple[int, ...]
    sites: tuple[str, ...]
    channels: int


@dataclass(frozen=True)
class Subject:
    """What is measured: paths, and, where a measure needs them, their network and images, runs of other seeds
    (`against`), groups of the rows, `[rows, rows]` distances in a known hierarchy, and, by name, what is measured of
    other networks (`beside`); `name` is its own among them. `mosaics`: numbers of those that are to be pictured, empty:
    the first two that can be read; `excited`: the channels whose images are."""

    paths: Paths
    network: nn.Module | None
    images: LabelledImages | None
    seed: int = 0
    show_progress: bool | None = None
    device: str | None = None
    against: Sequence[Paths] = ()
    groups: Mapping[str, Sequence[int | str]] | None = None
    distances: np.ndarray | None = None
    name: str = "this network"
    beside: Mapping[str, Subject] = field(default_factory=dict)
    mosaics: Sequence[int] = ()
    excited: Excited | None = None

    def network_and_images(self, measure: str) -> tuple[nn.Module, LabelledImages]:
        """Both, or the reason why not."""
        if self.network is None or self.images is None:
            raise DataError(f"{measure} needs images to measure on: give --data, or --validation when searching")
        return self.network, self.images

    @cached_property
    def accuracy(self) -> Table:
        """Measured once, for all measures that need it."""
        network, images = self.network_and_images("accuracy")
        return accuracy(network, self.paths, images, device=self.device, show_progress=self.show_progress)

    @cached_property
    def similarity(self) -> Similarity:
        """Measured once, for all measures that need it."""
        return similarity(self.paths)

    @cached_property
    def stability(self) -> Stability | None:
        """Against the runs of other seeds, if there are any."""
        return stability([self.paths, *self.against]) if self.against else None

    @cached_property
    def clusters(self) -> Clusters:
        """The tree of rows, compared with groups and hierarchy where known."""
        return cluster(self.similarity, groups=self.groups, distances=self.distances)

    @cached_property
    def mosaics_shown(self) -> list[int]:
        """Numbers of the mosaics that are pictured; none where all that could be have a damaged image."""
        _, images = self.network_and_images("feature_maps")
        if not self.mosaics:
            return readable_mosaics(self.paths, images, MOSAICS, self.seed, _MOSAICS_SHOWN)
        drawn = draw_mosaics(class_rows(self.paths, "a mosaic"), images, max(self.mosaics) + 1, self.seed)
        return [self.mosaics[one] for one in first_readable(drawn.take(list(self.mosaics)), images, len(self.mosaics))]

    @property
    def own_similarity(self) -> float | None:
        """Of a class to itself under other seeds, mean over sites: the line in figures of similarity."""
        return float(self.stability.per_site.summary["self_similarity"]) if self.stability is not None else None


def subjects_of_runs(runs: Sequence[Path], own: Path, *, strict: bool, device: str | None) -> dict[str, Subject]:
    """What is measured of other networks: each run's own paths, network and validation images, by its folder's name.
    `own`: the folder of the run that they are set beside.

    Raises
    ------
    RunError
        If a folder holds no finished run.
    SettingError
        If two folders have the same name.
    DataError
        If a run has no images to measure on.
    MismatchError
        If its network is another than when it was searched.
    """
    found: dict[str, Subject] = {}
    for run in runs:
        folder, name = RunFolder(run), run.resolve().name
        if name in found or name == own.resolve().name:
            raise SettingError(f"two runs are in folders named {name!r}; rename one: names tell networks apart")
        inputs, seed = recorded_inputs(folder)
        paths = Paths.load(folder.finished_paths())
        if inputs.validation is None:
            raise DataError(f"{run} has no images to measure on; search it with --validation")
        network = inputs.network()
        paths.check(network)
        images = replace(inputs, strict=strict).images(inputs.validation, network, train=False)
        found[name] = Subject(paths, network, images, seed, device=device, name=name)
    return found


@dataclass(frozen=True)
class Measured:
    """What a measure left behind; its first table is what a person reads first, unless it is not to be `printed`."""

    name: str
    tables: dict[str, Table]
    files: list[Path]
    printed: bool = True
