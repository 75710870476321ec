"""Pictures and one transform; on their way as 8-bit pixels: a quarter of the bytes between processes and in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Subset, default_collate

from unweave.data.batches import ImageBatch
from unweave.data.preprocessing import Preprocessing, Transform


class PictureData(Dataset[tuple[Tensor, int]], ABC):
    """(image, class index) from a picture each; an item is the same whenever it is read."""

    transform: Transform
    targets: np.ndarray
    """Class indices, int64."""
    classes: list[str]
    """The classes' names."""

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self.transform(self.picture(position)), int(self.targets[position])

    @abstractmethod
    def picture(self, position: int) -> Image.Image:
        """The picture at `position`, RGB, as it is kept."""


@dataclass(frozen=True)
class Pixels(Dataset[Tensor]):
    """Pixels (uint8 `[3, height, width]`) of the pictures of `data` at `positions` (None: all), and how they become
    images."""

    data: PictureData
    transform: Preprocessing
    positions: np.ndarray | None = None

    @property
    def stands_for(self) -> PictureData:
        """What messages are to name."""
        return self.data

    def __len__(self) -> int:
        return len(self.data) if self.positions is None else len(self.positions)

    def __getitem__(self, position: int) -> Tensor:
        where = position if self.positions is None else int(self.positions[position])
        return self.transform.pixels(self.data.picture(where))

    def images(self, batch: ImageBatch, device: torch.device | None = None) -> ImageBatch:
        """The batch with images in place of pixels, on `device`, if given: moved there before they are scaled."""
        if batch.images is None:
            return batch
        moved = batch.images if device is None else batch.images.to(device)
        return replace(batch, images=self.transform.scaled(moved))


def pixels_of(dataset: Any, collate: Any = None) -> Pixels | None:
    """The pixels of a data set, or of a `Subset` of one; None where it is not known that its items are pictures, scaled
    and nothing else."""
    if collate not in (None, default_collate):
        return None
    if type(dataset) is Subset:
        whole = pixels_of(dataset.dataset)
        if whole is None:
            return None
        chosen = np.asarray(dataset.indices, dtype=np.int64)
        return replace(whole, positions=chosen if whole.positions is None else whole.positions[chosen])
    # A class of a user's may make its items in another way.
    known = isinstance(dataset, PictureData) and type(dataset).__getitem__ is PictureData.__getitem__
    return Pixels(dataset, dataset.transform) if known and isinstance(dataset.transform, Preprocessing) else None
