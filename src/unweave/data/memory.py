"""Images that were read once and are needed again: kept as tensors, up to a bound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from unweave.data.batches import BatchReader, Damaged, Failure, ImageBatch, read_all


class ImageMemory:
    """Images of one data set by position, preprocessed, and which of them are damaged.

    The first ones that are read are kept, until `most_bytes` are reached; nothing is given up for later ones: measures
    read all images in turn, and what was read longest ago is what is needed next. It is not sent to worker processes:
    they read what is missing.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes, self.bytes = most_bytes, 0
        self._images: dict[int, Tensor] = {}
        self._damaged: dict[int, Damaged] = {}

    def batches(
        self, dataset: Any, plan: Sequence[np.ndarray], workers: int = 0, seed: int = 0
    ) -> Iterator[ImageBatch]:
        """As `read_all` of the data set, but for what is kept.

        Raises
        ------
        DataError
            If an item fails, a worker process dies, or images of several sizes share a batch.
        """
        reader = BatchReader(dataset)
        asked = [[int(position) for position in positions] for positions in plan]
        missing = [np.asarray([p for p in wanted if not self._knows(p)], dtype=np.int64) for wanted in asked]
        read = read_all(reader, [part for part in missing if len(part)], workers, seed)
        for wanted, part in zip(asked, missing, strict=True):
            fresh = self._keep(next(read)) if len(part) else {}
            images = {p: fresh[p] if p in fresh else self._images[p] for p in wanted if p not in self._damaged}
            kept = [p for p in wanted if p in images]
            stacked = reader.stacked([images[p] for p in kept], kept) if kept else None
            if isinstance(stacked, Failure):
                raise stacked.raised()
            damaged = tuple(self._damaged[p] for p in wanted if p in self._damaged)
            yield ImageBatch(stacked, np.asarray(kept, dtype=np.int64), damaged)

    def _knows(self, position: int) -> bool:
        return position in self._images or position in self._damaged

    def _keep(self, batch: ImageBatch) -> dict[int, Tensor]:
        """What was just read, by position; kept as far as there is room."""
        self._damaged |= {one.position: one for one in batch.damaged}
        if batch.images is None:
            return {}
        fresh = dict(zip(batch.positions.tolist(), batch.images, strict=True))
        for position, image in fresh.items():
            if position not in self._images and self.bytes + image.nbytes <= self.most_bytes:
                self._images[position] = image
                self.bytes += image.nbytes
        return fresh
