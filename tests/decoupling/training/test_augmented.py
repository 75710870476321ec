"""Augmentation of training images: what belongs to (seed, epoch, position)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.decoupling.training.trainings import SETTINGS
from unweave.decoupling.training.trainer import augmented

IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
POSITIONS = np.array([4, 7, 9])


def made(kind, positions=POSITIONS, images=IMAGES, *, epoch=0, seed=0):
    return augmented(images, positions, replace(SETTINGS, augment=kind, seed=seed), epoch)


def test_none_changes_nothing():
    assert torch.equal(made("none"), IMAGES)


@pytest.mark.parametrize("kind", ["cifar", "imagenet"])
def test_an_image_is_changed_in_its_own_way_whatever_else_is_in_the_batch(kind):
    assert torch.equal(made(kind)[1:2], made(kind, POSITIONS[1:2], IMAGES[1:2]))


@pytest.mark.parametrize("kind", ["cifar", "imagenet"])
def test_another_epoch_or_seed_changes_it_otherwise(kind):
    assert not torch.equal(made(kind), made(kind, epoch=1))
    assert not torch.equal(made(kind), made(kind, seed=1))


def test_imagenet_crops_are_resized_to_the_whole_size_and_stay_within_the_image():
    found = made("imagenet")
    assert found.shape == IMAGES.shape
    assert float(found.min()) >= float(IMAGES.min()) - 1e-6
    assert float(found.max()) <= float(IMAGES.max()) + 1e-6
