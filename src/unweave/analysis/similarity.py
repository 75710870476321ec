"""How alike the rows of a `Paths` are: Jaccard similarity per site and row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unweave.errors import PathsError
from unweave.paths import Paths
from unweave.tables import Table


@dataclass(frozen=True, eq=False)
class Similarity:
    """`per_site`: one number per site. `matrix`: row by row, `[rows, rows]`, mean over sites. `names` and `classes`
    (-1 for groups and inputs) of the rows."""

    per_site: Table
    matrix: np.ndarray
    names: tuple[str, ...]
    classes: tuple[int, ...] = ()

    def to_frame(self) -> object:
        """The matrix as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.matrix, index=list(self.names), columns=list(self.names))

    def most_similar(self, row: str, count: int = 3) -> list[tuple[str, float]]:
        """The `count` rows most similar to `row`."""
        if row not in self.names:
            raise PathsError(f"no row {row!r}")
        position = self.names.index(row)
        order = np.argsort(-self.matrix[position], kind="stable")
        return [(self.names[i], float(self.matrix[position, i])) for i in order if i != position][:count]


def similarity(paths: Paths) -> Similarity:
    """Jaccard similarity of the rows' channel sets, `J(A, B) = |A & B| / |A | B|`; two empty sets have 1.

    `per_site`: the mean of `J` over pairs of rows i < j, at each site (ICCV Fig. 4, first row). `matrix`: `J` of each
    pair, averaged over sites (preprint Eq. 10, 11). `expected_by_chance` is the `J` that independent random sets with
    the same sizes have on average (to first order, `ab / (a + b - ab)` for shares `a`, `b`): similar sizes alone make
    sets overlap. Source: where named; chance is not in the papers.

    Returns
    -------
    Similarity
        `per_site`: one row per site, in forward order: `site`, `channels` (count), `similarity`, `lowest_pair` and
        `highest_pair` (of two different rows), `expected_by_chance`; all from 0 to 1. Its summary has the means over
        sites of `similarity` and `expected_by_chance`. `matrix`: float `[rows, rows]`, in the order of the paths, 1
        between a row and itself. `names` and `classes` of the rows.

    Raises
    ------
    PathsError
        With fewer than two rows.
    """
    if len(paths) < 2:
        raise PathsError(f"similarity compares rows, there is {len(paths)}; search at least two classes")
    total = np.zeros((len(paths), len(paths)))
    means, lows, highs, chances = [], [], [], []
    for mask in paths.masks.values():
        overlap = jaccard(mask)
        total += overlap
        lows.append(float(overlap.min()))  # a row is most like itself
        means.append((float(overlap.sum()) - len(paths)) / (len(paths) * (len(paths) - 1)))
        np.fill_diagonal(overlap, -1)
        highs.append(float(overlap.max()))
        chances.append(_expected_by_chance(mask))
    matrix = total / len(paths.sites)
    per_site = Table(
        title=f"Jaccard similarity of {len(paths)} rows at each site",
        columns={
            "site": paths.sites.names,
            "channels": tuple(site.channels for site in paths.sites),
            "similarity": tuple(means),
            "lowest_pair": tuple(lows),
            "highest_pair": tuple(highs),
            "expected_by_chance": tuple(chances),
        },
        meanings={
            "similarity": "mean over pairs of rows of |A and B| / |A or B|",
            "expected_by_chance": "what random sets of the same sizes have",
        },
        summary={"similarity": float(np.mean(means)), "expected_by_chance": float(np.mean(chances))},
    )
    return Similarity(per_site, matrix, paths.rows.names, paths.rows.classes)


def jaccard(mask: Tensor) -> np.ndarray:
    """`[rows, rows]` for `mask` `Bool[rows, channels]`."""
    members = mask.to(torch.float32)  # counts up to 2^24 are exact
    both = members @ members.T
    sizes = members.sum(1)
    either = sizes[:, None] + sizes[None, :] - both
    return torch.where(either > 0, both / either.clamp_min(1), 1.0).double().numpy()


def _expected_by_chance(mask: Tensor) -> float:
    """`ab / (a + b - ab)` for the shares `a`, `b` of two rows, mean over pairs. Counted by size: there are few of them,
    and rows may be thousands."""
    sizes, counts = np.unique(mask.sum(1).numpy(), return_counts=True)
    shares = sizes / mask.shape[1]
    both = shares[:, None] * shares[None, :]
    either = shares[:, None] + shares[None, :] - both
    expected = np.where(either > 0, both / np.where(either > 0, either, 1), 1.0)
    pairs = counts[:, None] * counts[None, :] - np.diag(counts)
    return float((expected * pairs).sum() / pairs.sum())
