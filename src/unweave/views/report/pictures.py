"""Pictures that a page holds itself: figures and images as data addresses."""

from __future__ import annotations

import base64
import io
import warnings

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from unweave.views.mosaic_plots import as_picture

_SIDE = 56
_QUALITY = 80


def figure_address(figure: Figure) -> str:
    """A figure as PNG."""
    held = io.BytesIO()
    with warnings.catch_warnings():
        # Of what is not a class's name, a group's say: drawn as boxes; classes are named beside the figure.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(held, format="png", dpi=100, metadata={"Software": None})
    return _address("png", held)


def image_address(image: Tensor, side: int = _SIDE) -> str:
    """A network's input `[channels, height, width]`, on any scale, as a JPEG: `side` pixels on its shorter side."""
    picture = Image.fromarray((255 * as_picture(image.float().numpy())).round().astype(np.uint8))
    scale = side / min(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    resampling = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.BILINEAR
    held = io.BytesIO()
    picture.resize(size, resampling).save(held, format="JPEG", quality=_QUALITY)
    return _address("jpeg", held)


def _address(kind: str, held: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(held.getvalue()).decode('ascii')}"
