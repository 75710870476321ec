"""Classes clustered by the similarity of their sub-architectures (preprint Fig. 7)."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unweave.analysis.class_rows import named
from unweave.analysis.similarity import Similarity, similarity
from unweave.errors import PathsError, SettingError
from unweave.paths import Paths
from unweave.tables import Table
from unweave.whole_numbers import whole_number


@dataclass(frozen=True, eq=False)
class Clusters:
    """`linkage` `[rows - 1, 4]` in SciPy's form; `order` `[rows]`: the rows as the tree's leaves from left to right;
    `matrix` `[rows, rows]` the similarities and `names` of the rows, both in the order of the paths. `group_of`
    `[rows]`: position in `groups` (names), -1 for rows in none. `leaves`: a row a leaf. `agreement`: what the tree has
    in common with groups and hierarchy."""

    linkage: np.ndarray
    order: np.ndarray
    matrix: np.ndarray
    names: tuple[str, ...]
    groups: tuple[str, ...]
    group_of: np.ndarray
    leaves: Table
    agreement: Table

    def to_frame(self) -> object:
        """The leaves as a pandas frame."""
        return self.leaves.to_frame()


def cluster(
    paths: Paths | Similarity,
    *,
    groups: Mapping[str, Sequence[int | str]] | None = None,
    distances: np.ndarray | None = None,
    count: int | None = None,
) -> Clusters:
    """Hierarchical clustering of rows, average linkage on `1 - M` (M: Jaccard similarity, mean over sites).

    The preprint does not say which linkage it takes. Source: preprint section 5.4, Fig. 7.

    Agreement with `groups`: the adjusted Rand index (Hubert and Arabie, 1985; 1: the same, 0: as by chance)
    of the groups and the tree of the rows that are in a group, cut into as many clusters as there are groups; and the
    cophenetic correlation, Pearson's over pairs of these rows, of the height at which that tree joins two rows with 0
    within a group and 1 between groups. Rows in no group take no part: in the tree of all rows one of them may be a
    cluster of its own. With `distances`: the cophenetic correlation of the tree of all rows with these. Also how well
    that tree fits its own distances (cophenetic correlation, Sokal and Rohlf, 1962).

    Parameters
    ----------
    groups
        Group name: its classes, as class indices or names of rows. Classes without a row, as those that were not
        searched, are passed over with a warning that names them; at least two groups must have rows.
    distances
        `[rows, rows]`: how far rows are apart in a known hierarchy (for example `wordnet_distances`).
    count
        Clusters to cut the tree into, from 1 to the number of rows; default: as many as there are groups that have
        rows, or two.

    Returns
    -------
    Clusters
        `leaves`: `name`, `group`, `cluster` (from 1). `agreement`: `measure`, `value`.

    Raises
    ------
    PathsError
        With fewer than three rows.
    SettingError
        If groups hold what is neither a class index nor a name, a name that several rows have, or a row in two groups,
        if fewer than two have rows, if `distances` are not symmetric or of another shape, or if `count` does not fit.
    """
    alike = paths if isinstance(paths, Similarity) else similarity(paths)
    rows = len(alike.names)
    if rows < 3:
        raise PathsError(f"clustering needs at least three rows, there are {rows}; search more classes")
    classes = alike.classes
    names, group_of, missing = _grouped(groups or {}, alike.names, classes)
    cut = max(2, len(names)) if count is None else whole_number("count", count, 1, rows)
    if missing:
        warnings.warn(f"groups: {len(missing)} classes have no row ({named(missing)})", UserWarning, stacklevel=2)
    from scipy.cluster.hierarchy import average, cophenet, fcluster, leaves_list
    from scipy.spatial.distance import squareform

    own = 1 - alike.matrix
    np.fill_diagonal(own, 0)
    condensed = squareform(np.maximum((own + own.T) / 2, 0), checks=False)
    tree = average(condensed)
    order = leaves_list(tree)
    members = fcluster(tree, cut, criterion="maxclust")
    agreement = _agreement(condensed, cophenet(tree), group_of, _checked(distances, rows))
    leaves = Table(
        title=f"{rows} rows clustered by the similarity of their channels, cut into {len(set(members.tolist()))}",
        columns={
            "name": tuple(alike.names[row] for row in order),
            "group": tuple(names[group_of[row]] if group_of[row] >= 0 else "" for row in order),
            "cluster": tuple(int(members[row]) for row in order),
        },
        meanings={
            "name": "rows as the tree's leaves, from left to right",
            "group": "the group that was given; empty for none",
            "cluster": "of the cut tree, from 1",
        },
        summary={str(m): v for m, v in zip(agreement["measure"], agreement["value"], strict=True)},
    )
    return Clusters(tree, order, alike.matrix, alike.names, names, group_of, leaves, agreement)


def check_comparable(
    paths: Paths, groups: Mapping[str, Sequence[int | str]] | None, distances: np.ndarray | None
) -> None:
    """Refuse groups and distances that `cluster` would refuse, before anything is measured.

    Raises
    ------
    SettingError
        As `cluster`.
    """
    _grouped(groups or {}, paths.rows.names, paths.rows.classes)
    _checked(distances, len(paths))


def _grouped(
    groups: Mapping[str, Sequence[int | str]], names: tuple[str, ...], classes: tuple[int, ...]
) -> tuple[tuple[str, ...], np.ndarray, list[str]]:
    """Names of the groups that have rows, the group of each row, and the classes without a row."""
    found = np.full(len(names), -1, dtype=np.int64)
    present: list[str] = []
    missing: dict[str, None] = {}
    for group, members in groups.items():
        each = {member: _rows_of(member, group, names, classes) for member in members}
        missing.update(dict.fromkeys(str(member) for member, rows in each.items() if not rows))
        rows = [row for of_member in each.values() for row in of_member]
        if not rows:
            continue
        for row in rows:
            if found[row] not in (-1, len(present)):
                raise SettingError(f"class {names[row]!r} is in two groups, {present[found[row]]!r} and {group!r}")
            found[row] = len(present)
        present.append(group)
    if groups and len(present) < 2:
        without = f" ({len(missing)} classes have no row: {named(list(missing))})" if missing else ""
        raise SettingError(
            f"at least two groups must have rows, found {len(present)} of {len(groups)}{without}; "
            f"the rows are {named(names)}"
        )
    return tuple(present), found, list(missing)


def _rows_of(member: int | str, group: str, names: tuple[str, ...], classes: tuple[int, ...]) -> list[int]:
    if not isinstance(member, str):
        if not isinstance(member, numbers.Integral) or isinstance(member, bool) or member < 0:
            raise SettingError(f"group {group!r} must list class indices, from 0, or names of rows, found {member!r}")
        return [row for row, index in enumerate(classes) if index == member]
    rows = [row for row, name in enumerate(names) if name == member]
    if len(rows) > 1:
        raise SettingError(f"group {group!r}: {len(rows)} rows are named {member!r}; give the class's index")
    return rows


def _checked(distances: np.ndarray | None, rows: int) -> np.ndarray | None:
    if distances is None:
        return None
    table = np.asarray(distances, dtype=float)
    if table.shape != (rows, rows) or not np.allclose(table, table.T, equal_nan=True):
        raise SettingError(f"distances must be symmetric and [{rows}, {rows}], found {list(table.shape)}")
    return table


def _agreement(
    own: np.ndarray,
    heights: np.ndarray,
    group_of: np.ndarray,
    distances: np.ndarray | None,
) -> Table:
    found = {"tree and its own distances, cophenetic correlation": _correlation(heights, own)}
    if (group_of >= 0).any():
        found |= _agreement_with_groups(own, group_of)
    if distances is not None:
        pairs = distances[np.triu_indices(len(group_of), 1)]
        known = ~np.isnan(pairs)
        found["hierarchy and tree, cophenetic correlation"] = _correlation(heights[known], pairs[known])
        found["hierarchy and similarity, correlation"] = _correlation(own[known], pairs[known])
    return Table(
        title="Agreement of the tree",
        columns={"measure": tuple(found), "value": tuple(found.values())},
        meanings={"value": "1: the same; 0: as by chance (Rand index), or uncorrelated"},
    )


def _agreement_with_groups(own: np.ndarray, group_of: np.ndarray) -> dict[str, float]:
    """Of the rows that are in a group, with the tree of these rows alone, cut into as many as there are groups."""
    from scipy.cluster.hierarchy import average, cophenet, fcluster
    from sklearn.metrics import adjusted_rand_score

    first, second = np.triu_indices(len(group_of), 1)
    groups, both = group_of[group_of >= 0], (group_of[first] >= 0) & (group_of[second] >= 0)
    tree = average(own[both])
    members = fcluster(tree, len(set(groups.tolist())), criterion="maxclust")
    apart = (group_of[first] != group_of[second])[both].astype(float)
    return {
        "groups and clusters, adjusted Rand index": float(adjusted_rand_score(groups, members)),
        "groups and tree, cophenetic correlation": _correlation(cophenet(tree), apart),
    }


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])
