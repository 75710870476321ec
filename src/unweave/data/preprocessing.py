"""Scaling of pixel values, by name. Never guessed for a user's own network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional

from unweave.errors import SettingError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

PREPROCESSINGS: dict[str, str] = {
    "raw": "0..255",
    "unit": "pixels / 255",
    "signed": "pixels / 127.5 - 1",
    "imagenet": "pixels / 255, then ImageNet's mean and deviation",
}


class Preprocessing:
    """From a picture to the tensor `[channels, height, width]` that a network takes.

    `name` is one of `PREPROCESSINGS`; `size`, if given, resizes the short side to it and crops the centre square.
    """

    def __init__(self, name: str, size: int | None = None) -> None:
        if name not in PREPROCESSINGS:
            raise _unknown(name)
        if size is not None and size < 1:
            raise SettingError(f"size must be at least 1 pixel, found {size}")
        self.name, self.size = name, size

    def __call__(self, picture: Image.Image) -> Tensor:
        colour = picture.convert("RGB")
        if self.size is not None:
            colour = functional.center_crop(functional.resize(colour, [self.size], antialias=True), [self.size])
        return scale(functional.pil_to_tensor(colour), self.name)


def _unknown(name: str) -> SettingError:
    known = ", ".join(f"{key} ({meaning})" for key, meaning in PREPROCESSINGS.items())
    return SettingError(f"no preprocessing {name!r}; there are {known}")


def scale(pixels: Tensor, name: str) -> Tensor:
    """Scale `pixels` (0..255, `[..., channels, height, width]`) to float32 as preprocessing `name` says."""
    values = pixels.to(torch.float32)
    if name == "raw":
        return values
    if name == "signed":
        return values / 127.5 - 1
    if name == "unit":
        return values / 255
    if name != "imagenet":
        raise _unknown(name)
    mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    deviation = torch.tensor(IMAGENET_DEVIATION).view(3, 1, 1)
    return (values / 255 - mean) / deviation


Transform = Callable[[Image.Image], Tensor]
