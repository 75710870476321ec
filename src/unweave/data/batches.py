"""Batches of images by position; damaged images are counted and left out, here or in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from PIL.Image import DecompressionBombError
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info

from unweave.data.pictures import SHORTAGE, reason_of
from unweave.errors import DamagedImageError, DataError, UnweaveError

_DAMAGE = (DamagedImageError, OSError, EOFError, SyntaxError, DecompressionBombError)


@dataclass(frozen=True)
class Damaged:
    """An image that cannot be read: its position in the data set, and why."""

    position: int
    reason: str


@dataclass(frozen=True)
class ImageBatch:
    """The images of one batch.

    `positions` (int64) are those that could be read, in the order asked for; `images` is `[len(positions), ...]`, or
    None where none could be read; `damaged` lists the others.
    """

    images: Tensor | None
    positions: np.ndarray
    damaged: tuple[Damaged, ...] = ()


@dataclass(frozen=True)
class Failure:
    """What stops the reading. Returned, not raised: an exception out of a worker process brings its whole traceback."""

    message: str
    cause: BaseException | None = None

    @classmethod
    def of(cls, message: str, cause: BaseException) -> Failure:
        """A failure whose cause stays behind in a worker process: not every exception can be sent."""
        return cls(message, cause if get_worker_info() is None else None)

    def raised(self) -> DataError:
        """The error to raise, with its cause."""
        error = DataError(self.message)
        error.__cause__ = self.cause
        return error


def read_item(dataset: Any, position: int) -> Any | Damaged | Failure:
    """Item `position` of the data set, or what is wrong with it."""
    try:
        return dataset[position]
    except UnweaveError as error:
        if not isinstance(error, DamagedImageError):
            return Failure.of(reason_of(error), error)
        return Damaged(position, reason_of(error))
    except MemoryError:  # not the item's fault, and a smaller batch may have room
        raise
    except Exception as error:  # noqa: BLE001 - a user's data set may raise anything
        if isinstance(error, _DAMAGE) and getattr(error, "errno", None) not in SHORTAGE:
            return Damaged(position, reason_of(error))
        kind = type(error).__name__
        return Failure.of(f"item {position} of {_name_of(dataset)} fails: {kind}: {reason_of(error)}", error)


def _name_of(dataset: Any) -> str:
    """The class that a user knows: of `Pixels`, that of the pictures."""
    return type(getattr(dataset, "stands_for", dataset)).__name__


@dataclass(frozen=True)
class BatchReader:
    """Reads and collates the images at given positions; can be sent to worker processes."""

    dataset: Any
    collate: Callable[[list[Any]], Any] | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, positions: Sequence[int] | np.ndarray) -> ImageBatch | Failure:
        items, kept, damaged = [], [], []
        for position in map(int, positions):
            item = read_item(self.dataset, position)
            if isinstance(item, Failure):
                return item
            if isinstance(item, Damaged):
                damaged.append(item)
            else:
                items.append(item)
                kept.append(position)
        images = self.stacked(items, kept) if items else None
        if isinstance(images, Failure):
            return images
        return ImageBatch(images, np.asarray(kept, dtype=np.int64), tuple(damaged))

    def stacked(self, items: list[Any], positions: list[int]) -> Tensor | Failure:
        """The images of `items` (or images), which are at `positions`, as one batch, or why they cannot be one."""
        try:
            return self._stacked(items)
        except UnweaveError as error:
            return Failure.of(reason_of(error), error)
        except Exception as error:  # noqa: BLE001 - a user's collate function may raise anything
            first = f"{_name_of(self.dataset)} (items {positions[:3]} ...)"
            return Failure.of(
                f"a batch of {first} cannot be collated: {type(error).__name__}: {reason_of(error)}", error
            )

    def _stacked(self, items: list[Any]) -> Tensor:
        try:
            batch = (self.collate or torch.utils.data.default_collate)(items)
        except RuntimeError as error:
            _refuse_several_sizes(items, error)
            raise
        images = batch[0] if isinstance(batch, tuple | list) else batch
        if not isinstance(images, Tensor):
            raise _no_tensors(images)
        if len(images) != len(items):
            raise DataError(f"the collate function makes {len(images)} images of {len(items)} items, not one each")
        # Tensors made in inference mode cannot be saved for a gradient computation.
        return images.clone() if images.is_inference() else images


def _refuse_several_sizes(items: list[Any], error: RuntimeError) -> None:
    images = [item[0] if isinstance(item, tuple | list) else item for item in items]
    shapes = {tuple(image.shape) for image in images if isinstance(image, Tensor)}
    if len(shapes) > 1:
        first, second, *_ = sorted(shapes)
        raise DataError(
            f"images of several sizes cannot share a batch (found {first} and {second}): resize and crop them in the "
            "data set's transform, or give --size on the command line"
        ) from error


def _no_tensors(images: Any) -> DataError:
    return DataError(
        f"the data set's images are {type(images).__name__}, tensors are needed; give it a transform such as "
        "torchvision.transforms.v2.ToImage followed by ToDtype(torch.float32, scale=True)"
    )


Result_co = TypeVar("Result_co", covariant=True)


class Reader(Protocol[Result_co]):
    """Gives a result, or a failure, for a list of positions."""

    def __getitem__(self, positions: list[int], /) -> Result_co | Failure: ...


def read_all(reader: Reader[Result_co], plan: Sequence[np.ndarray], workers: int, seed: int = 0) -> Iterator[Result_co]:
    """What `reader` gives for each list of positions, in order, read ahead by so many worker processes.

    `seed`: of the worker processes' own random states (torch's, numpy's and Python's), from which a data set's random
    transforms draw there.

    Raises
    ------
    DataError
        If an item fails, or a worker process dies.
    """
    asked = [[int(position) for position in positions] for positions in plan]
    for found in map(reader.__getitem__, asked) if workers == 0 else _from_workers(reader, asked, workers, seed):
        if isinstance(found, Failure):
            raise found.raised()
        yield found


def _from_workers(reader: Any, asked: list[list[int]], workers: int, seed: int) -> Iterator[Any]:
    loader: DataLoader[Any] = DataLoader(
        reader,
        sampler=asked,  # with batch_size=None an index may be anything that the reader takes
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        # A loader without a generator of its own draws its seed from the user's random state.
        generator=torch.Generator().manual_seed(seed),
    )
    try:
        found = iter(loader)
    except Exception as error:
        raise DataError(
            f"worker processes cannot be started ({type(error).__name__}: {reason_of(error)}); use workers=0"
        ) from error
    for _ in asked:
        try:
            result = next(found)
        except RuntimeError as error:
            raise DataError(
                f"a worker process that reads images died ({reason_of(error)}); use fewer workers, or workers=0"
            ) from error
        yield result


def _as_it_is(result: Any) -> Any:
    return result
