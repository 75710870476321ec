"""On which images a measure was taken, in words: a table over images that the search saw says so in its title."""

from __future__ import annotations

import numpy as np

from unweave.data.labelled import LabelledImages
from unweave.paths import Paths


def origin(paths: Paths, data: LabelledImages, positions: np.ndarray) -> str:
    """`"1000 images"`, with a warning where they are the images of the search."""
    searched = paths.manifest.get("data", {}).get("search", {})
    same = data.fingerprint(positions)["digest"] == searched.get("digest")
    return f"{len(positions)} images{' THAT THE SEARCH SAW' if same else ''}"
