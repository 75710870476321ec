"""How far a mean over rows may be off, images being the sample."""

from __future__ import annotations

import math

import numpy as np

_QUANTILE = 1.96


def reach_of_mean(called: np.ndarray, asked: np.ndarray, labels: np.ndarray) -> float:
    """Half of the 95 % interval of the mean over rows of the share of images that they call; NaN if none was asked.

    Rows are asked about the same images of others, and an image that is hard for one row may be hard for all. So the
    variance is that of the mean's parts image by image, `a_x = sum over rows of called / (images of the row x rows)`,
    within each label: `sum over labels of n var(a_x)`. It is 0 where all answers are the same, whatever the number of
    images, and is therefore at least that of rows that answer independently, by Agresti and Coull (1998): `p' (1 - p')
    / (n + 4)` with `p' = (hits + 2) / (n + 4)`.

    Parameters
    ----------
    called, asked
        `Bool[rows, images]`: what each row called its own, and what it was asked about.
    labels
        `[images]`.
    """
    counts = asked.sum(1)
    rows = counts > 0
    if not rows.any():
        return float("nan")
    hits, counts = (called & asked)[rows], counts[rows, None]
    parts = (hits / counts).sum(0) / len(hits)
    taking_part = asked[rows].any(0)
    of_images = sum(
        len(part) * float(part.var(ddof=1))
        for part in (parts[taking_part & (labels == label)] for label in np.unique(labels[taking_part]))
        if len(part) > 1
    )
    likely = (hits.sum(1, keepdims=True) + 2) / (counts + 4)
    of_rows = float((likely * (1 - likely) / (counts + 4)).sum()) / len(hits) ** 2
    return _QUANTILE * math.sqrt(max(of_images, of_rows))
