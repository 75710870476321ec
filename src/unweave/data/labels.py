"""Where labels and class names come from: what the data set knows, else one pass over its items."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from unweave.data.batches import Damaged, Failure, read_all, read_item
from unweave.data.pictures import reason_of
from unweave.errors import DataError
from unweave.progress import progress

UNKNOWN = -1
"""The label of an image that was damaged when labels were read. It is of no class and never used."""
_CHUNK = 64


@dataclass(frozen=True)
class Labels:
    """One class index an image (int64, `UNKNOWN` for damaged ones), and the damaged images."""

    values: np.ndarray
    damaged: tuple[Damaged, ...] = ()


def as_labels(values: Any, count: int) -> np.ndarray:
    """`values` as one class index an image, int64.

    Raises
    ------
    DataError
        If they are not that.
    """
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


def labels_of(dataset: Any, workers: int = 0) -> Labels:
    """The labels as the data set itself knows them; as a last resort every item is read, once for each data set.

    Raises
    ------
    DataError
        If items are not (image, class index), or none can be read.
    """
    known, count = _known_labels(dataset), len(dataset)
    if known is not None:
        return Labels(as_labels(known, count))
    kept = _passes.get(id(dataset))
    if kept is not None and kept[0]() is dataset and len(kept[1].values) == count:
        return kept[1]
    found = _read_labels(dataset, workers)
    _keep(dataset, found)
    return found


# By identity, because data sets may be unhashable, or equal to others; an entry goes when its data set does.
_passes: dict[int, tuple[weakref.ref[Any], Labels]] = {}


def _keep(dataset: Any, labels: Labels) -> None:
    key = id(dataset)
    try:
        _passes[key] = weakref.ref(dataset, lambda _: _passes.pop(key, None)), labels
    except TypeError:
        return  # lists and tuples cannot be watched, and so are read again


@dataclass(frozen=True)
class _LabelReader:
    dataset: Any

    def __getitem__(self, positions: list[int]) -> list[Any] | Failure:
        found = []
        for position in positions:
            item = read_item(self.dataset, position)
            if isinstance(item, Failure):
                return item
            try:
                label = item if isinstance(item, Damaged) else item[1]
                found.append(label.item() if isinstance(label, Tensor) else label)
            except (TypeError, ValueError, LookupError, RuntimeError) as error:
                name = type(self.dataset).__name__
                return Failure.of(
                    f"{name} does not give (image, class index) pairs ({reason_of(error)}); give labels=", error
                )
        return found


def _read_labels(dataset: Any, workers: int) -> Labels:
    count = len(dataset)
    plan = np.array_split(np.arange(count), -(-count // _CHUNK))
    found: list[Any] = []
    with progress("reading labels", count) as advance:
        for chunk in read_all(_LabelReader(dataset), plan, workers):
            found += chunk
            advance(len(chunk))
    damaged = tuple(label for label in found if isinstance(label, Damaged))
    if len(damaged) == count:
        raise DataError(f"no image of {count} can be read; the first: {damaged[0].reason}")
    values = np.full(count, UNKNOWN, dtype=np.int64)
    intact = [position for position, label in enumerate(found) if not isinstance(label, Damaged)]
    values[intact] = as_labels([found[position] for position in intact], len(intact))
    return Labels(values, damaged)


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


def class_names_of(dataset: Any) -> tuple[str, ...] | None:
    """The class names that the data set knows, if any."""
    if isinstance(dataset, Subset):
        return class_names_of(dataset.dataset)
    if isinstance(dataset, ConcatDataset):
        names = {class_names_of(part) for part in dataset.datasets}
        return names.pop() if len(names) == 1 else None
    if getattr(dataset, "target_transform", None) is not None:
        return None  # `classes` names the labels before they are transformed
    names_found = getattr(dataset, "classes", None)
    if isinstance(names_found, list | tuple) and all(isinstance(name, str) for name in names_found):
        return tuple(names_found)
    return None
