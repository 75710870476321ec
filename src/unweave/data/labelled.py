"""`LabelledImages`: any map-style data set with its labels known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from unweave.errors import DataError
from unweave.files import digest
from unweave.randomness import generator

Data = Dataset[Any] | DataLoader[Any]


@dataclass(frozen=True)
class LabelledImages:
    """A data set of (image, class index) and its labels.

    `labels[i]` is the class of image `i`; `class_names[c]`, where known, the name of class `c`.
    """

    dataset: Dataset[Any]
    labels: np.ndarray
    class_names: tuple[str, ...] | None = None
    collate: Callable[[list[Any]], Any] | None = None
    workers: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> list[int]:
        """Classes that have images, ascending."""
        return [int(c) for c in np.unique(self.labels)]

    def of_class(self, index: int, limit: int | None = None, seed: int = 0) -> np.ndarray:
        """Positions of the images of class `index`; at most `limit` of them, drawn by (seed, class)."""
        positions = np.flatnonzero(self.labels == index)
        if limit is not None and len(positions) > limit:
            positions = np.sort(generator("images", seed, index).permutation(positions)[:limit])
        return positions

    def name_of(self, index: int) -> str:
        """The class's name, or its index as text."""
        known = self.class_names is not None and 0 <= index < len(self.class_names)
        return self.class_names[index] if known else str(index)  # type: ignore[index]

    def images(self, positions: Sequence[int] | np.ndarray) -> Tensor:
        """The images at `positions`, stacked: `[len(positions), ...]`."""
        items = [self.dataset[int(position)] for position in positions]
        collate = self.collate or torch.utils.data.default_collate
        return _images_of(_stacked(items, collate))

    def batches(self, plan: Sequence[np.ndarray]) -> DataLoader[Any]:
        """A loader of the image batches that `plan` lists by position."""
        return DataLoader(
            self.dataset,
            batch_sampler=[batch.tolist() for batch in plan],
            collate_fn=_Stacker(self.collate),
            num_workers=self.workers,
            # A loader without a generator of its own draws its seed from the user's random state.
            generator=torch.Generator(),
        )

    def fingerprint(self, positions: np.ndarray) -> dict[str, Any]:
        """What identifies the images at `positions`: their number and classes, and a digest of all their positions and
        labels and of the pixels of up to 64 of them, evenly spread."""
        chosen = positions[np.linspace(0, len(positions) - 1, min(64, len(positions))).astype(int)]
        pixels = [_bytes(self.images([p])) for p in chosen]
        labels = self.labels[positions]
        return {
            "images": len(positions),
            "classes": len(np.unique(labels)),
            "digest": digest(positions.astype(np.int64).tobytes(), labels.astype(np.int64).tobytes(), *pixels),
        }


def _bytes(image: Tensor) -> bytes:
    plain = image.detach().cpu().contiguous().reshape(-1)
    return bytes(plain.view(torch.uint8).numpy().tobytes())  # as bytes, also where numpy lacks the type


class _Stacker:
    """Collates items and keeps the images (a class, so that worker processes can be given it)."""

    def __init__(self, collate: Callable[[list[Any]], Any] | None) -> None:
        self.collate = collate or torch.utils.data.default_collate

    def __call__(self, items: list[Any]) -> Tensor:
        return _images_of(_stacked(items, self.collate))


def _stacked(items: list[Any], collate: Callable[[list[Any]], Any]) -> Any:
    try:
        return collate(items)
    except RuntimeError as error:
        images = [item[0] if isinstance(item, tuple | list) else item for item in items]
        shapes = {tuple(image.shape) for image in images if isinstance(image, Tensor)}
        if len(shapes) < 2:
            raise
        first, second, *_ = sorted(shapes)
        raise DataError(
            f"images of several sizes cannot share a batch (found {first} and {second}): resize and crop them in the "
            "data set's transform, or give --size on the command line"
        ) from error


def _images_of(batch: Any) -> Tensor:
    images = batch[0] if isinstance(batch, tuple | list) else batch
    if not isinstance(images, Tensor):
        raise DataError(
            f"the data set's images are {type(images).__name__}, tensors are needed; give it a transform such as "
            "torchvision.transforms.v2.ToImage followed by ToDtype(torch.float32, scale=True)"
        )
    # Tensors made in inference mode cannot be saved for a gradient computation.
    return images.clone() if images.is_inference() else images


def labelled(data: Data | LabelledImages, labels: Sequence[int] | Tensor | np.ndarray | None = None) -> LabelledImages:
    """Any map-style data set or `DataLoader` of (image, class index), with its labels.

    Labels come from `labels`, `.targets`, `.samples`, `TensorDataset`, `Subset` or `ConcatDataset`; where none of these
    knows them, every item is read once. A `DataLoader` lends its data set, collate function and number of workers;
    its sampler and batch size are not used (the search needs batches of its own).

    Raises
    ------
    DataError
        For an iterable data set, an empty one, or labels that are not one integer an image.
    """
    if isinstance(data, LabelledImages):
        return data if labels is None else replace(data, labels=_as_labels(labels, len(data)))
    collate, workers = None, 0
    dataset: Any = data
    if isinstance(data, DataLoader):
        dataset, collate, workers = data.dataset, data.collate_fn, data.num_workers
    if isinstance(dataset, IterableDataset) or not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise DataError(
            f"{type(dataset).__name__} cannot be read by position; the search visits images class by class: give a "
            "data set with __getitem__ and __len__ (for a stream: read the images you want into a TensorDataset)"
        )
    if len(dataset) == 0:
        raise DataError("the data set has no images")
    found = _as_labels(labels if labels is not None else _labels_of(dataset), len(dataset))
    return LabelledImages(dataset, found, _class_names_of(dataset), collate, workers)


def _as_labels(values: Any, count: int) -> np.ndarray:
    try:
        array = np.asarray(values.cpu() if isinstance(values, Tensor) else values)
    except (ValueError, TypeError) as error:
        raise DataError(f"one class index an image is needed, found labels of no single form ({error})") from error
    if array.ndim != 1 or len(array) != count:
        raise DataError(f"one class index an image is needed, found labels of shape {array.shape} for {count} images")
    numbers = array.dtype.kind in "biuf"
    wrong = array[~np.isfinite(array) | (array < 0) | (np.floor(array) != array)] if numbers else array
    if len(wrong):
        raise DataError(f"class indices must be whole numbers from 0, found {wrong[:3].tolist()}")
    return array.astype(np.int64)


def _labels_of(dataset: Any) -> Any:
    """The labels as the data set itself knows them; as a last resort every item is read."""
    known = _known_labels(dataset)
    if known is not None:
        return known
    try:
        found = [dataset[position][1] for position in range(len(dataset))]
        return [label.item() if isinstance(label, Tensor) else label for label in found]
    except (TypeError, ValueError, LookupError, RuntimeError) as error:
        raise DataError(
            f"{type(dataset).__name__} does not give (image, class index) pairs ({error}); give labels="
        ) from error


def _known_labels(dataset: Any) -> Any | None:
    """The labels, where the data set knows them without reading images."""
    if isinstance(dataset, Subset):
        inner = _known_labels(dataset.dataset)
        return None if inner is None else np.asarray(inner)[np.asarray(dataset.indices, dtype=np.int64)]
    if isinstance(dataset, ConcatDataset):
        parts = [_known_labels(part) for part in dataset.datasets]
        return None if any(part is None for part in parts) else np.concatenate([np.asarray(part) for part in parts])
    if isinstance(dataset, TensorDataset) and len(dataset.tensors) > 1:
        return dataset.tensors[1].cpu().numpy()
    if getattr(dataset, "targets", None) is not None:
        targets = dataset.targets
        return _transformed(dataset, targets.cpu().numpy() if isinstance(targets, Tensor) else targets)
    if getattr(dataset, "samples", None) is not None:
        return _transformed(dataset, [label for _, label in dataset.samples])
    return None


def _transformed(dataset: Any, targets: Any) -> Any:
    """The labels that items have: torchvision's data sets apply `target_transform` only when an item is read."""
    transform = getattr(dataset, "target_transform", None)
    return targets if transform is None else [transform(label) for label in targets]


def _class_names_of(dataset: Any) -> tuple[str, ...] | None:
    if isinstance(dataset, Subset):
        return _class_names_of(dataset.dataset)
    if isinstance(dataset, ConcatDataset):
        names = {_class_names_of(part) for part in dataset.datasets}
        return names.pop() if len(names) == 1 else None
    if getattr(dataset, "target_transform", None) is not None:
        return None  # `classes` names the labels before they are transformed
    names_found = getattr(dataset, "classes", None)
    if isinstance(names_found, list | tuple) and all(isinstance(name, str) for name in names_found):
        return tuple(names_found)
    return None
