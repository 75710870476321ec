"""Whether a sub-architecture refuses the other classes, and whether its choice of channels matters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from unweave.analysis.class_rows import ClassRow, Wording, class_rows
from unweave.analysis.origin import origin
from unweave.analysis.predictions import Predictor, image_batches, left_out
from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.errors import DataError, SettingError
from unweave.paths import Paths
from unweave.progress import progress
from unweave.tables import Table

CONTROLS = 3
"""Random masks drawn for every row, unless told otherwise."""


def specificity(
    network: nn.Module,
    paths: Paths,
    data: Data | LabelledImages,
    *,
    labels: Sequence[int] | Tensor | None = None,
    controls: int = CONTROLS,
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

    For a group, `S` are the images of all its classes, and `f_c(x) = c` means that the prediction is one of them. For a
    row that was told apart from some classes (`against=`), `O` are the images of these, and the prediction is the
    highest class score among these and its own.

    Parameters
    ----------
    controls
        Random masks drawn per row, each keeping as many channels of every site as the row does; figures are their mean.
    others
        At most so many images of other classes per row, drawn by (seed, classes of the row); default: all. The cost is
        rows x images x (1 + controls) passes.

    Returns
    -------
    Table
        One row per row of the paths: `class` (-1 for a group), `name`, `own`, `false_accepts`, `balanced`, the same for
        `original_*` (the whole network) and `random_*` (the controls). Shares of the images that can be read; NaN where
        there are none.

    Raises
    ------
    PathsError, MismatchError, DataError
        As `accuracy`.
    """
    rows = class_rows(paths, "specificity")
    images = labelled(data, labels)
    if controls < 0:
        raise SettingError(f"controls must be at least 0, found {controls}")
    if seed < 0:
        raise SettingError(f"seed must be at least 0, found {seed}")
    if others is not None and others < 0:
        raise SettingError(f"others must be at least 0, found {others}")
    own = [row.own(images) for row in rows]
    foreign = [row.others(images, others, seed) for row in rows]
    if not any(len(positions) for positions in own):
        raise DataError("none of the paths' classes has images in this data")
    predictor = Predictor.of(network, paths, device)
    drawn = [paths.random_control(seed + draw) for draw in range(controls)]
    asked = np.zeros((len(rows), len(images)), dtype=bool)
    for row, pair in enumerate(zip(own, foreign, strict=True)):
        asked[row, np.concatenate(pair)] = True
    called, read = _called(predictor, rows, images, asked, [paths, *drawn], show_progress)
    everything = np.flatnonzero(asked.any(0))
    seen = everything[read[everything]]
    words = Wording.of(rows)
    columns: dict[str, tuple[object, ...]] = {"class": paths.rows.classes, "name": paths.rows.names}
    for prefix, calls in (("", called[1:2]), ("original_", called[:1]), ("random_", called[2:])):
        if not len(calls):
            continue
        right = [_share(calls[:, row], positions[read[positions]]) for row, positions in enumerate(own)]
        wrong = [_share(calls[:, row], positions[read[positions]]) for row, positions in enumerate(foreign)]
        columns[f"{prefix}own"], columns[f"{prefix}false_accepts"] = tuple(right), tuple(wrong)
        columns[f"{prefix}balanced"] = tuple((r + 1 - w) / 2 for r, w in zip(right, wrong, strict=True))
    damaged = left_out(images, len(everything), len(seen))
    return Table(
        title=f"Own {words.row} and {words.others}, {origin(paths, images, seen)}{damaged}{words.note}",
        columns=columns,
        meanings={
            "class": "index; -1 for a group of several classes",
            "own": f"share of the {words.row}'s images that its sub-architecture calls by {words.members}",
            "false_accepts": f"share of the images of {words.others} that it also calls by {words.members}",
            "balanced": f"mean of own and of the share of images of {words.others} not called by {words.members}",
            "original_*": "the same for the whole network",
            "random_*": f"the same for {controls} random masks that keep as many channels of every site, mean",
        },
        summary={name: _mean_known(values) for name, values in columns.items() if name not in ("class", "name")},
    )


def _called(
    predictor: Predictor,
    rows: Sequence[ClassRow],
    images: LabelledImages,
    asked: np.ndarray,
    masks: Sequence[Paths],
    show_progress: bool | None,
) -> tuple[np.ndarray, np.ndarray]:
    """`Bool[1 + masks, rows, images]`: what rows call theirs, first by the whole network, then through each of `masks`,
    where `asked` `Bool[rows, images]`; and `Bool[images]`: which images could be read."""
    everything = np.flatnonzero(asked.any(0))
    called = np.zeros((1 + len(masks), len(rows), len(images)), dtype=bool)
    read = np.zeros(len(images), dtype=bool)
    with progress("specificity", len(everything) + len(masks) * int(asked.sum()), show_progress) as advance:
        for chosen, batch in image_batches(images, everything):
            original, read[chosen] = predictor.original(batch), True
            advance(len(chosen))
            for position, row in enumerate(rows):
                use = asked[position, chosen]
                if not use.any():
                    continue
                part, where = batch[torch.from_numpy(use)], chosen[use]
                called[0, position, where] = row.called(original[use])
                for number, paths in enumerate(masks, 1):
                    called[number, position, where] = row.called(predictor.through(position, part, paths))
                advance(len(masks) * len(where))
    return called, read


def _share(calls: np.ndarray, positions: np.ndarray) -> float:
    """Of `calls` `[draws, images]`, at `positions`: the mean over draws; NaN without images."""
    return float(calls[:, positions].mean(1).mean()) if len(positions) else float("nan")


def _mean_known(values: tuple[object, ...]) -> float:
    figures = np.asarray(values, float)
    known = figures[~np.isnan(figures)]
    return float(known.mean()) if len(known) else float("nan")
