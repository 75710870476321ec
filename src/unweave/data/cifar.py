"""CIFAR-10 and CIFAR-100 from a folder: torchvision's files, or sheets of tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from unweave.data.preprocessing import Transform
from unweave.errors import DataError

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class CifarImages(Dataset[tuple[Tensor, int]]):
    """Pictures `[count, 32, 32, 3]` held in memory, with labels and class names."""

    def __init__(self, pixels: np.ndarray, targets: np.ndarray, classes: list[str], transform: Transform) -> None:
        self.pixels, self.targets, self.classes, self.transform = pixels, targets, classes, transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[position])), int(self.targets[position])


def cifar(folder: str | Path, variant: str, train: bool, transform: Transform) -> CifarImages:
    """CIFAR as users have it: torchvision's extracted files (`cifar-10-batches-py`, `cifar-100-python`), or, for
    CIFAR-10, sheets of 40 x 25 tiles (`train_00.webp` ... , `test_00.webp`, `train_labels.npy`, `test_labels.npy`).

    Raises
    ------
    DataError
        If the folder holds neither.
    """
    folder = Path(folder)
    part = "train" if train else "test"
    if variant == "cifar10" and (folder / f"{part}_labels.npy").is_file():
        return _from_sheets(folder, part, transform)
    from torchvision import datasets

    kind: Any = datasets.CIFAR10 if variant == "cifar10" else datasets.CIFAR100
    root = folder.parent if folder.name == kind.base_folder else folder
    try:
        found = kind(root, train=train, download=False)
    except RuntimeError as error:
        raise DataError(
            f"{folder} holds no {variant}: neither torchvision's {kind.base_folder}/ nor sheets ({part}_labels.npy)"
        ) from error
    return CifarImages(found.data, np.asarray(found.targets), list(found.classes), transform)


def _from_sheets(folder: Path, part: str, transform: Transform) -> CifarImages:
    labels = np.load(folder / f"{part}_labels.npy", allow_pickle=False)
    sheets = sorted(folder.glob(f"{part}_[0-9][0-9].*"))
    if not sheets:
        raise DataError(f"{folder} has {part}_labels.npy but no sheets {part}_00.webp ...")
    pixels = np.concatenate([_tiles(sheet) for sheet in sheets])
    if len(pixels) != len(labels):
        raise DataError(f"{folder}: {len(pixels)} {part} images in the sheets, {len(labels)} labels")
    return CifarImages(pixels, labels.astype(np.int64), list(CIFAR10_CLASSES), transform)


def _tiles(sheet: Path) -> np.ndarray:
    try:
        with Image.open(sheet) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise DataError(f"{sheet} cannot be read as an image ({error})") from error
    rows, columns = pixels.shape[0] // 32, pixels.shape[1] // 32
    if pixels.shape != (rows * 32, columns * 32, 3):
        raise DataError(f"{sheet} is {pixels.shape[1]} x {pixels.shape[0]} pixels, not a sheet of 32 x 32 tiles")
    tiles = pixels.reshape(rows, 32, columns, 32, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(tiles.reshape(-1, 32, 32, 3))
