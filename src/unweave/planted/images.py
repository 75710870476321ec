"""Generated images whose classes a few small filters can tell apart. No download."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import TensorDataset

SIZE = 8


def class_images(classes: int, per_class: int, seed: int, part: int) -> TensorDataset:
    """`classes * per_class` images `[1, 8, 8]` with their classes, class after class.

    A class is a smooth random pattern, the same in every `part` (0: to train and search on, 1: held out, 2: to check
    the truth on); an image is it, moved by up to a pixel, brighter or darker, with noise.
    """
    patterns = _patterns(classes, torch.Generator().manual_seed(2 * seed))
    draw = torch.Generator().manual_seed(1_000_003 * (seed + 1) + part)
    labels = torch.arange(classes).repeat_interleave(per_class)
    wide = functional.pad(patterns, (1, 1, 1, 1), mode="replicate")[labels]
    moves = torch.randint(0, 3, (len(labels), 2), generator=draw)
    rows = moves[:, :1] + torch.arange(SIZE)
    columns = moves[:, 1:] + torch.arange(SIZE)
    moved = wide[torch.arange(len(labels))[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]
    brightness = 0.8 + 0.4 * torch.rand(len(labels), 1, 1, 1, generator=draw)
    noise = 0.3 * torch.randn(moved.shape, generator=draw)
    return TensorDataset(moved * brightness + noise, labels)


def _patterns(classes: int, draw: torch.Generator) -> Tensor:
    """`[classes, 1, 8, 8]`: random numbers on a 4 x 4 grid, made smooth; mean 0, deviation 1."""
    coarse = torch.randn(classes, 1, 4, 4, generator=draw)
    fine = functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    return (fine - fine.mean((1, 2, 3), keepdim=True)) / fine.std((1, 2, 3), keepdim=True)
