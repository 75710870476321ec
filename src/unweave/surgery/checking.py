"""Whether an extracted network computes what the restricted one does."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unweave.errors import ExtractionError

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
"""Largest difference of scores, relative to the largest score; half precisions: 0.05."""


def check_equal(small: nn.Module, restricted: nn.Module, example: Tensor, classes: Sequence[int]) -> float:
    """The largest difference of class scores, relative to the largest score, on `example` and on two images of noise.

    Raises
    ------
    ExtractionError
        If it is above `TOLERANCE`: sums in another order round differently, but not so much.
    """
    images = [example]
    if example.dtype.is_floating_point:
        numbers = torch.Generator().manual_seed(0)
        noise = torch.randn((2, *example.shape[1:]), generator=numbers, dtype=torch.float64)
        images.append((noise * _spread(example)).to(example.device, example.dtype))
    return max(_difference(small, restricted, one, classes) for one in images)


def _spread(example: Tensor) -> float:
    """Noise as large as the images are, so that raw pixels are not compared on nearly black ones."""
    largest = float(example.detach().abs().max())
    return largest / 2 if largest > 0 else 1.0


def _difference(small: nn.Module, restricted: nn.Module, images: Tensor, classes: Sequence[int]) -> float:
    expected, found = restricted(images)[:, list(classes)].double(), small(images).double()
    if found.shape != expected.shape:
        raise ExtractionError(
            f"the extracted network gives scores {tuple(found.shape)}, the restricted one {tuple(expected.shape)}; "
            "please report this"
        )
    scale = max(float(expected.abs().max()), 1e-12)
    difference = float((found - expected).abs().max()) / scale
    most = TOLERANCE.get(images.dtype, 0.05)
    if not difference <= most:  # NaN is no number below it
        raise ExtractionError(
            f"the extracted network differs from the restricted one by {difference:.2g} of the largest score, "
            f"{most:.2g} is allowed; give other images as the example, and please report this with the network"
        )
    return difference
