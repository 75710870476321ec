"""Pictures from files, of any mode, as 8-bit RGB."""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from unweave.errors import DamagedImageError

MOST_PIXELS = 178_956_970
"""Larger pictures are refused; Pillow's own limit."""
SHORTAGE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors of the machine's state: they say nothing of the file."""
# Named, because Pillow also knows formats that it hands to other programs (EPS to Ghostscript).
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "PPM", "TIFF", "GIF")
_LONGEST = 300

_redirection = threading.Lock()  # of two threads in turn, the second would keep the first one's redirection

# Without any handler Python prints what Pillow logs of a damaged file.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def read_picture(file: str | Path) -> Image.Image:
    """The picture in `file` in RGB, 8 bit; of an animation the first frame.

    Alpha is dropped, 16-bit values are divided by 257, EXIF orientation is not applied.

    Raises
    ------
    DamagedImageError
        If the file is not a picture, is damaged, has more than `MOST_PIXELS`, or values without a known range.
    OSError
        If the machine has no more memory or file handles.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # corrupt EXIF, sizes below the limit: nothing that a user can act on
            return _read(Path(file))
    except Exception as error:  # Pillow raises anything on hostile bytes
        if isinstance(error, OSError) and error.errno in SHORTAGE:
            raise
        raise DamagedImageError(f"{file} cannot be read as an image ({_reason(error)})") from error


def _read(file: Path) -> Image.Image:
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no regular file")
    if status.st_size == 0:
        raise ValueError("it is empty")
    with Image.open(file, formats=_formats()) as picture:
        if picture.width * picture.height > MOST_PIXELS:
            raise Image.DecompressionBombError(f"({picture.width * picture.height} pixels)")
        with _libtiff_silenced() if picture.format == "TIFF" else nullcontext():
            picture.load()
        return to_rgb(picture)


@contextmanager
def _libtiff_silenced() -> Iterator[None]:
    """libtiff prints what is wrong with a file on the process's own standard error, past Python's."""
    with _redirection, open(os.devnull, "wb") as nowhere:
        try:
            kept = os.dup(2)
        except OSError:  # closed already
            yield
            return
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@cache
def _formats() -> list[str]:
    """Those that this build of Pillow has: it refuses the names of others."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def to_rgb(picture: Image.Image) -> Image.Image:
    """The picture in RGB, 8 bit; itself if it is that already.

    Raises
    ------
    ValueError
        If its values have no known range: floating point, or integers beyond 16 bits.
    """
    if picture.mode == "RGB":
        return picture
    if picture.mode == "F":
        raise ValueError("its pixels are floating point numbers of unknown range; save it with 8 or 16 bits")
    if picture.mode.startswith("I"):
        return _from_16_bits(np.asarray(picture))
    if picture.mode == "LAB":
        from PIL import ImageCms

        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(lab, srgb, "LAB", "RGB").apply(picture)
    return picture.convert("RGB")


def _from_16_bits(values: np.ndarray) -> Image.Image:
    """Pillow's own conversion clips at 255; 65535 / 257 is 255."""
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"its pixels go from {values.min()} to {values.max()}; save it with 8 or 16 bits")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8)).convert("RGB")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a known format"
    if isinstance(error, Image.DecompressionBombError):
        found = re.search(r"\((\d+) pixels\)", str(error))
        size = f"{int(found[1]) // 1_000_000} megapixels" if found else "too many pixels"
        return f"{size}; at most {MOST_PIXELS // 1_000_000}"
    return reason_of(error)


def reason_of(error: BaseException) -> str:
    """What an error says, on one line of bounded length."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    line = " ".join(str(text).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
