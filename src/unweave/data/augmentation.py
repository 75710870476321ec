"""Augmentations: the NAD program's and a milder one. Random numbers belong to (seed, class, pass, image)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from unweave.randomness import generator

AUGMENTATIONS = ("none", "published", "mild")
_SMALLEST, _LARGEST = 0.08, 1.25
_RATIO = (3 / 4, 4 / 3)
_SMALLEST_MILD = 0.4


def augment(image: Tensor, *key: int, largest: float = _LARGEST) -> Tensor:
    """Random resized crop to the image's own size (area 0.08 to `largest` of it, aspect 3/4 to 4/3), then a flip half
    the time.

    `image` is `[channels, height, width]`. As in the published program, an area above the image's own is tried again;
    after ten tries the whole image is taken.
    """
    numbers = generator("augmentation", *key)
    height, width = image.shape[-2:]
    top, left, tall, wide = _crop(numbers, height, width, largest)
    cropped = functional.resized_crop(image, top, left, tall, wide, [height, width], antialias=True)
    result: Tensor = functional.horizontal_flip(cropped) if numbers.random() < 0.5 else cropped
    return result


def _crop(numbers: np.random.Generator, height: int, width: int, largest: float) -> tuple[int, int, int, int]:
    for _ in range(10):
        area = height * width * numbers.uniform(_SMALLEST, largest)
        aspect = math.exp(numbers.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
        wide, tall = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < tall <= height:
            return int(numbers.integers(height - tall + 1)), int(numbers.integers(width - wide + 1)), tall, wide
    return 0, 0, height, width


def augment_batch(images: Tensor, keys: list[tuple[int, ...]], *, largest: float = _LARGEST) -> Tensor:
    """`augment` for every image of a batch, each by its own key."""
    return torch.stack([augment(image, *key, largest=largest) for image, key in zip(images, keys, strict=True)])


def augment_mildly(image: Tensor, *key: int) -> Tensor:
    """Half the time the image itself; else a crop of its own proportions, area 0.4 to 1 of it, resized back, and then a
    flip half the time.

    Where a network is sure of nearly all of its training images, these show which channels harder images need; the
    published crops, down to a twelfth of the area, leave little of a small picture.
    """
    numbers = generator("augmentation", *key)
    if numbers.random() < 0.5:
        return image
    height, width = image.shape[-2:]
    side = math.sqrt(numbers.uniform(_SMALLEST_MILD, 1.0))
    tall, wide = max(1, round(height * side)), max(1, round(width * side))
    top, left = int(numbers.integers(height - tall + 1)), int(numbers.integers(width - wide + 1))
    cropped = functional.resized_crop(image, top, left, tall, wide, [height, width], antialias=True)
    result: Tensor = functional.horizontal_flip(cropped) if numbers.random() < 0.5 else cropped
    return result


def augment_batch_as(name: str, images: Tensor, keys: list[tuple[int, ...]]) -> Tensor:
    """A batch by one of `AUGMENTATIONS`."""
    if name == "published":
        return augment_batch(images, keys)
    if name == "mild":
        return torch.stack([augment_mildly(image, *key) for image, key in zip(images, keys, strict=True)])
    return images
