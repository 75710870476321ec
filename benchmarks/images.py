"""The real images of each network: CIFAR-10 for small ones, Imagenette for those of ImageNet."""

from __future__ import annotations

import csv

from torch.utils.data import Subset

from benchmarks.common import real_data
from unweave.data.cifar import _from_sheets, cifar
from unweave.data.folders import image_folder, read_class_list
from unweave.data.labelled import LabelledImages, labelled
from unweave.data.preprocessing import Preprocessing

PREPROCESSING = {
    "resnet20": "imagenet",
    "resnet56": "imagenet",
    "densenet40": "raw",
    "squeezenet": "imagenet",
    "mobilenet_v1": "signed",
}
IMAGENET = ("squeezenet", "mobilenet_v1")


def data_of(name: str):
    """(search images, images to measure on)"""
    data = real_data() / "data"
    if name not in IMAGENET:
        transform = Preprocessing(PREPROCESSING[name])
        return [labelled(cifar(data / "cifar10", "cifar10", train, transform)) for train in (True, False)]
    transform = Preprocessing(PREPROCESSING[name], 224)
    entries = read_class_list(data / "imagenet_classes.json")
    train, val = (image_folder(data / "imagenette" / part, transform, 1000, entries) for part in ("train", "val"))
    with open(data / "imagenette" / "labels.csv") as lines:
        published = {row["path"] for row in csv.DictReader(lines) if row["origin"] == "imagenet_val"}
    root = data / "imagenette"
    seen = [i for i, (file, _) in enumerate(train.samples) if file[len(str(root)) + 1 :] not in published]
    unseen = [i for i, (file, _) in enumerate(val.samples) if file[len(str(root)) + 1 :] in published]
    return labelled(Subset(train, seen)), labelled(Subset(val, unseen))


def compressed_tests(name: str) -> LabelledImages | None:
    """CIFAR-10's 10,000 test images after strong JPEG compression, shuffled, as they were found elsewhere: not the
    benchmark's test set (networks reach some 82 % on it), but unseen, and with many that are misjudged."""
    if name in IMAGENET:
        return None
    return labelled(_from_sheets(real_data() / "data" / "cifar10", "test_jpeg", Preprocessing(PREPROCESSING[name])))
