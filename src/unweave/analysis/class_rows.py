"""What the rows of a `Paths` count as theirs: images of their classes, and predictions that name one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unweave.data.labelled import LabelledImages
from unweave.errors import DataError, PathsError
from unweave.paths import Paths
from unweave.randomness import generator, key_of

_KINDS = {"input": "inputs", "combined": "combinations of rows"}


@dataclass(frozen=True)
class ClassRow:
    """A row of class `members[0]`, or of a group of classes, told apart from `against` (empty: all other classes)."""

    members: tuple[int, ...]
    against: tuple[int, ...] = ()

    def own(self, images: LabelledImages) -> np.ndarray:
        """Positions of the images of its classes, ascending."""
        return np.flatnonzero(np.isin(images.labels, self.members) & (images.labels >= 0))

    def others(self, images: LabelledImages, limit: int | None = None, seed: int = 0) -> np.ndarray:
        """Positions of the images of its opponents, ascending; at most `limit`, drawn by (seed, classes)."""
        theirs = np.isin(images.labels, self.against) if self.against else ~np.isin(images.labels, self.members)
        positions = np.flatnonzero(theirs & (images.labels >= 0))
        if limit is not None and len(positions) > limit:
            positions = np.sort(generator("others", seed, key_of(self.members)).permutation(positions)[:limit])
        return positions

    def called(self, scores: np.ndarray) -> np.ndarray:
        """`[images]`: whether the highest of the scores `[images, classes]` that take part is one of its classes'."""
        if self.against:
            taking_part = np.isin(np.arange(scores.shape[1]), self.members + self.against)
            scores = np.where(taking_part, scores, -np.inf)
        return np.isin(scores.argmax(1), self.members)


def class_rows(paths: Paths, measure: str) -> list[ClassRow]:
    """The rows, as classes or groups of them.

    Raises
    ------
    PathsError
        If rows are inputs, which have no class of their own.
    """
    rows = paths.rows
    if rows.kind != "class":
        raise PathsError(f"{measure} is about classes; these paths' rows are {_KINDS[rows.kind]}")
    return [ClassRow(members, against) for members, against in zip(rows.members, rows.against, strict=True)]


def named(names: Sequence[str], most: int = 5) -> str:
    """The first few of `names`, each cut where it is very long."""
    shown = [name if len(name) <= 40 else name[:39] + "…" for name in names[:most]]
    return ", ".join([*shown, *(["..."] if len(names) > most else [])])


def without_images(paths: Paths, images: LabelledImages, read: np.ndarray | None = None) -> str:
    """For a table's title: which rows have no images in the data; nothing if all have. With `read`, the positions of
    those that could be read, rows of which all are damaged are among them."""
    rows = class_rows(paths, "this")
    own = [row.own(images) if read is None else np.intersect1d(row.own(images), read) for row in rows]
    missing = [name for name, positions in zip(paths.rows.names, own, strict=True) if not len(positions)]
    return f"; {len(missing)} of {len(rows)} without images left out ({named(missing)})" if missing else ""


def no_images(rows: Sequence[ClassRow], images: LabelledImages) -> DataError:
    """To raise where no row has images of its own: whose images there are instead."""
    wanted = sorted({c for row in rows for c in row.members})
    return DataError(
        f"none of the paths' classes has images in this data: the paths are of {named([str(c) for c in wanted])}, the "
        f"data has {named([str(c) for c in images.classes]) or 'no known class'}; give data with the same class "
        "indices (folders: --classes-file says which is which)"
    )


@dataclass(frozen=True)
class Wording:
    """How tables speak of rows: as classes, or, where some are groups, as rows."""

    row: str
    members: str
    others: str
    note: str

    @classmethod
    def of(cls, rows: Sequence[ClassRow]) -> Wording:
        """The words for `rows`; `note` ends a title where predictions are not among all classes."""
        opposed = any(row.against for row in rows)
        note = "; predictions of a row with opponents are among its classes and theirs" if opposed else ""
        if all(len(row.members) == 1 for row in rows):
            return cls("class", "this class", "its opponents" if opposed else "other classes", note)
        return cls("row", "a class of the row", "its opponents" if opposed else "classes outside the row", note)
