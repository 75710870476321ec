"""Image folders: one folder a class, mapped to the network's outputs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from unweave.data.preprocessing import Transform
from unweave.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff", ".gif")


@dataclass(frozen=True)
class ClassEntry:
    """One class of a network: its output, WordNet id (or empty) and name."""

    index: int
    wnid: str
    name: str


class FolderImages(Dataset[tuple[Tensor, int]]):
    """Pictures below one folder a class. `samples` lists (file, class index); `classes` names all of them."""

    def __init__(self, samples: list[tuple[str, int]], classes: list[str], transform: Transform) -> None:
        self.samples, self.classes, self.transform = samples, classes, transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        file, label = self.samples[position]
        try:
            with Image.open(file) as picture:
                return self.transform(picture), label
        except OSError as error:
            raise DataError(f"{file} cannot be read as an image ({error})") from error


def image_folder(
    folder: str | Path, transform: Transform, outputs: int, class_list: list[ClassEntry] | None = None
) -> FolderImages:
    """The images below `folder`, one sub-folder a class.

    Without `class_list`, as many sub-folders as the network has outputs means that the k-th in sorted order is output
    k. With it, a sub-folder's name is a WordNet id, a class name or an output's index, and a part of the classes will
    do.

    Raises
    ------
    DataError
        If there are no images, or a sub-folder cannot be mapped to one output.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"no folder {folder}")
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not inner:
        raise DataError(f"{folder} has no sub-folders; one folder a class is needed")
    if class_list is None and len(inner) != outputs:
        raise DataError(
            f"{folder} has {len(inner)} class folders, the network {outputs} outputs; give a class list (a JSON "
            'list of {"index", "wnid", "name"}) that maps folders to outputs'
        )
    samples = []
    for position, path in enumerate(inner):
        index = position if class_list is None else _output_of(path.name, class_list)
        if not 0 <= index < outputs:
            raise DataError(f"folder {path.name!r} is output {index} in the class list, the network has {outputs}")
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in EXTENSIONS)
        samples += [(str(file), index) for file in files]
    if not samples:
        raise DataError(f"no images below {folder}")
    names = [path.name for path in inner] if class_list is None else _names(class_list, outputs)
    return FolderImages(samples, names, transform)


def _output_of(name: str, class_list: list[ClassEntry]) -> int:
    matches = [e.index for e in class_list if name in (e.wnid, e.name)] or [
        e.index for e in class_list if name == str(e.index)
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise DataError(f"folder {name!r} names {len(matches)} classes ({matches}); name the folder by its index")
    raise DataError(f"folder {name!r} is no WordNet id, name or index in the class list")


def _names(class_list: list[ClassEntry], outputs: int) -> list[str]:
    names = [str(index) for index in range(outputs)]
    for entry in class_list:
        if 0 <= entry.index < outputs:
            names[entry.index] = entry.name
    return names


def read_class_list(file: str | Path) -> list[ClassEntry]:
    """A JSON list of `{"index", "wnid", "name"}`.

    Raises
    ------
    DataError
        If the file is not that.
    """
    try:
        entries: list[Any] = json.loads(Path(file).read_text(encoding="utf-8"))
        return [ClassEntry(int(e["index"]), str(e.get("wnid", "")), str(e["name"])) for e in entries]
    except OSError as error:
        raise DataError(f"class list {file} cannot be read ({error})") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{file} is not a JSON list of {{index, wnid, name}} ({error})") from error
