"""From what a user types (MODEL, DATA, preprocessing) to a network and labelled images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from unweave.data.cifar import cifar
from unweave.data.digits import Digits
from unweave.data.folders import EXTENSIONS, image_folder, read_class_list
from unweave.data.labelled import LabelledImages, labelled
from unweave.data.preprocessing import Preprocessing
from unweave.errors import DataError, SettingError
from unweave.network.capture import evaluating_copy
from unweave.zoo.models import load_model
from unweave.zoo.user_file import function_in_file


@dataclass(frozen=True)
class Inputs:
    """A network and its images, as typed: everything needed to open them again."""

    model: str
    train: str | None = None
    validation: str | None = None
    weights: str | None = None
    preprocess: str | None = None
    size: int | None = None
    classes_file: str | None = None
    logits: str | None = None

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Inputs:
        """Back from `as_settings`."""
        try:
            return cls(**settings)
        except TypeError as error:
            raise DataError(f"the run's settings are not of this version of unweave ({error})") from error

    def as_settings(self) -> dict[str, Any]:
        """Plain values for a run folder; paths are made absolute, so that the run can be used from elsewhere."""
        absolute = {name: _absolute(value) for name, value in asdict(self).items() if isinstance(value, str)}
        return {**asdict(self), **absolute}

    def network(self) -> nn.Module:
        """The network that MODEL and weights name."""
        return load_model(self.model, self.weights)

    def images(self, spec: str, network: nn.Module, *, train: bool) -> LabelledImages:
        """The images that DATA names: `imagefolder:PATH`, `cifar10:PATH`, `cifar100:PATH`, `digits` or
        `path/to/file.py:function` (a function that returns a data set of (image tensor, class index))."""
        dataset = self._dataset(spec, network, train=train)
        return labelled(dataset)

    def _dataset(self, spec: str, network: nn.Module, *, train: bool) -> Dataset[Any]:
        kind, _, place = spec.partition(":")
        if spec == "digits":
            return Digits(train)
        if kind in ("cifar10", "cifar100") and place:
            return cifar(place, kind, train, self._transform())
        if kind == "imagefolder" and place:
            return self._image_folder(Path(place), network)
        if spec.rpartition(":")[0].endswith(".py"):
            found: Dataset[Any] = function_in_file(spec)()
            return found
        raise DataError(
            f"no data {spec!r}; give imagefolder:PATH, cifar10:PATH, cifar100:PATH, digits or path/to/file.py:function"
        )

    def _transform(self) -> Preprocessing:
        name, size = self.preprocess, self.size
        if name is None and self.model.startswith(("torchvision:", "timm:")):
            name, size = "imagenet", size or 224
        if name is None:
            raise SettingError("how are the network's pixels scaled? give --preprocess imagenet, unit, signed or raw")
        return Preprocessing(name, size)

    def _image_folder(self, folder: Path, network: nn.Module) -> Dataset[Any]:
        transform = self._transform()
        first = next((file for file in sorted(folder.rglob("*")) if file.suffix.lower() in EXTENSIONS), None)
        if first is None:
            raise DataError(f"no images below {folder}")
        from PIL import Image

        with Image.open(first) as picture:
            example = transform(picture)[None]
        module = evaluating_copy(network, self.logits)
        with torch.no_grad():
            outputs = module(example.to(next(module.parameters(), example).device)).shape[-1]
        entries = read_class_list(self.classes_file) if self.classes_file else None
        return image_folder(folder, transform, outputs, entries)


def _absolute(value: str) -> str:
    """`cifar10:data` -> `cifar10:/here/data`, where the part after or before the colon is a path that exists."""
    kind, colon, place = value.partition(":")
    if colon and kind in ("imagefolder", "cifar10", "cifar100"):
        return f"{kind}:{Path(place).resolve()}"
    file, colon, function = value.rpartition(":")
    if colon and file.endswith(".py"):
        return f"{Path(file).resolve()}:{function}"
    return str(Path(value).resolve()) if Path(value).is_file() else value
