"""Scaling of pixel values, worked out by hand."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from unweave.data.preprocessing import PREPROCESSINGS, Preprocessing, UserPreprocessing, preprocessing_named, scale
from unweave.errors import DamagedImageError, DataError, SettingError

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


@pytest.mark.parametrize("make", [Preprocessing, lambda name, size: UserPreprocessing(name, _find, size)])
def test_a_line_of_pixels_is_damaged_where_it_would_become_a_huge_picture(make):
    with pytest.raises(DamagedImageError, match="a picture of 9000 x 1 pixels is too narrow for size 224"):
        make("unit", 224)(Image.new("RGB", (9000, 1)))


def test_sixteen_bit_pictures_are_not_clipped():
    picture = Image.fromarray(np.array([[0, 25700, 65535]], np.uint16))
    assert Preprocessing("raw")(picture)[0, 0].tolist() == [0, 100, 255]


ASKED = []


def _find(name):
    """Stands for the search of a user's file."""
    ASKED.append(name)
    answers = {
        "numbers": lambda picture: 3,
        "matrix": lambda picture: torch.zeros(4, 4),
        "failing": lambda picture: np.load("/nowhere/mean.npy"),
    }
    return answers.get(name.rpartition(":")[2], lambda picture: torch.tensor(picture.size).view(2, 1, 1).float())


def test_names_of_preprocessings_and_of_functions_are_told_apart():
    assert isinstance(preprocessing_named("unit", 8, _find), Preprocessing)
    assert isinstance(preprocessing_named("here/mine.py:scaled", 8, _find), UserPreprocessing)
    for name in ("imagnet", "mine.py", "mine.txt:scaled"):
        with pytest.raises(SettingError, match=rf"no preprocessing '{name}'; .* or path/to/file.py:function"):
            preprocessing_named(name, None, _find)


def test_a_users_function_gets_the_picture_in_rgb_resized_and_cropped():
    picture = Image.new("L", (30, 10))
    assert preprocessing_named("mine.py:scaled", None, _find)(picture).flatten().tolist() == [30, 10]
    assert preprocessing_named("mine.py:scaled", 5, _find)(picture).flatten().tolist() == [5, 5]
    modes = []
    found = UserPreprocessing("a.py:f", lambda name: lambda picture: modes.append(picture.mode) or torch.zeros(3, 1, 1))
    assert found(picture).shape == (3, 1, 1)
    assert modes == ["RGB"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine.py:numbers", r"^mine.py:numbers returns int; a tensor \[channels, height, width\] is needed$"),
        ("mine.py:matrix", r"^mine.py:matrix returns a tensor of shape \(4, 4\); a tensor"),
        ("mine.py:failing", r"^mine.py:failing fails on a picture: FileNotFoundError: No such file or directory$"),
    ],
)
def test_what_a_users_function_returns_is_checked(name, message):
    with pytest.raises(DataError, match=message) as caught:
        preprocessing_named(name, None, _find)(Image.new("RGB", (2, 2)))
    assert not isinstance(caught.value, DamagedImageError)


def test_a_users_function_is_found_at_once_and_again_where_it_is_sent():
    ASKED.clear()
    made = preprocessing_named("mine.py:scaled", 5, _find)
    assert ASKED == ["mine.py:scaled"]
    sent = pickle.loads(pickle.dumps(made))
    assert ASKED == ["mine.py:scaled"] * 2
    assert sent(Image.new("RGB", (7, 9))).flatten().tolist() == [5, 5]


def test_size_below_one_pixel_is_refused_for_a_users_function_too():
    with pytest.raises(SettingError, match="size must be at least 1 pixel, found 0"):
        preprocessing_named("mine.py:scaled", 0, _find)
