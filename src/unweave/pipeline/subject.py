"""What is measured, and what a measure leaves behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import nn

from unweave.analysis.accuracy import accuracy
from unweave.analysis.similarity import Similarity, similarity
from unweave.analysis.stability import Stability, stability
from unweave.data.labelled import LabelledImages
from unweave.errors import DataError
from unweave.paths import Paths
from unweave.tables import Table

_MOST_ASKED = 2_000_000


def others_asked(rows: int, images: int) -> int | None:
    """How many images of other classes each row is asked about: all (None) up to two million questions, else a share.

    A thousand rows asked about fifty thousand images each, with their random masks, would take weeks.
    """
    return None if rows * images <= _MOST_ASKED else max(100, _MOST_ASKED // rows)


@dataclass(frozen=True)
class Subject:
    """What is measured: paths, and, where a measure needs them, their network and images, runs of other seeds
    (`against`), groups of the rows, and `[rows, rows]` distances in a known hierarchy."""

    paths: Paths
    network: nn.Module | None
    images: LabelledImages | None
    seed: int = 0
    show_progress: bool | None = None
    device: str | None = None
    against: Sequence[Paths] = ()
    groups: Mapping[str, Sequence[int | str]] | None = None
    distances: np.ndarray | None = None

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
        return stability([self.paths, *self.against], seed=self.seed) if self.against else None


@dataclass(frozen=True)
class Measured:
    """What a measure left behind; its first table is what a person reads first, unless it is not to be `printed`."""

    name: str
    tables: dict[str, Table]
    files: list[Path]
    printed: bool = True
