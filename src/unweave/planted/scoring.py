"""How well paths find planted channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from unweave.errors import PathsError
from unweave.tables import Table

if TYPE_CHECKING:
    from unweave.paths import Paths
    from unweave.planted.truth import Truth


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The share of pairs (one positive, one not) that `scores` put in the right order, ties counting half; NaN if there
    is no such pair. Source: Mann-Whitney's U over the number of pairs."""
    from scipy.stats import rankdata

    hits, misses = int(positive.sum()), int((~positive).sum())
    if not hits or not misses:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def score_paths(paths: Paths, truth: Truth) -> Table:
    """Precision, recall and F1 of the masks and AUROC of the scores against planted channels, for every site.

    All judged (row, channel) pairs of a site are pooled. With `T` those planted and `F` those found (mask true):
    `precision = |T & F| / |F|`, `recall = |T & F| / |T|`, `F1 = 2 |T & F| / (|T| + |F|)`; precision is NaN where
    nothing was found. `auroc`: share of pairs of a planted and another channel whose scores are in the right order
    (ties half); NaN where the paths have no scores. `kept`: the share of all channels that the masks keep. Source: not
    in the papers, which have no planted channels; precision, recall and F1 as in information retrieval (van Rijsbergen,
    1979), AUROC as Mann-Whitney's U (see `auroc`).

    Returns
    -------
    Table
        One row per site, in forward order: `site`, `precision`, `recall`, `f1`, `auroc`, `kept` (shares); the summary
        holds the means over sites, those without a value left out.

    Raises
    ------
    PathsError
        If the paths are of other sites, or have rows for classes that the truth does not know.
    """
    if tuple(paths.sites) != tuple(truth.paths.sites):
        raise PathsError("the paths have other sites than the planted truth; search at planted.sites")
    known = truth.paths.rows.classes
    unknown = [c for c in paths.rows.classes if c not in known]
    if paths.rows.kind != "class" or unknown:
        raise PathsError(f"the planted truth is about classes 0 to {len(known) - 1}, the paths have other rows")
    rows = [known.index(c) for c in paths.rows.classes]
    columns: dict[str, list[float]] = {"precision": [], "recall": [], "f1": [], "auroc": [], "kept": []}
    for name in paths.sites.names:
        judged = truth.judged[name][rows].numpy()
        wanted, found = _pairs(truth.paths.masks[name][rows], judged), _pairs(paths.masks[name], judged)
        both, sizes = int((wanted & found).sum()), (int(wanted.sum()), int(found.sum()))
        columns["precision"].append(both / sizes[1] if sizes[1] else float("nan"))
        columns["recall"].append(both / sizes[0] if sizes[0] else float("nan"))
        columns["f1"].append(2 * both / sum(sizes) if sum(sizes) else float("nan"))
        scores = None if paths.scores is None else _pairs(paths.scores[name], judged)
        columns["auroc"].append(float("nan") if scores is None else auroc(scores, wanted))
        columns["kept"].append(float(paths.masks[name].float().mean()))
    return Table(
        title=f"Planted channels found, {len(paths)} classes, {len(paths.sites)} sites",
        columns={"site": paths.sites.names, **{name: tuple(values) for name, values in columns.items()}},
        meanings={
            "precision": "share of the channels in the masks that are planted",
            "recall": "share of the planted channels that are in the masks",
            "f1": "harmonic mean of both",
            "auroc": "share of pairs of a planted and another channel that the scores put in the right order",
            "kept": "share of all channels that the masks keep",
        },
        summary={name: _mean(values) for name, values in columns.items()},
    )


def _pairs(table: Tensor, judged: np.ndarray) -> np.ndarray:
    return np.asarray(table.numpy()[judged])


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
