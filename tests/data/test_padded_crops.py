"""Padded crops and flips of a batch."""

import numpy as np
import torch
from torch.nn import functional

from unweave.data.padded_crops import flip_and_crop


def _candidates(image, padding):
    """Everything that the augmentation may make of an image."""
    height, width = image.shape[-2:]
    padded = functional.pad(image, (padding,) * 4)
    crops = [
        padded[:, top : top + height, left : left + width]
        for top in range(2 * padding + 1)
        for left in range(2 * padding + 1)
    ]
    return torch.stack([*crops, *(crop.flip(-1) for crop in (c for c in crops))])


def test_every_image_becomes_a_crop_of_the_padded_image_or_its_mirror():
    images = torch.rand(300, 2, 16, 8)
    found = flip_and_crop(images, np.arange(300), 0, 0)
    kinds = set()
    for image, made in zip(images, found, strict=True):
        same = (_candidates(image, 2) == made).flatten(1).all(1).nonzero().flatten()
        assert len(same) == 1
        kinds.add(int(same))
    assert len(kinds) > 45  # of 25 places, mirrored or not


def test_numbers_belong_to_the_key_and_the_image_not_to_its_batch():
    images = torch.rand(6, 3, 8, 8)
    whole = flip_and_crop(images, np.arange(6), 5, 1)
    alone = flip_and_crop(images[[4, 2]], np.array([4, 2]), 5, 1)
    assert torch.equal(alone, whole[[4, 2]])
    assert not torch.equal(flip_and_crop(images, np.arange(6), 5, 2), whole)
