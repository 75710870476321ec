"""The published augmentation, keyed by image."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unweave.data.augmentation import AUGMENTATIONS, augment, augment_batch, augment_batch_as, augment_mildly


@pytest.fixture
def picture():
    return torch.rand(3, 40, 36)


def test_augmentations_are_none_published_and_mild():
    assert AUGMENTATIONS == ("none", "published", "mild")
    batch, keys = torch.rand(3, 3, 8, 8), [(0,), (1,), (2,)]
    assert torch.equal(augment_batch_as("none", batch, keys), batch)
    assert torch.equal(augment_batch_as("published", batch, keys), augment_batch(batch, keys))
    mild = torch.stack([augment_mildly(image, *key) for image, key in zip(batch, keys, strict=True)])
    assert torch.equal(augment_batch_as("mild", batch, keys), mild)


def test_half_of_the_images_stay_as_they_are_when_augmented_mildly(picture):
    same = [torch.equal(augment_mildly(picture, key), picture) for key in range(400)]
    assert 150 < sum(same) < 250


def test_mild_crops_show_at_least_two_fifths_of_the_picture_half_of_them_flipped():
    columns = torch.arange(100.0).expand(1, 100, 100)  # every pixel says which column it was
    changed = [found[0, 50] for key in range(400) if not torch.equal(found := augment_mildly(columns, key), columns)]
    widths = torch.stack([row.max() - row.min() + 1 for row in changed])
    flipped = sum(bool(row[0] > row[-1]) for row in changed)
    assert (widths >= 100 * 0.4**0.5 - 3).all()
    assert widths.min() < 70
    assert widths.max() > 95
    assert 0.35 < flipped / len(changed) < 0.65


def test_mild_augmentation_belongs_to_its_key(picture):
    assert torch.equal(augment_mildly(picture, 4, 5), augment_mildly(picture, 4, 5))
    assert len({augment_mildly(picture, key).sum().item() for key in range(20)}) > 5


@given(st.integers(2, 20), st.integers(2, 20), st.integers(0, 1000))
def test_size_and_dtype_stay(height, width, key):
    found = augment(torch.rand(3, height, width), 0, key)
    assert found.shape == (3, height, width)
    assert found.dtype == torch.float32


@given(st.integers(0, 1000))
def test_values_stay_between_those_of_the_image(key):
    picture = torch.rand(1, 9, 9)
    found = augment(picture, key)
    assert found.min() >= picture.min() - 1e-5
    assert found.max() <= picture.max() + 1e-5


def test_same_key_gives_same_image(picture):
    first = augment(picture, 0, 1, 2, 3)
    torch.manual_seed(9)
    np.random.seed(9)
    assert torch.equal(first, augment(picture, 0, 1, 2, 3))


@pytest.mark.parametrize("key", [(9, 1, 2, 3), (0, 9, 2, 3), (0, 1, 9, 3), (0, 1, 2, 9)])
def test_every_part_of_the_key_counts(picture, key):
    assert not torch.equal(augment(picture, 0, 1, 2, 3), augment(picture, *key))


def test_image_is_left_as_it_was(picture):
    kept = picture.clone()
    for key in range(20):
        augment(picture, key)
    assert torch.equal(picture, kept)


def test_global_random_state_is_not_used(picture):
    state = torch.get_rng_state()
    augment(picture, 5)
    assert torch.equal(state, torch.get_rng_state())


def test_batch_equals_its_images_one_by_one(picture):
    batch = torch.stack([picture, picture.flip(2), picture * 2])
    keys = [(0, 1, 2, 3), (0, 1, 2, 4), (5, 1, 2, 3)]
    found = augment_batch(batch, keys)
    assert all(torch.equal(one, augment(image, *key)) for one, image, key in zip(found, batch, keys, strict=True))


def test_batch_needs_one_key_an_image(picture):
    with pytest.raises(ValueError, match="zip"):
        augment_batch(picture[None], [(0,), (1,)])


def test_whole_image_is_taken_after_ten_tries_and_flipped_half_the_time():
    # one pixel high and 100 wide: the smallest area, 8, at the widest aspect, 4/3, is sqrt(8 / (4/3)) = 2.4 high
    row = torch.arange(100.0).view(1, 1, 100)
    found = [augment(row, key) for key in range(60)]
    flipped = [torch.allclose(image, row.flip(2)) for image in found]
    straight = [torch.allclose(image, row) for image in found]
    assert all(a != b for a, b in zip(flipped, straight, strict=True))
    assert 15 < sum(flipped) < 45


def test_crops_cover_small_and_large_areas():
    # columns and rows count pixels: a crop's spread over the image tells its area
    side = 32
    ramp = torch.arange(float(side))
    picture = torch.stack([ramp.expand(side, side), ramp[:, None].expand(side, side)])
    areas = []
    for key in range(200):
        found = augment(picture, key)
        wide, tall = (float(channel.max() - channel.min()) / (side - 1) for channel in found)
        areas.append(wide * tall)
    # area uniform in [0.08, 1.25], above 1 tried again
    assert min(areas) < 0.15
    assert max(areas) > 0.9
    assert 0.45 < float(np.mean(areas)) < 0.58
