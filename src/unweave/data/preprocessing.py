"""From pictures to tensors: values scaled by name, or a user's function. Never guessed for a user's own network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional

from unweave.data.pictures import MOST_PIXELS, reason_of, to_rgb
from unweave.errors import DamagedImageError, DataError, SettingError

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
        self.name, self.size = name, _checked(size)

    def __call__(self, picture: Image.Image) -> Tensor:
        return self.scaled(self.pixels(picture))

    def pixels(self, picture: Image.Image) -> Tensor:
        """The picture resized and cropped, not yet scaled: uint8 `[3, height, width]`, a quarter of the memory."""
        pixels: Tensor = functional.pil_to_tensor(_resized(picture, self.size))
        return pixels

    def scaled(self, pixels: Tensor) -> Tensor:
        """What the network takes of `pixels`, uint8 `[..., 3, height, width]`; the same numbers one by one or many at
        once."""
        return scale(pixels, self.name)


class UserPreprocessing:
    """A user's function from a picture (RGB, 8 bit) to the tensor `[channels, height, width]` that a network takes.

    `find(name)` gives the function. It is called at once, and again in every worker process that starts afresh: a
    function of a user's file cannot be sent there, its name can. `size` resizes and crops first, as `Preprocessing`.
    """

    def __init__(self, name: str, find: Callable[[str], Callable[..., Any]], size: int | None = None) -> None:
        self.name, self.size, self.find = name, _checked(size), find
        self.function = find(name)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.find, self.size)

    def __call__(self, picture: Image.Image) -> Tensor:
        prepared = _resized(picture, self.size)
        try:
            found = self.function(prepared)
        except Exception as error:
            raise DataError(f"{self.name} fails on a picture: {type(error).__name__}: {reason_of(error)}") from error
        if not isinstance(found, Tensor) or found.ndim != 3:
            what = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise DataError(f"{self.name} returns {what}; a tensor [channels, height, width] is needed")
        return found


def preprocessing_named(
    name: str, size: int | None = None, find: Callable[[str], Callable[..., Any]] | None = None
) -> Transform:
    """The preprocessing that `name` says: one of `PREPROCESSINGS`, or `path/to/file.py:function`, which `find` finds.

    Raises
    ------
    SettingError
        If there is none of that name, or `size` is not positive.
    """
    if find is not None and name.rpartition(":")[0].endswith(".py"):
        return UserPreprocessing(name, find, size)
    return Preprocessing(name, size)


def _checked(size: int | None) -> int | None:
    if size is not None and size < 1:
        raise SettingError(f"size must be at least 1 pixel, found {size}")
    return size


def _resized(picture: Image.Image, size: int | None) -> Image.Image:
    """The picture in RGB, its short side resized to `size` and the centre square cropped, if a size is given."""
    colour = to_rgb(picture)
    if size is None:
        return colour
    short, long = sorted(colour.size)
    if size * size * long // short > MOST_PIXELS:  # a line of pixels would become a picture of many gigabytes
        raise DamagedImageError(f"a picture of {colour.width} x {colour.height} pixels is too narrow for size {size}")
    resized: Image.Image = functional.center_crop(functional.resize(colour, [size], antialias=True), [size])
    return resized


def _unknown(name: str) -> SettingError:
    known = ", ".join(f"{key} ({meaning})" for key, meaning in PREPROCESSINGS.items())
    return SettingError(f"no preprocessing {name!r}; there are {known}, or path/to/file.py:function")


def scale(pixels: Tensor, name: str) -> Tensor:
    """Scale `pixels` (0..255, `[..., channels, height, width]`) to float32 as preprocessing `name` says."""
    # A copy even of floats, and then in place: new tensors for every step take three times as long.
    values = pixels.to(torch.float32, copy=True)
    if name == "raw":
        return values
    if name == "signed":
        return values.div_(127.5).sub_(1)
    if name == "unit":
        return values.div_(255)
    if name != "imagenet":
        raise _unknown(name)
    mean = torch.tensor(IMAGENET_MEAN, device=values.device).view(3, 1, 1)
    deviation = torch.tensor(IMAGENET_DEVIATION, device=values.device).view(3, 1, 1)
    return values.div_(255).sub_(mean).div_(deviation)


Transform = Callable[[Image.Image], Tensor]
