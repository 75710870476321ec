"""Pictures of every mode become 8-bit RGB; whatever is no picture is damaged, in one line."""

import io
import os
import random
import struct

import numpy as np
import pytest
from PIL import Image

from unweave.data import pictures as module
from unweave.data.pictures import MOST_PIXELS, read_picture, reason_of, to_rgb
from unweave.errors import DamagedImageError, DataError

RED = (200, 30, 40)


def _saved(tmp_path, picture, name="x.png", **options):
    picture.save(tmp_path / name, **options)
    return tmp_path / name


def _pixels(file):
    picture = read_picture(file)
    assert picture.mode == "RGB"
    return np.asarray(picture)


def _noise(mode="RGB"):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)).convert(mode)


@pytest.mark.parametrize(
    ("picture", "name", "expected"),
    [
        (Image.new("L", (3, 2), 77), "x.png", (77, 77, 77)),
        (Image.new("1", (3, 2), 1), "x.png", (255, 255, 255)),
        (Image.new("RGB", (3, 2), RED).convert("P", palette=Image.Palette.ADAPTIVE), "x.gif", RED),
        (Image.new("LA", (3, 2), (77, 0)), "x.png", (77, 77, 77)),
        (Image.new("RGBA", (3, 2), (*RED, 0)), "x.png", RED),
        (Image.new("CMYK", (3, 2), (0, 255, 255, 0)), "x.tif", (255, 0, 0)),
        (Image.new("YCbCr", (3, 2), (100, 128, 128)), "x.tif", (100, 100, 100)),
        # a and b of 128 are neutral; lightness 50.2 is the grey 119.5
        (Image.new("LAB", (3, 2), (128, 128, 128)), "x.tif", (119, 119, 119)),
        (Image.new("RGB", (3, 2), RED), "x.bmp", RED),
        (Image.new("RGB", (3, 2), RED), "x.ppm", RED),
    ],
    ids=lambda value: getattr(value, "mode", ""),
)
def test_every_mode_becomes_rgb(tmp_path, picture, name, expected):
    found = _pixels(_saved(tmp_path, picture, name))
    assert found.shape == (2, 3, 3)
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_palette_with_transparency_keeps_the_colours_and_warns_nobody(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([*RED, 1, 2, 3])
    picture.putpixel((1, 0), 1)
    file = _saved(tmp_path, picture, transparency=b"\x00\x80")
    assert _pixels(file).tolist() == [[list(RED), [1, 2, 3]]]


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA", "RGBX", "HSV", "I;16B", "I;16L"])
def test_modes_that_only_programs_make_become_rgb_too(mode):
    assert to_rgb(Image.new(mode, (2, 2))).mode == "RGB"


@pytest.mark.parametrize(
    "values",
    [np.array([[0, 257, 25700, 65535]], np.uint16), np.array([[0, 257, 25700, 65535]], np.int32)],
    ids=["I;16", "I"],
)
@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_sixteen_bits_are_divided_by_257_and_not_clipped(tmp_path, values, name):
    if values.dtype == np.int32 and name == "x.png":
        values = values.astype(np.uint16)
    assert _pixels(_saved(tmp_path, Image.fromarray(values), name))[0, :, 0].tolist() == [0, 1, 100, 255]


def test_big_endian_sixteen_bits_are_read_as_the_same_numbers():
    picture = Image.frombytes("I;16B", (3, 1), struct.pack(">3H", 257, 514, 65535))
    assert np.asarray(to_rgb(picture))[0, :, 1].tolist() == [1, 2, 255]


@pytest.mark.parametrize("values", [[[-1, 5]], [[0, 65536]]])
def test_integers_beyond_sixteen_bits_are_damage(tmp_path, values):
    file = _saved(tmp_path, Image.fromarray(np.array(values, np.int32)), "x.tif")
    with pytest.raises(DamagedImageError, match=rf"pixels go from {values[0][0]} to {values[0][1]}; save it with"):
        read_picture(file)


def test_floating_point_pixels_are_damage(tmp_path):
    file = _saved(tmp_path, Image.new("F", (2, 2), 0.5), "x.tif")
    with pytest.raises(DamagedImageError, match="floating point numbers of unknown range"):
        read_picture(file)


def test_first_frame_of_an_animation_is_taken(tmp_path):
    frames = [Image.new("P", (2, 2), k) for k in (0, 1)]
    for frame in frames:
        frame.putpalette([*RED, 1, 2, 3])
    file = _saved(tmp_path, frames[0], "x.gif", save_all=True, append_images=frames[1:])
    assert _pixels(file)[0, 0].tolist() == list(RED)


def test_photograph_with_a_second_picture_inside_is_read(tmp_path):
    file = _saved(
        tmp_path, Image.new("RGB", (8, 8), RED), "x.jpg", format="MPO", save_all=True, append_images=[_noise()]
    )
    assert np.abs(_pixels(file).astype(int) - RED).max() <= 3


def test_a_hundred_megapixels_are_read_without_a_warning(tmp_path):
    file = _saved(tmp_path, Image.new("1", (10_000, 10_000), 1))
    picture = read_picture(file)
    assert (picture.size, picture.getpixel((9_999, 9_999))) == ((10_000, 10_000), (255, 255, 255))


@pytest.mark.parametrize("limit", [Image.MAX_IMAGE_PIXELS, None], ids=["Pillow's limit", "limit switched off"])
def test_more_pixels_than_the_limit_are_damage(tmp_path, monkeypatch, limit):
    header = b"P5 20000 10000 255\n"
    assert MOST_PIXELS < 20_000 * 10_000
    (tmp_path / "x.ppm").write_bytes(header)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DamagedImageError, match=r"x.ppm cannot be read as an image \(200 megapixels; at most 178\)"):
        read_picture(tmp_path / "x.ppm")


def _jpeg():
    content = io.BytesIO()
    _noise().save(content, "JPEG")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"a text, saved as a picture", "not a picture in a known format"),
        (_jpeg()[:-200], "truncated"),
        (_jpeg()[:12], "Truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture in a known format"),
    ],
    ids=["empty", "text", "truncated", "header alone", "a program for Ghostscript"],
)
def test_what_is_no_picture_is_damage(tmp_path, content, reason):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(DamagedImageError, match=rf"x.jpg cannot be read as an image \(.*({reason})"):
        read_picture(tmp_path / "x.jpg")


def test_folders_pipes_loops_and_missing_files_are_damage(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    for name, reason in [
        ("folder", "it is a folder"),
        ("pipe", "it is no regular file"),
        ("loop", "Too many levels of symbolic links"),
        ("missing", "No such file"),
    ]:
        with pytest.raises(DamagedImageError, match=f"{name}.jpg cannot be read as an image .{reason}"):
            read_picture(tmp_path / f"{name}.jpg")


def test_damage_is_a_kind_of_data_error():
    assert issubclass(DamagedImageError, DataError)


@pytest.mark.parametrize(
    "error",
    [
        SyntaxError("broken\nPNG"),
        struct.error("unpack"),
        ValueError(),
        EOFError("x" * 5000),
        MemoryError(),
        AttributeError("a"),
        IndexError("a"),
        KeyError("a"),
        TypeError("a"),
        OverflowError("a"),
        RecursionError("a"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_pillow_raises_is_damage_on_one_short_line(tmp_path, monkeypatch, error):
    file = _saved(tmp_path, _noise())

    def fails(*arguments, **options):
        raise error

    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(DamagedImageError, match="cannot be read as an image") as caught:
        read_picture(file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + 100 + len(str(file))
    assert "()" not in str(caught.value)


def test_lack_of_file_handles_is_no_damage(tmp_path, monkeypatch):
    file = _saved(tmp_path, _noise())

    def fails(*arguments, **options):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(OSError, match="Too many open files"):
        read_picture(file)


def test_a_damaged_tiff_prints_nothing(tmp_path, capfd):
    content = io.BytesIO()
    _noise().save(content, "TIFF", compression="tiff_lzw")
    start = content.getvalue().index(b"II") + 8
    (tmp_path / "x.tif").write_bytes(content.getvalue()[:start] + b"\xff" * 40 + content.getvalue()[start + 40 :])
    with pytest.raises(DamagedImageError, match="cannot be read as an image"):
        read_picture(tmp_path / "x.tif")
    assert capfd.readouterr() == ("", "")
    os.write(2, b"standard error is back")
    assert capfd.readouterr().err == "standard error is back"


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"format": "JPEG"}),
        ("CMYK", {"format": "JPEG"}),
        ("P", {"format": "PNG"}),
        ("RGBA", {"format": "WEBP"}),
        ("P", {"format": "GIF"}),
        ("RGB", {"format": "TIFF", "compression": "tiff_lzw"}),
        ("1", {"format": "BMP"}),
    ],
    ids=lambda value: value if isinstance(value, str) else value["format"],
)
def test_hostile_bytes_are_read_or_damage_and_nothing_else(tmp_path, mode, options):
    numbers, content = random.Random(5), io.BytesIO()
    _noise(mode).save(content, **options)
    file, outcomes = tmp_path / "x.jpg", set()
    for _ in range(60):
        hostile = bytearray(content.getvalue())
        for _ in range(numbers.choice([1, 3, 30])):
            hostile[numbers.randrange(min(len(hostile), numbers.choice([30, 3000])))] = numbers.choice([0, 127, 255])
        file.write_bytes(hostile[: numbers.choice([len(hostile), numbers.randrange(len(hostile))])])
        try:
            outcomes.add(read_picture(file).mode)
        except DamagedImageError as error:
            outcomes.add("several lines" if "\n" in str(error) else "damaged")
    assert outcomes <= {"RGB", "damaged"}
    assert "damaged" in outcomes


def test_formats_are_raster_formats_that_this_pillow_has():
    assert {"JPEG", "PNG", "TIFF", "GIF", "BMP", "PPM"} <= set(module._formats())
    assert "EPS" not in module._formats()


def test_reasons_are_one_line_of_bounded_length():
    assert reason_of(ValueError("a\n  b")) == "a b"
    assert reason_of(KeyError()) == "KeyError"
    assert reason_of(OSError(13, "Permission denied", "x.jpg")) == "Permission denied"
    assert len(reason_of(ValueError("y" * 1000))) == 304
