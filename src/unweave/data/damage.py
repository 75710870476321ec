"""What is said of images that could not be read."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from unweave.errors import DataError


def warn_of_damage(damaged: Mapping[int, str], images: int) -> None:
    """Say how many images were left out because they cannot be read.

    Raises
    ------
    DataError
        If none can.
    """
    if not damaged:
        return
    first = damaged[min(damaged)]
    if len(damaged) >= images:
        raise DataError(f"none of the {images} images can be read; the first: {first}")
    warnings.warn(
        f"{len(damaged)} of {images} images cannot be read and were left out; the first: {first}", stacklevel=2
    )
