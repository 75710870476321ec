"""Class accuracy through a class's own sub-architecture, beside the whole network's (ICCV Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from unweave.analysis.class_rows import Wording, class_rows, no_images, without_images
from unweave.analysis.origin import origin
from unweave.analysis.predictions import Predictor, image_batches, left_out
from unweave.data.labelled import Data, LabelledImages, labelled
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

    For class c, with `S` the images of c that can be read: `sub_architecture = |{x in S: f_c(x) = c}| / |S|`, where
    `f_c` predicts (highest class score) through the sub-architecture of c, and `original` the same with the whole
    network as `f_c`. For a group, `S` are the images of all its classes, and `f_c(x) = c` means that the prediction is
    one of them; for a row that was told apart from some classes (`against=`), the prediction is the highest class score
    among these and its own.

    Own-class accuracy alone proves little: a sub-architecture may answer its class for any image. Read it beside
    `specificity`. Source: ICCV section 4.2.1 and Fig. 2; groups and `against=` are not in the papers.

    Parameters
    ----------
    data
        Images that the search has not seen.

    Returns
    -------
    Table
        One row per row of the paths: `class` (-1 for a group), `name`, `images` (count of those read), `original` and
        `sub_architecture` (accuracies, shares of `images`; NaN for a row without images, which means leave out). The
        summary has both means over rows, the title says how many damaged images were left out.

    Raises
    ------
    PathsError
        If rows are not classes.
    MismatchError
        If the network is not the one the paths were found in.
    DataError
        If no class of the paths has images that can be read.
    """
    rows = class_rows(paths, "accuracy")
    images = labelled(data, labels)
    positions = [row.own(images) for row in rows]
    total = sum(len(p) for p in positions)
    if total == 0:
        raise no_images(rows, images)
    predictor = Predictor.of(network, paths, device)
    own, whole, counts, seen = [], [], [], []
    with progress("accuracy", total, show_progress) as advance:
        for position, row in enumerate(rows):
            hits_own = hits_whole = count = 0
            for read, batch in image_batches(images, positions[position], advance):
                seen.append(read)
                count += len(read)
                hits_own += int(row.called(predictor.through(position, batch)).sum())
                hits_whole += int(row.called(predictor.original(batch)).sum())
            counts.append(count)
            own.append(hits_own / count if count else float("nan"))
            whole.append(hits_whole / count if count else float("nan"))
    # Groups may share classes: each image is counted once.
    measured = np.unique(np.concatenate([np.empty(0, np.int64), *seen]))
    damaged = left_out(images, len(np.unique(np.concatenate(positions))), len(measured))
    where = origin(paths, images, measured)
    words = Wording.of(rows)
    return Table(
        title=f"Accuracy on each {words.row}'s own images, {where}"
        f"{damaged}{without_images(paths, images, measured)}{words.note}",
        columns={
            "class": paths.rows.classes,
            "name": paths.rows.names,
            "images": tuple(counts),
            "original": tuple(whole),
            "sub_architecture": tuple(own),
        },
        meanings={
            "class": "index; -1 for a group of several classes",
            "images": f"images of the {words.row} that could be read",
            "original": f"share of them that the whole network calls by {words.members}",
            "sub_architecture": f"share of them that the {words.row}'s own sub-architecture calls by {words.members}",
        },
        summary={"original": float(np.nanmean(whole)), "sub_architecture": float(np.nanmean(own))},
    )


def accuracy_histogram(table: Table) -> Table:
    """How many classes fall into each of ten bins of accuracy, [0, 10], (10, 20], ... (90, 100] percent (ICCV Fig. 2).

    `table` is what `accuracy` returned; classes without images are in no bin.

    Returns
    -------
    Table
        Ten rows: `accuracy_percent` (the bin), `original` and `sub_architecture` (counts of classes in it). The summary
        is that of `table`.
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
