"""Whether an extracted network computes what the restricted one does."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unweave.errors import ExtractionError

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
"""Largest difference of scores, relative to the largest score; half precisions: 0.05."""


def check_equal(small: nn.Module, restricted: nn.Module, example: Tensor, classes: Sequence[int]) -> float:
    """The largest difference of class scores, relative to the largest score, on `example` and on three
    images of noise, together and one alone.

    Raises
    ------
    ExtractionError
        If it is above `TOLERANCE`: sums in another order round differently, but not so much.
    """
    noise = _noise(example)
    # At the batch size of the capture alone, a size that was taken for a constant would not be noticed.
    return max(_difference(small, restricted, one, classes) for one in (example, noise, noise[:1]))


def _noise(example: Tensor) -> Tensor:
    """Three images as large as those of the example are, so that raw pixels are not compared on nearly black ones."""
    numbers = torch.Generator().manual_seed(0)
    shape = (3, *example.shape[1:])
    if not example.dtype.is_floating_point:
        low, high = int(example.min()), int(example.max())
        return torch.randint(low, high + 1, shape, generator=numbers).to(example.device, example.dtype)
    largest = float(example.detach().abs().max())
    noise = torch.randn(shape, generator=numbers, dtype=torch.float64) * (largest / 2 if largest > 0 else 1.0)
    return noise.to(example.device, example.dtype)


def _difference(small: nn.Module, restricted: nn.Module, images: Tensor, classes: Sequence[int]) -> float:
    expected, found = restricted(images)[:, list(classes)], small(images)
    if found.shape != expected.shape:
        raise ExtractionError(
            f"the extracted network gives scores {tuple(found.shape)}, the restricted one {tuple(expected.shape)}; "
            "please report this"
        )
    difference, most = relative_difference(found, expected), tolerance(found.dtype)
    if not difference <= most:  # NaN is no number below it
        raise ExtractionError(
            f"the extracted network differs from the restricted one by {difference:.2g} of the largest score, "
            f"{most:.2g} is allowed; give other images as the example, and please report this with the network"
        )
    return difference


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference of two tables of scores, relative to the largest expected score."""
    wide = expected.double()
    return float((found.double() - wide).abs().max()) / max(float(wide.abs().max()), 1e-12)


def tolerance(dtype: torch.dtype) -> float:
    """The largest relative difference that is rounding, of scores of `dtype`."""
    return TOLERANCE.get(dtype, 0.05)
