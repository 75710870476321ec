"""Inputs, one row each: images in a tensor, or a data set; labels only where they are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.utils.data import TensorDataset

from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.errors import DataError, SettingError


def labelled_inputs(
    images: Tensor | Data | LabelledImages, labels: Sequence[int] | Tensor | None = None, *, strict: bool = False
) -> LabelledImages:
    """`images` `[inputs, ...]`, or anything that `labelled` takes; the label of an image in a tensor is -1, unless
    `labels` says otherwise.

    Raises
    ------
    DataError
        If there are no images, or they are an array.
    """
    if isinstance(images, np.ndarray):
        raise DataError("images are a numpy array, a tensor is needed; give torch.from_numpy(images)")
    if not isinstance(images, Tensor):
        return labelled(images, labels, strict=strict)
    if images.ndim < 2 or len(images) == 0:
        raise DataError(f"images [inputs, ...] are needed, at least one, found shape {tuple(images.shape)}")
    dataset = TensorDataset(images.detach())
    if labels is not None:
        return labelled(dataset, labels, strict=strict)
    return LabelledImages(dataset, np.full(len(images), -1, dtype=np.int64))


def evenly_spread(images: LabelledImages, limit: int | None) -> np.ndarray:
    """Positions, ascending, of at most `limit` images, evenly spread over all.

    Raises
    ------
    SettingError
        If `limit` is not a whole number of at least 1.
    """
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise SettingError(f"limit must be a whole number of at least 1, found {limit!r}")
    count = len(images) if limit is None else min(limit, len(images))
    return np.linspace(0, len(images) - 1, count).astype(np.int64)
