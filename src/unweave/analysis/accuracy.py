"""Class accuracy through a class's own sub-architecture, beside the whole network's (ICCV Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from unweave.analysis.origin import origin
from unweave.analysis.predictions import Predictor, class_rows, image_batches, left_out
from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.errors import DataError
from unweave.paths import Paths
from unweave.progress import progress
from unweave.tables import Table

BINS = tuple(range(0, 101, 10))
"""Edges of the ten bins of ICCV Fig. 2, in percent: [0, 10], (10, 20], ... (90, 100]."""


def accuracy(
    network: nn.Module,
    paths: Paths,
    data: Data | LabelledImages,
    *,
    labels: Sequence[int] | Tensor | None = None,
    device: str | None = None,
    show_progress: bool | None = None,
) -> Table:
    """Top-1 accuracy on each class's own images, through its sub-architecture (binary masks) and the whole network.

    Own-class accuracy alone proves little: a sub-architecture may answer its class for any image. Read it beside
    `specificity`. Source: ICCV section 4.2 and Fig. 2.

    Parameters
    ----------
    data
        Images that the search has not seen.

    Returns
    -------
    Table
        One row per class: `class`, `name`, `images` (count of those read), `original` and `sub_architecture`
        (accuracies, shares of `images`; NaN for a class without images, which means leave out). The summary has both
        means over classes, the title says how many damaged images were left out.

    Raises
    ------
    PathsError
        If rows are not classes.
    MismatchError
        If the network is not the one the paths were found in.
    DataError
        If no class of the paths has images that can be read.
    """
    classes = class_rows(paths, "accuracy")
    images = labelled(data, labels)
    positions = {c: images.of_class(c) for c in classes}
    total = sum(len(p) for p in positions.values())
    if total == 0:
        raise DataError("none of the paths' classes has images in this data")
    predictor = Predictor.of(network, paths, device)
    own, whole, counts, seen = [], [], [], []
    with progress("accuracy", total, show_progress) as advance:
        for row, c in enumerate(classes):
            hits_own = hits_whole = count = 0
            for read, batch in image_batches(images, positions[c], advance):
                seen.append(read)
                count += len(read)
                hits_own += int((predictor.through(row, batch) == c).sum())
                hits_whole += int((predictor.original(batch) == c).sum())
            counts.append(count)
            own.append(hits_own / count if count else float("nan"))
            whole.append(hits_whole / count if count else float("nan"))
    damaged = left_out(images, total, sum(counts))
    where = origin(paths, images, np.concatenate(seen))
    without = counts.count(0)
    return Table(
        title=f"Accuracy on each class's own images, {where}"
        + (f"; {without} classes have none" if without else "")
        + damaged,
        columns={
            "class": tuple(classes),
            "name": paths.rows.names,
            "images": tuple(counts),
            "original": tuple(whole),
            "sub_architecture": tuple(own),
        },
        meanings={
            "images": "images of the class that could be read",
            "original": "share of them that the whole network calls by their class",
            "sub_architecture": "share of them that the class's own sub-architecture calls by their class",
        },
        summary={"original": float(np.nanmean(whole)), "sub_architecture": float(np.nanmean(own))},
    )


def accuracy_histogram(table: Table) -> Table:
    """How many classes fall into each of ten bins of accuracy, [0, 10], (10, 20], ... (90, 100] percent (ICCV Fig. 2).

    `table` is what `accuracy` returned; classes without images are in no bin.
    """
    counts = {}
    for column in ("original", "sub_architecture"):
        percent = 100 * np.asarray(table[column], dtype=float)
        percent = percent[~np.isnan(percent)]
        # Rounded first: a share that is 70 % but for the last bit, as a mean may be, belongs to (60, 70].
        bins = np.clip(np.ceil(np.round(percent, 9) / 10) - 1, 0, 9).astype(int)
        counts[column] = tuple(int(n) for n in np.bincount(bins, minlength=10))
    names = tuple(f"{'[' if low == 0 else '('}{low}, {low + 10}]" for low in BINS[:-1])
    return Table(
        title=f"Classes by accuracy. {table.title}",
        columns={"accuracy_percent": names, **counts},
        meanings={"original": "classes in the bin, whole network", "sub_architecture": "classes, own sub-architecture"},
        summary=table.summary,
    )
