"""The usual augmentation of CIFAR: a crop of the padded image and a flip, for a whole batch at once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from unweave.randomness import generator

_PADDING = 8
"""The padding is the height divided by this: 4 pixels for CIFAR's 32."""


def flip_and_crop(images: Tensor, positions: np.ndarray, *key: int) -> Tensor:
    """A random crop of each of `images` `[batch, channels, height, width]`, padded with zeros by an eighth of its
    height, flipped left to right half the time.

    The numbers of an image belong to `key` and its position in the data set, whichever images it shares a batch with.
    Zeros are in the units that the network takes.
    """
    height, width = images.shape[-2:]
    padding = max(1, height // _PADDING)
    # Image i has row i of the numbers that belong to the key, as in `randomness.order`.
    numbers = generator("augmentation", *key).random((int(positions.max()) + 1, 3))[positions]
    top, left = (torch.from_numpy((numbers[:, axis] * (2 * padding + 1)).astype(np.int64)) for axis in (0, 1))
    columns = torch.arange(width).repeat(len(images), 1)
    columns = torch.where(torch.from_numpy(numbers[:, 2] < 0.5)[:, None], columns.flip(1), columns) + left[:, None]
    rows = torch.arange(height) + top[:, None]
    padded = functional.pad(images, (padding,) * 4).permute(0, 2, 3, 1)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    device = images.device
    cropped = padded[batch, rows.to(device)[:, :, None], columns.to(device)[:, None, :]]
    return cropped.permute(0, 3, 1, 2)
