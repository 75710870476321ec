"""CIFAR-10 and CIFAR-100 from a folder: torchvision's files, or sheets of tiles."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unweave.data.pictures import read_picture, reason_of
from unweave.data.pixels import PictureData
from unweave.data.preprocessing import Transform
from unweave.errors import DataError
from unweave.files import read_bytes

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_GROUPS = {
    "animals": ("bird", "cat", "deer", "dog", "frog", "horse"),
    "vehicles": ("airplane", "automobile", "ship", "truck"),
}


class CifarImages(PictureData):
    """Pictures `[count, 32, 32, 3]` held in memory, with labels and class names."""

    def __init__(self, pixels: np.ndarray, targets: np.ndarray, classes: list[str], transform: Transform) -> None:
        self.pixels, self.targets, self.classes, self.transform = pixels, targets, classes, transform

    def picture(self, position: int) -> Image.Image:
        """The image as it is kept."""
        return Image.fromarray(self.pixels[position])


def cifar(folder: str | Path, variant: str, train: bool, transform: Transform) -> CifarImages:
    """CIFAR as users have it: torchvision's extracted files (`cifar-10-batches-py`, `cifar-100-python`), or, for
    CIFAR-10, sheets of 40 x 25 tiles (`train_00.webp` ... , `test_00.webp`, `train_labels.npy`, `test_labels.npy`).

    Raises
    ------
    DataError
        If the folder holds neither, or its files are damaged or not the published ones.
    """
    folder = Path(folder)
    part = "train" if train else "test"
    if variant == "cifar10" and os.path.isfile(folder / f"{part}_labels.npy"):
        return _from_sheets(folder, part, transform)
    from torchvision import datasets

    kind: Any = datasets.CIFAR10 if variant == "cifar10" else datasets.CIFAR100
    root = folder.parent if folder.name == kind.base_folder else folder
    if not os.path.isdir(root / kind.base_folder):
        raise DataError(
            f"{folder} holds no {variant}: neither torchvision's {kind.base_folder}/ nor sheets ({part}_labels.npy)"
        )
    _check_published(root / kind.base_folder, kind)
    found = kind(root, train=train, download=False)
    return CifarImages(found.data, np.asarray(found.targets), list(found.classes), transform)


def _check_published(folder: Path, kind: Any) -> None:
    """Reading a pickle runs code: only the published files, told by their checksums, are read."""
    published = [*kind.train_list, *kind.test_list, [kind.meta["filename"], kind.meta["md5"]]]
    for name, checksum in published:
        try:
            content = read_bytes(folder / name)
        except OSError as error:
            raise DataError(
                f"{folder / name} cannot be read ({reason_of(error)}); extract the archive again"
            ) from error
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != checksum:
            raise DataError(f"{folder / name} is not the published file (another checksum); extract the archive again")


def _from_sheets(folder: Path, part: str, transform: Transform) -> CifarImages:
    labels = _labels(folder / f"{part}_labels.npy")
    sheets = sorted(folder.glob(f"{part}_[0-9][0-9].*"))
    if not sheets:
        raise DataError(f"{folder} has {part}_labels.npy but no sheets {part}_00.webp ...")
    pixels = np.concatenate([_tiles(sheet) for sheet in sheets])
    if len(pixels) != len(labels):
        raise DataError(f"{folder}: {len(pixels)} {part} images in the sheets, {len(labels)} labels")
    return CifarImages(pixels, labels, list(CIFAR10_CLASSES), transform)


def _labels(file: Path) -> np.ndarray:
    try:
        with file.open("rb") as opened:  # NumPy leaves a damaged archive open
            labels: Any = np.load(opened, allow_pickle=False)
    except Exception as error:
        raise DataError(f"{file} cannot be read as a NumPy array ({reason_of(error)})") from error
    if not isinstance(labels, np.ndarray) or labels.ndim != 1 or labels.dtype.kind not in "iu":
        found = f"{labels.dtype} {labels.shape}" if isinstance(labels, np.ndarray) else "an archive of arrays"
        raise DataError(f"{file} is {found}; one whole number an image is needed")
    wrong = labels[(labels < 0) | (labels >= len(CIFAR10_CLASSES))]
    if len(wrong):
        raise DataError(f"{file}: labels go from 0 to {len(CIFAR10_CLASSES) - 1}, found {wrong[:3].tolist()}")
    return labels.astype(np.int64)


def _tiles(sheet: Path) -> np.ndarray:
    pixels = np.asarray(read_picture(sheet))
    rows, columns = pixels.shape[0] // 32, pixels.shape[1] // 32
    if pixels.shape != (rows * 32, columns * 32, 3):
        raise DataError(f"{sheet} is {pixels.shape[1]} x {pixels.shape[0]} pixels, not a sheet of 32 x 32 tiles")
    tiles = pixels.reshape(rows, 32, columns, 32, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(tiles.reshape(-1, 32, 32, 3))
