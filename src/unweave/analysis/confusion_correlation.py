"""Does how often classes are mistaken for each other go with how much they share? A rank correlation, Mantel's test."""

from __future__ import annotations

import numpy as np

from unweave.randomness import generator


def confusion_correlation(
    matrix: np.ndarray, counts: np.ndarray, images: np.ndarray, permutations: int, seed: int
) -> tuple[float, np.ndarray]:
    """The rank correlation of confusion and similarity over all ordered pairs of rows, and under permutations.

    `matrix` `[rows, rows]`: similarities. `counts` `[rows, rows]`: images of row c called by row d. `images` `[rows]`:
    images of each row; pairs whose first row has none are left out. With `r` the ranks (of equal values their mean),

        correlation = Pearson's correlation of r(counts_cd / images_c) and r(matrix_cd) over all c != d

    (Spearman's, where every row has images: ranks of `matrix` are those of all pairs). `[permutations]`: the same with
    the rows and columns of `matrix` permuted together, by (seed, number); NaN where the pairs of rows with images are
    equally similar then, and as a value where all pairs are equally often confused, or equally similar. Source: Mantel,
    Cancer Research 27, 1967, on ranks.
    """
    known = np.flatnonzero(images > 0)
    rows = len(matrix)
    if rows < 2 or not len(known):
        return float("nan"), np.empty(0)
    often = _confused_ranks(counts[known] / images[known, None], known)
    alike = _similarity_ranks(matrix)
    first, second = np.nonzero(often)
    values, pairs = often[first, second], len(known) * (rows - 1)
    first = known[first]
    sums, squares = alike.sum(1), np.square(alike).sum(1)
    spread_often = pairs * np.square(values).sum() - values.sum() ** 2

    def correlated(order: np.ndarray) -> float:
        """Only confused pairs and the sums of rows are looked up, whatever the number of classes."""
        asked = order[known]
        both = pairs * (values * alike[order[first], order[second]]).sum() - values.sum() * sums[asked].sum()
        spread_alike = pairs * squares[asked].sum() - sums[asked].sum() ** 2
        spread = spread_often * spread_alike
        return float(both / np.sqrt(spread)) if min(spread_often, spread_alike) > 1e-9 * pairs**2 else float("nan")

    permuted = [correlated(generator("labels", seed, n).permutation(rows)) for n in range(permutations)]
    return correlated(np.arange(rows)), np.asarray(permuted, dtype=float)


def p_of(value: float, permuted: np.ndarray) -> float:
    """`(1 + |{permuted >= value}|) / (1 + permutations)`, one-sided; NaN without permutations or a value. Permutations
    without a value of their own (rows that then look alike) count as ones that reach it."""
    if not len(permuted) or np.isnan(value):
        return float("nan")
    reached = (permuted >= value - 1e-12) | np.isnan(permuted)
    return float((1 + reached.sum()) / (1 + len(permuted)))


def _confused_ranks(shares: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`[rows with images, rows]`: ranks of the shares less that of 0, the lowest there is; 0 for a row and itself."""
    from scipy.stats import rankdata

    others = np.arange(shares.shape[1]) != known[:, None]
    found = np.zeros(shares.shape)
    ranks = rankdata(shares[others])
    found[others] = ranks - ranks.min()
    return found


def _similarity_ranks(matrix: np.ndarray) -> np.ndarray:
    """`[rows, rows]`: ranks of all pairs, less their mean; 0 for a row and itself."""
    from scipy.stats import rankdata

    others = ~np.eye(len(matrix), dtype=bool)
    found = np.zeros(matrix.shape)
    ranks = rankdata(matrix[others].round(12))
    found[others] = ranks - ranks.mean()
    return found
