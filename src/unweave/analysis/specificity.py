"""Whether a sub-architecture refuses the other classes, and whether its choice of channels matters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from unweave.analysis.origin import origin
from unweave.analysis.predictions import Predictor, class_rows, image_batches, left_out
from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.errors import DataError, SettingError
from unweave.paths import Paths
from unweave.progress import progress
from unweave.randomness import generator
from unweave.tables import Table


def specificity(
    network: nn.Module,
    paths: Paths,
    data: Data | LabelledImages,
    *,
    labels: Sequence[int] | Tensor | None = None,
    controls: int = 3,
    others: int | None = None,
    seed: int = 0,
    device: str | None = None,
    show_progress: bool | None = None,
) -> Table:
    """Own-class accuracy and false accepts of each sub-architecture, of the whole network, and of random masks of the
    same sizes.

    For class c, with `S` the images of c and `O` the images of other classes:
    `own = |{x in S: f_c(x) = c}| / |S|`, `false_accepts = |{x in O: f_c(x) = c}| / |O|`, where `f_c` predicts through
    the sub-architecture of c. `balanced = (own + 1 - false_accepts) / 2`.

    Parameters
    ----------
    controls
        Random masks drawn per row, each keeping as many channels of every site as the row does; figures are their mean.
    others
        At most so many images of other classes per row, drawn by (seed, class); default: all. The cost is
        rows x images x (1 + controls) passes.

    Returns
    -------
    Table
        One row per class: `class`, `name`, `own`, `false_accepts`, `balanced`, the same for `original_*` (the whole
        network) and `random_*` (the controls). Shares of the images that can be read; NaN where there are none.

    Raises
    ------
    PathsError, MismatchError, DataError
        As `accuracy`.
    """
    classes = class_rows(paths, "specificity")
    images = labelled(data, labels)
    if controls < 0:
        raise SettingError(f"controls must be at least 0, found {controls}")
    if others is not None and others < 0:
        raise SettingError(f"others must be at least 0, found {others}")
    own = {c: images.of_class(c) for c in classes}
    foreign = {c: _foreign(images, c, others, seed) for c in classes}
    if not any(len(p) for p in own.values()):
        raise DataError("none of the paths' classes has images in this data")
    predictor = Predictor.of(network, paths, device)
    masks = [paths, *(paths.random_control(seed + draw) for draw in range(controls))]
    everything = np.unique(np.concatenate([*own.values(), *foreign.values()]))
    wanted = [np.isin(everything, np.concatenate([own[c], foreign[c]])) for c in classes]
    total = len(everything) + len(masks) * sum(int(w.sum()) for w in wanted)
    original = np.full(len(images), -1)
    read = np.zeros(len(images), dtype=bool)
    called = np.zeros((len(masks), len(classes), len(images)), dtype=bool)
    with progress("specificity", total, show_progress) as advance:
        for chosen, batch in image_batches(images, everything):
            original[chosen], read[chosen] = predictor.original(batch), True
            advance(len(chosen))
            for row, c in enumerate(classes):
                use = wanted[row][np.searchsorted(everything, chosen)]
                if not use.any():
                    continue
                for draw, used in enumerate(masks):
                    called[draw, row, chosen[use]] = predictor.through(row, batch[torch.from_numpy(use)], used) == c
                advance(len(masks) * int(use.sum()))
    damaged = left_out(images, len(everything), int(read.sum()))
    own, foreign = ({c: p[read[p]] for c, p in part.items()} for part in (own, foreign))
    found = {
        (draw, c): (_share(called[draw, row, own[c]]), _share(called[draw, row, foreign[c]]))
        for draw in range(len(masks))
        for row, c in enumerate(classes)
    }
    whole = {c: (_share(original[own[c]] == c), _share(original[foreign[c]] == c)) for c in classes}
    drawn = {c: _mean([found[draw, c] for draw in range(1, len(masks))]) for c in classes}
    columns: dict[str, tuple[object, ...]] = {"class": tuple(classes), "name": paths.rows.names}
    measured = {c: found[0, c] for c in classes}
    for prefix, figures in (("", measured), ("original_", whole), ("random_", drawn)):
        if prefix == "random_" and not controls:
            continue
        columns[f"{prefix}own"] = tuple(figures[c][0] for c in classes)
        columns[f"{prefix}false_accepts"] = tuple(figures[c][1] for c in classes)
        columns[f"{prefix}balanced"] = tuple((figures[c][0] + 1 - figures[c][1]) / 2 for c in classes)
    summary: dict[str, float | int | str] = {
        name: _mean_known(values) for name, values in columns.items() if name not in ("class", "name")
    }
    return Table(
        title=f"Own class and other classes, {origin(paths, images, everything[read[everything]])}{damaged}",
        columns=columns,
        meanings={
            "own": "share of the class's images that its sub-architecture calls by their class",
            "false_accepts": "share of other classes' images that it also calls by this class",
            "balanced": "mean of own and of the share of other classes' images not called by this class",
            "original_*": "the same for the whole network",
            "random_*": f"the same for {controls} random masks that keep as many channels of every site, mean",
        },
        summary=summary,
    )


def _foreign(images: LabelledImages, index: int, limit: int | None, seed: int) -> np.ndarray:
    positions = np.flatnonzero((images.labels != index) & (images.labels >= 0))
    if limit is not None and len(positions) > limit:
        positions = np.sort(generator("others", seed, index).permutation(positions)[:limit])
    return positions


def _share(hits: np.ndarray) -> float:
    return float(hits.mean()) if len(hits) else float("nan")


def _mean_known(values: tuple[object, ...]) -> float:
    figures = np.asarray(values, float)
    known = figures[~np.isnan(figures)]
    return float(known.mean()) if len(known) else float("nan")


def _mean(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    if not pairs:
        return float("nan"), float("nan")
    first, second = np.mean(np.asarray(pairs), axis=0)
    return float(first), float(second)
