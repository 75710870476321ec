"""What the untouched network does on the search's images: activations at the sites, class scores, correctness."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unweave.network.sites import Site
from unweave.network.tapping import Recorder, TappedNetwork, check_finite

_SHARE_OF_MEMORY = 0.4


@dataclass(frozen=True)
class Reference:
    """One batch seen by the untouched network: `images`, `activations[i]` at site i, class `scores`."""

    images: Tensor
    activations: list[Tensor]
    scores: Tensor


class Store:
    """Keeps what the untouched network did with each image, so that later passes need no first forward.

    Tensors are kept with channels last, one row an image, on the device of the search. `damaged`: images that cannot be
    read, by position, and why; they are not waited for.
    """

    def __init__(self, positions: np.ndarray) -> None:
        self._row = {int(position): row for row, position in enumerate(positions)}
        self._filled = np.zeros(len(positions), dtype=bool)
        self._tables: list[Tensor] = []
        self.damaged: dict[int, str] = {}

    @property
    def full(self) -> bool:
        """Whether every image is kept."""
        return int(self._filled.sum()) + len(self.damaged) >= len(self._filled)

    def get(self, positions: np.ndarray) -> Reference:
        """What is kept of the images at `positions`."""
        index = torch.from_numpy(self._rows(positions)).to(self._tables[0].device)
        images, scores, *activations = [_channels_second(table.index_select(0, index)) for table in self._tables]
        return Reference(images, activations, scores)

    def put(self, positions: np.ndarray, reference: Reference) -> None:
        """Keep one batch."""
        values = [_channels_to_end(v) for v in (reference.images, reference.scores, *reference.activations)]
        if not self._tables:
            self._tables = [value.new_empty((len(self._row), *value.shape[1:])) for value in values]
        rows = self._rows(positions)
        index = torch.from_numpy(rows).to(values[0].device)
        for table, value in zip(self._tables, values, strict=True):
            table.index_copy_(0, index, value)
        self._filled[rows] = True

    def _rows(self, positions: np.ndarray) -> np.ndarray:
        return np.asarray([self._row[int(position)] for position in positions], dtype=np.int64)


def _channels_to_end(value: Tensor) -> Tensor:
    return value.movedim(1, -1).contiguous() if value.ndim == 4 else value


def _channels_second(value: Tensor) -> Tensor:
    return value.movedim(-1, 1) if value.ndim == 4 else value


def bytes_per_image(sites: Sequence[Site], image_shape: tuple[int, ...], classes: int, itemsize: int) -> int:
    """Memory that `Store` takes for one image."""
    numbers = sum(int(np.prod(site.shape)) for site in sites) + int(np.prod(image_shape)) + classes
    return numbers * itemsize


def available_memory(device: torch.device) -> int:
    """Bytes that the search may fill with kept activations: a share of what is free on its device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free * _SHARE_OF_MEMORY)
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            free_kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
        return int(free_kilobytes * 1024 * _SHARE_OF_MEMORY)
    except (OSError, StopIteration):
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
        return int(pages * _SHARE_OF_MEMORY / 2)


def observe(tapped: TappedNetwork, images: Tensor) -> Reference:
    """Run the untouched network on one batch and keep what it does at the sites.

    Raises
    ------
    NumericError
        If there is NaN or infinity, naming the first site.
    """
    recorder = Recorder()
    with torch.no_grad():
        scores = tapped(images, recorder)
    # One number tells whether all scores are finite; where they are not, the sites are looked through.
    if not torch.isfinite(scores.sum()):
        check_finite(recorder.values, scores, tapped.sites)
    return Reference(images, recorder.values, scores)
