"""How far classes are apart in WordNet, from its `is_a` pairs."""

from __future__ import annotations

import graphlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from unweave.analysis.class_rows import named
from unweave.errors import DataError
from unweave.files import read_text


def wordnet_distances(file: str | Path, ids: Sequence[str]) -> np.ndarray:
    """Edges on the shortest way between classes over a common ancestor, `[len(ids), len(ids)]`.

    Parameters
    ----------
    file
        Lines of `PARENT CHILD`, WordNet ids both (as ImageNet's `wordnet.is_a.txt` has them). An id may have several
        parents.
    ids
        WordNet id of each class (`n02123045`); "" where it has none.

    Returns
    -------
    np.ndarray
        Float, symmetric; NaN where two classes have no common ancestor in the file, or one has no id.

    Raises
    ------
    DataError
        If the file cannot be read, is not such lines, goes in circles anywhere above the ids, or knows none of them.
    """
    parents = _parents(file)
    climbs = [_ancestors(one, parents) for one in ids]
    _refuse_circles({ancestor for climb in climbs for ancestor in climb}, parents, file)
    if not any(len(climb) > 1 for climb in climbs):
        raise DataError(f"{file} has none of the classes' WordNet ids (the first: {ids[0] if len(ids) else 'none'!r})")
    number = {one: position for position, one in enumerate(sorted({a for climb in climbs for a in climb}))}
    steps = np.full((len(ids), len(number)), np.inf)
    for row, climb in enumerate(climbs):
        for ancestor, height in climb.items():
            steps[row, number[ancestor]] = height
    found = np.empty((len(ids), len(ids)))
    for row in range(len(ids)):
        above = np.flatnonzero(np.isfinite(steps[row]))
        found[row] = (steps[:, above] + steps[row, above]).min(1) if len(above) else np.inf
    return np.where(np.isfinite(found), found, np.nan)


def _parents(file: str | Path) -> dict[str, list[str]]:
    try:
        lines = read_text(file).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    parents: dict[str, list[str]] = defaultdict(list)
    for number, line in enumerate(lines, 1):
        words = line.split()
        if len(words) not in (0, 2):
            raise DataError(
                f"{file}, line {number}: a parent's and a child's WordNet id are needed, found {line[:60]!r}"
            )
        if words:
            parents[words[1]].append(words[0])
    return parents


def _refuse_circles(ids: Iterable[str], parents: Mapping[str, Sequence[str]], file: str | Path) -> None:
    """Where one of `ids`, which are with all that is above them, is above itself."""
    try:
        graphlib.TopologicalSorter({one: parents.get(one, ()) for one in sorted(ids)}).prepare()
    except graphlib.CycleError as error:
        circle: list[str] = error.args[1]
        raise DataError(
            f"{file} goes in circles: {circle[0]} is above itself ({named(circle)}: each a parent of the next)"
        ) from error


def _ancestors(one: str, parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """All that `one` is, itself included, and how many steps up each is at least."""
    found = {one: 0} if one else {}
    level, height = list(found), 0
    while level:
        height += 1
        level = [parent for child in level for parent in parents.get(child, ())]
        level = [parent for parent in dict.fromkeys(level) if parent not in found]
        found.update(dict.fromkeys(level, height))
    return found
