"""From what a user types (MODEL, DATA, preprocessing) to a network and labelled images."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

from torch import nn
from torch.utils.data import Dataset

from unweave.data.cifar import cifar
from unweave.data.digits import Digits
from unweave.data.folders import ClassEntry, first_picture, image_folder, read_class_list
from unweave.data.image_list import image_list
from unweave.data.labelled import LabelledImages, labelled
from unweave.data.preprocessing import Transform, preprocessing_named
from unweave.errors import DataError, RunError, SettingError
from unweave.network.capture import capture
from unweave.runs.folder import RunFolder
from unweave.zoo.hugging_face import class_names, is_place
from unweave.zoo.models import load_model, published_preprocessing
from unweave.zoo.user_file import function_in_file, result_in_file


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
    loaders: int = 0
    strict: bool = False

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Inputs:
        """Back from `as_settings`."""
        try:
            return cls(**settings)
        except TypeError as error:
            raise DataError(f"the run's settings are not of this version of unweave ({error})") from error

    def as_settings(self) -> dict[str, Any]:
        """Plain values for a run folder; paths are made absolute, so that the run can be used from elsewhere."""
        plain = asdict(self)
        places = ("model", "train", "validation", "weights", "classes_file")
        absolute = {name: _absolute(plain[name]) for name in places if plain[name] is not None}
        if self.preprocess is not None and ":" in self.preprocess:  # a user's function, not a name
            absolute["preprocess"] = _absolute(self.preprocess)
        return {**plain, **absolute}

    def as_manifest(self) -> dict[str, Any]:
        """What the result's manifest keeps: how pixels were scaled and what was typed, without this machine's paths."""
        named = ("model", "weights", "preprocess")
        typed = {name: value.rpartition("/")[2] for name in named if (value := getattr(self, name))}
        return {"preprocess": None, **typed, "size": self.size, "logits": self.logits}

    @property
    def logits_key(self) -> str | int | None:
        """Which part of the network's result is the class scores; a position is typed as a number."""
        return logits_key(self.logits)

    def network(self) -> nn.Module:
        """The network that MODEL and weights name."""
        return load_model(self.model, self.weights)

    def images(self, spec: str, network: nn.Module, *, train: bool) -> LabelledImages:
        """The images that DATA names: `imagefolder:PATH`, `imagelist:FILE`, `cifar10:PATH`, `cifar100:PATH`, `digits`
        or `path/to/file.py:function` (a function that returns a data set of (image tensor, class index))."""
        dataset = self._dataset(spec, network, train=train)
        return labelled(dataset, strict=self.strict, workers=self.loaders)

    def _dataset(self, spec: str, network: nn.Module, *, train: bool) -> Dataset[Any]:
        kind, _, place = spec.partition(":")
        if spec == "digits":
            self._refuse_unused(spec, "preprocess", "size", "classes_file")
            return Digits(train)
        if kind in ("cifar10", "cifar100") and place:
            self._refuse_unused(kind, "classes_file")
            return cifar(place, kind, train, self._transform())
        if kind == "imagefolder" and place:
            return self._image_folder(Path(place), network)
        if kind == "imagelist" and place:
            file, root = _list_and_root(place)
            return image_list(file, self._transform(), self._class_list(network), root)
        if spec.rpartition(":")[0].endswith(".py"):
            self._refuse_unused(spec, "preprocess", "size", "classes_file")
            found: Dataset[Any] = result_in_file(spec)
            return found
        raise DataError(
            f"no data {spec!r}; give imagefolder:PATH, imagelist:FILE, cifar10:PATH, cifar100:PATH, digits or "
            "path/to/file.py:function"
        )

    def _refuse_unused(self, spec: str, *options: str) -> None:
        """Data that brings its own images, scaled, has no use for some options; none is taken in silence."""
        kinds = {part.partition(":")[0] for part in (self.train, self.validation) if part is not None}
        for option in options:
            if getattr(self, option) is not None and len(kinds) < 2:
                raise SettingError(f"{spec} has no use for --{option.replace('_', '-')}")

    def _transform(self) -> Transform:
        name, size = self.preprocess, self.size
        if name is None and (published := published_preprocessing(self.model)):
            name, size = published[0], size or published[1]
        if name is None:
            raise SettingError(
                "how are the network's pixels scaled? give --preprocess imagenet, unit, signed, raw or "
                "path/to/file.py:function"
            )
        return preprocessing_named(name, size, function_in_file)

    def _image_folder(self, folder: Path, network: nn.Module) -> Dataset[Any]:
        transform = self._transform()
        example = first_picture(folder, transform)[None]
        outputs = capture(network, example, self.logits_key).classes
        return image_folder(folder, transform, outputs, self._class_list(network))

    def _class_list(self, network: nn.Module) -> list[ClassEntry] | None:
        """That of a file, or the network's own names."""
        if self.classes_file:
            return read_class_list(self.classes_file)
        names = class_names(network)
        return [ClassEntry(index, "", name) for index, name in enumerate(names)] if names else None


def recorded_inputs(folder: RunFolder) -> tuple[Inputs, int]:
    """How the network and images of a run are opened, and its seed.

    Raises
    ------
    RunError
        If the folder holds no run of the command line's, or what it says is damaged.
    """
    settings = folder.read_inputs()
    typed, seed = settings.get("inputs"), settings.get("seed")
    hints = get_type_hints(Inputs)
    if not isinstance(typed, dict) or not isinstance(seed, int) or seed < 0:
        raise RunError(f"{folder.inputs_file} is damaged (no inputs and seed); repeat the command that made the run")
    for name, value in typed.items():
        if name not in hints or not isinstance(value, hints[name]):
            raise RunError(
                f"{folder.inputs_file} is damaged, or another version's ({name!r} cannot be {value!r}); repeat the "
                "command that made the run"
            )
    return Inputs.from_settings(typed), seed


def logits_key(text: str | None) -> str | int | None:
    """A position is typed as a number."""
    return int(text) if text is not None and text.removeprefix("-").isdigit() else text


def _list_and_root(place: str) -> tuple[str, str | None]:
    """`FILE` or `FILE:FOLDER`; a file's own name may hold colons."""
    if os.path.isfile(place):
        return place, None
    file, _, root = place.rpartition(":")
    return (file, root) if file else (place, None)


def _absolute(value: str) -> str:
    """`cifar10:data` -> `cifar10:/here/data`, where the part after or before the colon is a path that exists."""
    kind, colon, place = value.partition(":")
    if colon and (kind in ("imagefolder", "cifar10", "cifar100") or (kind == "hf" and is_place(place))):
        return f"{kind}:{Path(place).resolve()}"
    if colon and kind == "imagelist":
        listed, root = _list_and_root(place)
        return ":".join([kind, str(Path(listed).resolve()), *([str(Path(root).resolve())] if root else [])])
    file, colon, function = value.rpartition(":")
    if colon and file.endswith(".py"):
        return f"{Path(file).resolve()}:{function}"
    return str(Path(value).resolve()) if os.path.isfile(value) else value
