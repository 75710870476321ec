"""scikit-learn's digits, split in two."""

import torch

from unweave.data.digits import DIGIT_NAMES, Digits
from unweave.data.labelled import labelled


def test_every_fourth_image_is_held_out():
    train, test = Digits(train=True), Digits(train=False)
    assert (len(train), len(test)) == (1348, 449)
    # The data set begins with 0, 1, 2, 3, 4, 5, 6, 7, 8, 9.
    assert train.targets[:6].tolist() == [0, 1, 2, 4, 5, 6]
    assert test.targets[:2].tolist() == [3, 7]


def test_both_parts_have_all_classes():
    for part in (True, False):
        assert set(Digits(part).targets.tolist()) == set(range(10))


def test_values_go_from_zero_to_one():
    images = Digits(train=True).images
    assert images.shape == (1348, 1, 8, 8)
    assert images.dtype == torch.float32
    assert (float(images.min()), float(images.max())) == (0.0, 1.0)


def test_items_are_images_and_plain_labels():
    data = Digits(train=False)
    image, label = data[5]
    assert torch.equal(image, data.images[5])
    assert (label, type(label)) == (int(data.targets[5]), int)


def test_labels_and_names_are_known():
    found = labelled(Digits(train=False))
    assert found.labels.tolist() == Digits(train=False).targets.tolist()
    assert [found.name_of(index) for index in range(10)] == list(DIGIT_NAMES)
