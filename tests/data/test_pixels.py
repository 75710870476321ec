"""Pictures on their way as 8-bit pixels: the same images, in a quarter of the memory."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset, default_collate

from unweave.data.cifar import CifarImages
from unweave.data.labelled import labelled
from unweave.data.pixels import PictureData, pixels_of
from unweave.data.preprocessing import Preprocessing, UserPreprocessing
from unweave.errors import DataError

SIZE = 4


def pictures(transform, kind=CifarImages):
    """Six pictures of 4 x 4 random pixels; the k-th is of class k."""
    numbers = np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)
    return kind(numbers, np.arange(6), list("abcdef"), transform)


class Inverted(CifarImages):
    """A user's class that makes items in a way of its own."""

    def __getitem__(self, position):
        image, label = super().__getitem__(position)
        return -image, label


class OutOfOrder(PictureData):
    """Pictures that cannot be read, for a reason that is no damage."""

    def __init__(self):
        self.transform, self.targets, self.classes = Preprocessing("unit"), np.zeros(2, dtype=np.int64), ["a"]

    def picture(self, position):
        raise RuntimeError("the archive is closed")


@pytest.mark.parametrize("scaling", ["raw", "unit", "signed", "imagenet"])
def test_batches_of_pictures_hold_the_items(scaling):
    data = pictures(Preprocessing(scaling))
    (batch,) = labelled(data).batches([np.array([4, 1])])
    assert torch.equal(batch.images, torch.stack([data[4][0], data[1][0]]))


def test_items_of_a_subset_of_a_subset_are_found():
    data = pictures(Preprocessing("unit"))
    part = Subset(Subset(data, [5, 3, 1]), [2, 0])
    (batch,) = labelled(part).batches([np.array([0, 1])])
    assert labelled(part).are_pictures
    assert torch.equal(batch.images, torch.stack([data[1][0], data[5][0]]))


def test_pictures_are_remembered_in_a_byte_a_number():
    images = labelled(pictures(Preprocessing("imagenet"))).remembering(10**6)
    first, again = (next(images.batches([np.arange(6)])).images for _ in range(2))
    assert images.memory.bytes == 6 * 3 * SIZE * SIZE
    assert first.dtype == torch.float32
    assert torch.equal(first, again)


def test_scaling_leaves_the_remembered_pixels_as_they_are():
    images = labelled(pictures(Preprocessing("raw"))).remembering(10**6)
    next(images.batches([np.arange(6)])).images.zero_()
    assert next(images.batches([np.arange(6)])).images.max() > 0


def own_function(name):
    return lambda picture: torch.zeros(3, 2, 2)


def own_collate(items):
    return default_collate(items)


OTHERS = {
    "a class of the user's": (pictures(Preprocessing("unit"), Inverted), None),
    "a function of the user's": (pictures(UserPreprocessing("f", own_function)), None),
    "a collate function of the user's": (pictures(Preprocessing("unit")), own_collate),
}


@pytest.mark.parametrize(("data", "collate"), OTHERS.values(), ids=OTHERS)
def test_what_may_be_more_than_pictures_is_taken_as_it_comes(data, collate):
    assert pixels_of(data, collate) is None
    assert not labelled(data).are_pictures or collate is not None
    (batch,) = labelled(data).batches([np.array([2])])
    assert torch.equal(batch.images[0], data[2][0])


def test_failure_names_the_data_set_and_not_its_pixels():
    with pytest.raises(DataError, match="item 1 of OutOfOrder fails: RuntimeError: the archive is closed"):
        next(labelled(OutOfOrder()).batches([np.array([1])]))


def test_worker_processes_give_the_same_images():
    data = pictures(Preprocessing("signed"))
    plan = [np.array([0, 1, 2]), np.array([5, 4])]
    here, there = (list(labelled(data, workers=workers).batches(plan)) for workers in (0, 1))
    assert all(torch.equal(a.images, b.images) for a, b in zip(here, there, strict=True))


def test_picture_is_resized_before_it_is_kept():
    transform = Preprocessing("unit", 2)
    assert transform.pixels(Image.new("RGB", (8, 6), (10, 20, 30))).shape == (3, 2, 2)
    assert transform(Image.new("RGB", (8, 6), (51, 102, 255)))[:, 0, 0].tolist() == pytest.approx([0.2, 0.4, 1.0])
