"""`LabelledImages`: any map-style data set with its labels known beforehand."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    default_collate,
)

from unweave.data.batches import BatchReader, Damaged, Failure, ImageBatch, read_all
from unweave.data.labels import Labels, as_labels, class_names_of, labels_of
from unweave.data.memory import ImageMemory
from unweave.data.pixels import pixels_of
from unweave.errors import DamagedImageError, DataError, SettingError
from unweave.files import digest
from unweave.randomness import generator

Data = Dataset[Any] | DataLoader[Any]

_MOST_TRIES = 200


@dataclass(frozen=True)
class LabelledImages:
    """A data set of (image, class index) and its labels.

    `labels[i]` is the class of image `i`, or -1 where the image was damaged when its label had to be read from it
    (then `damaged` says why); `class_names[c]`, where known, the name of class `c`. Images are read by `workers`
    processes; damaged ones are left out and counted, or, if `strict`, refused. `memory`, where given, keeps what is
    read.
    """

    dataset: Dataset[Any]
    labels: np.ndarray
    class_names: tuple[str, ...] | None = None
    collate: Callable[[list[Any]], Any] | None = None
    workers: int = 0
    strict: bool = False
    damaged: tuple[Damaged, ...] = ()
    memory: ImageMemory | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> list[int]:
        """Classes that have images, ascending."""
        return list(self._by_class)

    @cached_property
    def _by_class(self) -> dict[int, np.ndarray]:
        """Positions of each class's images, classes and positions ascending."""
        order = np.argsort(self.labels, kind="stable")
        found, starts = np.unique(self.labels[order], return_index=True)
        parts = zip(found.tolist(), np.split(order, starts[1:]), strict=True)
        return {int(c): part for c, part in parts if c >= 0}

    def of_class(self, index: int, limit: int | None = None, seed: int = 0) -> np.ndarray:
        """Positions of the images of class `index`; at most `limit` of them, drawn by (seed, class)."""
        positions = self._by_class.get(index, np.empty(0, dtype=np.int64))
        if limit is not None and len(positions) > limit:
            positions = np.sort(generator("images", seed, index).permutation(positions)[:limit])
        return positions

    def name_of(self, index: int) -> str:
        """The class's name, or its index as text."""
        known = self.class_names is not None and 0 <= index < len(self.class_names)
        return self.class_names[index] if known else str(index)  # type: ignore[index]

    def names_of(self, indices: Iterable[int]) -> dict[str, str]:
        """Names of the classes `indices` (negative ones, unknown, left out) by index as text, for a manifest."""
        return {str(c): self.name_of(c) for c in sorted({int(c) for c in indices}) if c >= 0}

    def images(self, positions: Sequence[int] | np.ndarray) -> Tensor:
        """The images at `positions`, stacked: `[len(positions), ...]`.

        Raises
        ------
        DataError
            If an item fails; `DamagedImageError` if one is damaged.
        """
        batch = self._read(positions)
        if batch.damaged or batch.images is None:
            raise _refused(batch.damaged) if batch.damaged else DataError("no images were asked for")
        return batch.images

    def remembering(self, most_bytes: int) -> LabelledImages:
        """The same images, which are read and preprocessed once as far as they fit into `most_bytes`: for several
        measures of the same images. Random transforms, if any, are then drawn once an image. Nothing is kept of a
        `TensorDataset`, which is in memory, nor where a collate function makes batches of its own."""
        own_batches = self.collate not in (None, default_collate)
        if self.memory is not None or own_batches or isinstance(self.dataset, TensorDataset):
            return self
        return replace(self, memory=ImageMemory(most_bytes))

    def intact(self, count: int) -> np.ndarray:
        """Positions, ascending, of up to `count` images that can be read, evenly spread; in place of an image that
        cannot be, the nearest one that can.

        Raises
        ------
        DataError
            If none of the first 200 tried can be read, or the data are strict and one cannot.
        """
        chosen: list[int] = []
        damaged: dict[int, str] = {}
        for wanted in np.linspace(0, len(self) - 1, min(count, len(self))).astype(int):
            for position in _outward(int(wanted), len(self)):
                if position in damaged or position in chosen:
                    continue
                if len(damaged) == _MOST_TRIES:
                    break
                batch = self._read([position])
                if not batch.damaged:
                    chosen.append(position)
                    break
                damaged[position] = batch.damaged[0].reason
                self._check_strict(batch)
        if not chosen and damaged:
            tried = "" if len(damaged) == len(self) else f" ({len(damaged)} were tried)"
            raise DataError(f"no image of {len(self)} can be read{tried}; the first: {next(iter(damaged.values()))}")
        return np.sort(np.asarray(chosen, dtype=np.int64))

    @property
    def are_pictures(self) -> bool:
        """Whether items are known to be pictures, scaled and nothing else: the same whenever they are read."""
        return pixels_of(self.dataset, self.collate) is not None

    def batches(
        self, plan: Sequence[np.ndarray], seed: int = 0, device: torch.device | None = None
    ) -> Iterator[ImageBatch]:
        """The image batches that `plan` lists by position, in its order; the same from any number of workers, unless
        the data set has random transforms: these draw from what `seed` starts in worker processes, or without such
        from the random states of this one. Pictures travel, and are kept, as 8-bit pixels, and are scaled on `device`,
        if given; other images come as the data set makes them.

        Raises
        ------
        DataError
            If an item fails, a worker process dies, or the data are strict and an image is damaged.
        """
        pixels = pixels_of(self.dataset, self.collate)
        source = self.dataset if pixels is None else pixels
        if self.memory is not None:
            found = self.memory.batches(source, plan, self.workers, seed)
        else:
            found = read_all(BatchReader(source, self.collate), plan, self.workers, seed)
        for batch in found:
            self._check_strict(batch)
            yield batch if pixels is None else pixels.images(batch, device)

    def fingerprint(self, positions: np.ndarray) -> dict[str, Any]:
        """What identifies the images at `positions`: their number and classes, and a digest of all their positions and
        labels and of the pixels of up to 64 of them, evenly spread (of a damaged one, that it is damaged)."""
        chosen = positions[np.linspace(0, len(positions) - 1, min(64, len(positions))).astype(int)]
        pixels = [_bytes(self._read([p]).images) for p in chosen]
        labels = self.labels[positions]
        return {
            "images": len(positions),
            "classes": len(np.unique(labels[labels >= 0])),
            "digest": digest(positions.astype(np.int64).tobytes(), labels.astype(np.int64).tobytes(), *pixels),
        }

    def _read(self, positions: Sequence[int] | np.ndarray) -> ImageBatch:
        if self.memory is not None:
            return next(replace(self, workers=0, strict=False).batches([np.asarray(positions)]))
        found = BatchReader(self.dataset, self.collate)[positions]
        if isinstance(found, Failure):
            raise found.raised()
        return found

    def _check_strict(self, batch: ImageBatch) -> None:
        if self.strict and batch.damaged:
            raise _refused(batch.damaged, "; mend or remove it, or leave out strict to skip it")


def _refused(damaged: tuple[Damaged, ...], way_out: str = "") -> DamagedImageError:
    return DamagedImageError(f"image {damaged[0].position} is damaged: {damaged[0].reason}{way_out}")


def _outward(start: int, count: int) -> Iterator[int]:
    """All positions below `count`, those nearest to `start` first."""
    for distance in range(count):
        yield from (p for p in dict.fromkeys((start + distance, start - distance)) if 0 <= p < count)


def _bytes(image: Tensor | None) -> bytes:
    if image is None:
        return b"damaged"
    plain = image.detach().cpu().contiguous().reshape(-1)
    return bytes(plain.view(torch.uint8).numpy().tobytes())  # as bytes, also where numpy lacks the type


def labelled(
    data: Data | LabelledImages,
    labels: Sequence[int] | Tensor | np.ndarray | None = None,
    *,
    strict: bool = False,
    workers: int | None = None,
) -> LabelledImages:
    """Any map-style data set or `DataLoader` of (image, class index), with its labels.

    Labels come from `labels`, `.targets`, `.samples`, `TensorDataset`, `Subset` or `ConcatDataset`; where none of these
    knows them, every item is read once. A `DataLoader` lends its data set, collate function and number of workers;
    its sampler and batch size are not used (the search needs batches of its own): a warning says so where the sampler
    is neither in order nor shuffled.

    Parameters
    ----------
    strict
        Refuse damaged images instead of leaving them out.
    workers
        Processes that read images; by default as many as the `DataLoader` has, and none for a data set.

    Raises
    ------
    DataError
        For an iterable data set, an empty one, or labels that are not one integer an image.
    SettingError
        If `workers` is negative.
    """
    if workers is not None and workers < 0:
        raise SettingError(f"workers must be at least 0, found {workers}")
    images = data if isinstance(data, LabelledImages) else _from_torch(data, labels, workers)
    changes: dict[str, Any] = {}
    if images is data and labels is not None:
        changes = {"labels": as_labels(labels, len(images)), "damaged": ()}
    if workers not in (None, images.workers):
        changes["workers"] = workers
    if strict and not images.strict:
        changes["strict"] = True
    images = replace(images, **changes) if changes else images
    if images.strict and images.damaged:
        images._check_strict(ImageBatch(None, np.empty(0, np.int64), images.damaged))
    return images


def _from_torch(data: Data, labels: Any, workers: int | None) -> LabelledImages:
    collate, lent = None, 0
    dataset: Any = data
    if isinstance(data, DataLoader):
        # Without batches of its own a loader's function converts single items.
        collate = data.collate_fn if data.batch_sampler is not None else None
        dataset, lent = data.dataset, data.num_workers
    if isinstance(dataset, IterableDataset) or not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise DataError(
            f"{type(dataset).__name__} cannot be read by position; the search visits images class by class: give a "
            "data set with __getitem__ and __len__ (for a stream: read the images you want into a TensorDataset)"
        )
    if isinstance(data, DataLoader):
        _say_that_the_sampler_is_not_used(data)
    if len(dataset) == 0:
        raise DataError("the data set has no images")
    readers = lent if workers is None else workers
    found = Labels(as_labels(labels, len(dataset))) if labels is not None else labels_of(dataset, readers)
    return LabelledImages(dataset, found.values, class_names_of(dataset), collate, readers, damaged=found.damaged)


def _say_that_the_sampler_is_not_used(loader: DataLoader[Any]) -> None:
    """Only of a sampler that somebody chose: every loader has one of the two usual ones."""
    batches = loader.batch_sampler
    chosen: Any = batches.sampler if type(batches) is BatchSampler else batches or loader.sampler
    if type(chosen) not in (RandomSampler, SequentialSampler):
        warnings.warn(
            f"the DataLoader's {type(chosen).__name__} is not used: every image of its data set is taken, in an order "
            "of the search's own; give a Subset for a part of them",
            UserWarning,
            stacklevel=4,
        )
