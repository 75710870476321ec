"""Scaling of pixel values, worked out by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from unweave.data.preprocessing import PREPROCESSINGS, Preprocessing, scale
from unweave.errors import SettingError

PIXELS = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 3).repeat(3, 1, 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("raw", [[0, 51, 255]] * 3),
        ("unit", [[0, 0.2, 1]] * 3),
        ("signed", [[-1, -0.6, 1]] * 3),
        ("imagenet", [[(v - m) / d for v in (0, 0.2, 1)] for m, d in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]),
    ],
)
def test_scaling_is_that_worked_out_by_hand(name, expected):
    values = scale(PIXELS, name)
    assert values.dtype == torch.float32
    assert torch.allclose(values[:, 0], torch.tensor(expected, dtype=torch.float32), atol=1e-6)


def test_scaling_works_on_batches():
    batch = torch.stack([PIXELS, PIXELS.flip(2)])
    for name in PREPROCESSINGS:
        assert torch.equal(scale(batch, name), torch.stack([scale(image, name) for image in batch]))


def test_picture_becomes_channels_height_width():
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    values = Preprocessing("raw")(Image.fromarray(pixels))
    assert torch.equal(values, torch.from_numpy(pixels).permute(2, 0, 1).float())


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_pictures_of_any_mode_become_three_channels(mode):
    picture = Image.new("RGB", (4, 2), (255, 255, 255)).convert(mode)
    assert torch.equal(Preprocessing("unit")(picture), torch.ones(3, 2, 4))


def test_size_resizes_the_short_side_and_crops_the_centre():
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 200
    values = Preprocessing("raw", 10)(Image.fromarray(pixels))
    assert torch.equal(values, torch.full((3, 10, 10), 200.0))
    assert Preprocessing("raw", 5)(Image.fromarray(pixels)).shape == (3, 5, 5)
    assert Preprocessing("raw", 25)(Image.fromarray(pixels.transpose(1, 0, 2).copy())).shape == (3, 25, 25)


def test_without_size_pictures_keep_theirs():
    assert Preprocessing("raw")(Image.new("RGB", (7, 5))).shape == (3, 5, 7)


def test_unknown_names_are_answered_with_the_known_ones():
    for ask in (lambda: Preprocessing("imagnet"), lambda: scale(PIXELS, "imagnet")):
        with pytest.raises(SettingError, match=r"no preprocessing 'imagnet'; there are raw \(0..255\), unit"):
            ask()


@pytest.mark.parametrize("size", [0, -3])
def test_size_below_one_pixel_is_refused(size):
    with pytest.raises(SettingError, match=f"size must be at least 1 pixel, found {size}"):
        Preprocessing("unit", size)
