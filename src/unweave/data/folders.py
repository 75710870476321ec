"""Image folders: one folder a class, mapped to the network's outputs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from torch import Tensor

from unweave.data.class_list import ClassEntry, FolderNames, names_of, read_class_list
from unweave.data.file_list import FileList
from unweave.data.pictures import read_picture, reason_of
from unweave.data.pixels import PictureData
from unweave.data.preprocessing import Transform
from unweave.errors import DamagedImageError, DataError

__all__ = ["EXTENSIONS", "ClassEntry", "FileImages", "first_picture", "image_folder", "read_class_list"]

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff", ".gif")

_MOST_TRIES = 200
_DEEPEST_CLASS = 4
"""Of Places365, whose deepest class names are such as `a/arena/hockey`, and one more."""


class FileImages(PictureData):
    """Pictures in files. `samples` lists (file, class index); `classes` names all of them.

    An item that cannot be read raises `DamagedImageError`.
    """

    def __init__(self, samples: FileList, classes: list[str], transform: Transform) -> None:
        self.samples, self.targets, self.classes, self.transform = samples, samples.labels, classes, transform

    def picture(self, position: int) -> Image.Image:
        """The picture as it is in its file, in RGB."""
        return read_picture(self.samples[position][0])


def image_folder(
    folder: str | Path, transform: Transform, outputs: int, class_list: list[ClassEntry] | None = None
) -> FileImages:
    """The images below `folder`, one sub-folder a class. Hidden files and folders are left out.

    Without `class_list`, as many sub-folders as the network has outputs means that the k-th in sorted order is output
    k. With it, a sub-folder's name is a WordNet id, a class name or an output's index, and a part of the classes will
    do; names with slashes (`a/arena/hockey`) are folders in folders. A warning names class folders without images.

    Raises
    ------
    DataError
        If there are no images, a folder cannot be read, or a sub-folder cannot be mapped to one output.
    """
    folder = Path(folder)
    known = None if class_list is None else FolderNames(class_list)
    inner = _class_folders(folder, known)
    if class_list is None and len(inner) != outputs:
        raise DataError(
            f"{folder} has {len(inner)} class folders, the network {outputs} outputs; give a class list (a JSON "
            'list of {"index", "wnid", "name"}) that maps folders to outputs'
        )
    indices = list(range(outputs)) if known is None else known.outputs_of(list(inner))
    for name, index in zip(inner, indices, strict=True):
        if index >= outputs:
            raise DataError(f"folder {name!r} is output {index} in the class list, the network has {outputs}")
    files: list[str] = []
    labels: list[int] = []
    empty = []
    above = len(os.path.join(folder, ""))
    for (name, path), index in zip(inner.items(), indices, strict=True):
        found = [file[above:] for file in _image_files(path)]
        files += found
        labels += [index] * len(found)
        empty += [] if found else [name]
    if not files:
        raise DataError(f"no images below {folder}")
    if empty:
        some = ", ".join(map(repr, empty[:3])) + (", ..." if len(empty) > 3 else "")
        warnings.warn(f"{len(empty)} of {len(inner)} class folders have no images: {some}", UserWarning, stacklevel=2)
    names = list(inner) if class_list is None else names_of(class_list, outputs)
    return FileImages(FileList(folder, files, labels), names, transform)


def first_picture(folder: str | Path, transform: Transform) -> Tensor:
    """The first picture below `folder` that can be read, transformed: `[channels, height, width]`.

    Raises
    ------
    DataError
        If there is none, or the first 200 are damaged.
    """
    damaged: list[DamagedImageError] = []
    for path in _class_folders(Path(folder)).values():
        for file in _image_files(path):
            try:
                return transform(read_picture(file))
            except DamagedImageError as error:
                damaged.append(error)
            if len(damaged) == _MOST_TRIES:
                break
    if not damaged:
        raise DataError(f"no images below {folder}")
    raise DataError(f"the first {len(damaged)} images below {folder} are damaged; the first: {damaged[0]}")


def _class_folders(folder: Path, known: FolderNames | None = None) -> dict[str, Path]:
    """Folders by name, in sorted order; of names that a class list does not know, those below that it does."""
    if not os.path.isdir(folder):
        raise DataError(f"no folder {folder}")
    entries = _listed(folder)
    inner = [Path(entry.path) for entry in entries if _is_folder(entry)]
    if not inner:
        images = "images and " if any(_is_image(entry.name) for entry in entries) else ""
        raise DataError(f"{folder} has {images}no sub-folders; one folder a class is needed")
    if known is None:
        return {_name(path): path for path in inner}
    found: dict[str, Path] = {}
    for path in inner:
        found |= _known_below(path, _name(path), known, _DEEPEST_CLASS) or {_name(path): path}
    return found


def _known_below(folder: Path, name: str, known: FolderNames, depth: int) -> dict[str, Path]:
    if name in known:
        return {name: folder}
    found: dict[str, Path] = {}
    for entry in _listed(folder) if depth > 1 else []:
        if _is_folder(entry):
            found |= _known_below(Path(entry.path), f"{name}/{_name(Path(entry.path))}", known, depth - 1)
    return found


def _image_files(folder: Path) -> Iterator[str]:
    """Image files below `folder`, sorted by the parts of their paths. Every folder is entered once, whatever links
    lead to it, and links do not lead out to the folders above."""
    entered = {_identity(folder), _identity(folder.parent)}
    waiting = _listed(folder)[::-1]
    while waiting:
        entry = waiting.pop()
        if not _is_folder(entry):
            if _is_image(entry.name):
                yield entry.path
        elif (identity := _identity(entry.path)) not in entered:
            entered.add(identity)
            waiting += _listed(entry.path)[::-1]


def _listed(folder: str | Path) -> list[os.DirEntry[str]]:
    """What is in `folder`, sorted, without what is hidden."""
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"folder {folder} cannot be read ({reason_of(error)})") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _name(folder: Path) -> str:
    """The folder's name; bytes that are no Unicode, which file systems allow and files cannot hold, are escaped."""
    return os.fsencode(folder.name).decode("utf-8", "backslashreplace")
