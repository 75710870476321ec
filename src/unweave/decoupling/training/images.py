"""Images for training: which in which step, read ahead or kept, augmented."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unweave.data.labelled import LabelledImages
from unweave.errors import DataError
from unweave.randomness import order

_MOST_KEPT = 2**30
"""Bytes of images that are kept without being asked."""
_COMPARED = 16
_READ_TOGETHER = 256


class TrainingImages:
    """A data set's images and labels on `device`, in batches of given positions.

    `kept`: all images are read once and stay on the device; by default where they take at most a gigabyte and the data
    set gives the same image every time (one with random transforms of its own does not). `damaged` counts the images
    that could not be read so far, which are left out.
    """

    def __init__(self, data: LabelledImages, device: torch.device, kept: bool | None = None) -> None:
        self.data, self.device = data, device
        self.positions = np.flatnonzero(data.labels >= 0)
        self.damaged: dict[int, str] = {one.position: one.reason for one in data.damaged}
        self._labels = torch.from_numpy(np.asarray(data.labels, dtype=np.int64)).to(device)
        self.example = data.images(data.intact(2))
        self._kept: Tensor | None = None
        self._wanted = self._worth_keeping() if kept is None else kept

    def _worth_keeping(self) -> bool:
        if len(self.data) * self.example[0].nbytes > _MOST_KEPT:
            return False
        some = self.data.intact(_COMPARED)
        return torch.equal(self.data.images(some), self.data.images(some))

    def batches(self, plan: Sequence[np.ndarray], seed: int = 0) -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
        """(images, labels, positions) of each list of positions; damaged images are left out, and a batch of none.
        `seed`: of the processes that read ahead, for random transforms of the data set's own."""
        if not self._wanted:
            yield from self._read(plan, seed)
            return
        if self._kept is None:
            self._keep()
        assert self._kept is not None
        for wanted in plan:
            positions = wanted[~np.isin(wanted, list(self.damaged))] if self.damaged else wanted
            if len(positions):
                index = torch.from_numpy(positions).to(self.device)
                yield self._kept[index], self._labels[index], positions

    def _read(self, plan: Sequence[np.ndarray], seed: int = 0) -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
        for batch in self.data.batches(plan, seed):
            self.damaged |= {one.position: one.reason for one in batch.damaged}
            if batch.images is not None:
                index = torch.from_numpy(batch.positions).to(self.device)
                yield batch.images.to(self.device, non_blocking=True), self._labels[index], batch.positions

    def _keep(self) -> None:
        kept = torch.zeros((len(self.data), *self.example.shape[1:]), dtype=self.example.dtype, device=self.device)
        for images, _, positions in self._read(in_order(self.positions, _READ_TOGETHER)):
            kept[torch.from_numpy(positions).to(self.device)] = images
        self._kept = kept

    def fingerprint(self) -> dict[str, Any]:
        """What identifies the images."""
        return self.data.fingerprint(np.arange(len(self.data)))


def in_order(positions: np.ndarray, batch: int) -> list[np.ndarray]:
    """`positions` in lists of `batch`, the last one shorter."""
    return [positions[start : start + batch] for start in range(0, len(positions), batch)]


def epoch_batches(
    positions: np.ndarray, batch: int, epoch: int, seed: int, rank: int = 0, processes: int = 1
) -> list[np.ndarray]:
    """The batches of an epoch that process `rank` of `processes` takes: every image once, in an order that belongs to
    (seed, epoch). `batch` counts the images of all processes together, which take equal shares of it.

    The last batch may be smaller; it is cut to equal shares, and left out where a share would be a single image, which
    batch norm cannot take.
    """
    found = []
    for whole in in_order(order(positions, seed, epoch), batch):
        used = len(whole) - len(whole) % processes
        if used >= 2 * processes:
            found.append(whole[rank:used:processes])
    return found


def check_shape(images: TrainingImages, what: str, shape: tuple[int, ...] | None) -> None:
    """Refuse images of another shape than the network was decoupled for.

    Raises
    ------
    DataError
    """
    found = tuple(images.example.shape[1:])
    if shape is not None and found != shape:
        raise DataError(f"the network was decoupled for images of shape {shape}, the {what} images have {found}")


def check_labels(images: TrainingImages, what: str, classes: int) -> None:
    """Refuse labels of classes that the network does not have.

    Raises
    ------
    DataError
    """
    highest = int(images.data.labels[images.positions].max(initial=-1))
    if highest >= classes:
        raise DataError(
            f"the {what} labels go up to {highest}, the network has {classes} class scores (0 to {classes - 1})"
        )
