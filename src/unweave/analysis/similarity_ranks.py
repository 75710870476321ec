"""Which rows are most similar to a row, where several may be equally similar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_DIGITS = 12
"""Similarities that agree in so many digits are equal."""


@dataclass(frozen=True, eq=False)
class SimilarityRanks:
    """`above` `[rows, rows]`: how many other rows are more similar to row i than row j is. `tied` `[rows, rows]`: how
    many are as similar as j, j among them. Of a row and itself: 0, `rows`."""

    above: np.ndarray
    tied: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray) -> SimilarityRanks:
        """Of similarities `[rows, rows]`."""
        rows = len(matrix)
        above, tied = np.zeros((rows, rows), dtype=np.int64), np.full((rows, rows), rows)
        for row, values in enumerate(-np.round(matrix, _DIGITS)):
            others = np.arange(rows) != row
            ordered = np.sort(values[others])
            above[row, others] = np.searchsorted(ordered, values[others], "left")
            tied[row, others] = np.searchsorted(ordered, values[others], "right") - above[row, others]
        return cls(above, tied)

    @property
    def middle(self) -> np.ndarray:
        """`[rows, rows]`: the rank, 1 for the most similar; equally similar rows share the middle of theirs."""
        return np.asarray(self.above + (self.tied + 1) / 2)

    def among_first(self, count: int) -> np.ndarray:
        """`[rows, rows]`: the chance that row j is among the `count` rows most similar to i, if lots are drawn among
        equally similar ones."""
        found = np.asarray(np.clip((count - self.above) / self.tied, 0, 1))
        np.fill_diagonal(found, 0)
        return found

    def first(self, row: int, count: int) -> tuple[list[int], list[int]]:
        """The rows that are among the `count` most similar to `row` for certain, the most similar first; and those that
        are equally similar to it and share the places that are left."""
        others = np.arange(len(self.above)) != row
        above, tied = self.above[row], self.tied[row]
        certain = np.flatnonzero(others & (above + tied <= count))
        shared = np.flatnonzero(others & (above < count) & (above + tied > count))
        return certain[np.argsort(above[certain], kind="stable")].tolist(), shared.tolist()
