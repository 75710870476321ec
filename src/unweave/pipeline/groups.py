"""From a file of groups or a hierarchy to what clustering compares its tree with."""

from __future__ import annotations

import csv
import json
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from unweave.analysis.class_rows import named
from unweave.analysis.clusters import check_comparable
from unweave.analysis.wordnet import wordnet_distances
from unweave.data.cifar import CIFAR10_CLASSES, CIFAR10_GROUPS
from unweave.data.class_list import read_class_list
from unweave.errors import DataError
from unweave.files import read_text
from unweave.paths import Paths

Groups = Mapping[str, Sequence[int | str]]


def groups_of(spec: str | None, paths: Paths) -> Groups | None:
    """Groups of the rows: from a file, `cifar10` for animals and vehicles, or, without `spec`, these where all rows are
    CIFAR-10's classes; else None.

    A file is JSON, an object of `{"group": [names of rows, or class indices]}`, or CSV, lines of `class,group`. Classes
    without a row are passed over, and said.

    Raises
    ------
    DataError
        If the file is neither, or no class of it has a row.
    """
    if spec is None:
        known = paths.rows.kind == "class" and set(paths.rows.names) <= set(CIFAR10_CLASSES)
        there = [group for group, members in CIFAR10_GROUPS.items() if set(members) & set(paths.rows.names)]
        return _present(CIFAR10_GROUPS, paths)[0] if known and len(there) > 1 else None
    listed = CIFAR10_GROUPS if spec == "cifar10" else _read(Path(spec))
    found, missing = _present(listed, paths)
    if not found:
        raise DataError(f"{spec}: none of its classes has a row; the rows are {named(paths.rows.names)}")
    if missing:
        warnings.warn(f"{spec}: {len(missing)} classes have no row ({named(missing)})", UserWarning, stacklevel=2)
    return found


def _read(file: Path) -> Groups:
    try:
        text = read_text(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    return _from_json(file, text) if text.lstrip().startswith(("{", "[")) else _from_csv(file, text)


def _from_json(file: Path, text: str) -> Groups:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON ({error})") from error
    usable = isinstance(found, dict) and all(
        isinstance(members, list) and all(type(member) in (int, str) for member in members)
        for members in found.values()
    )
    if not usable or not found:
        raise DataError(f'{file} must hold an object of {{"group": [class names or indices]}}')
    return found  # type: ignore[no-any-return]


def _from_csv(file: Path, text: str) -> Groups:
    found: dict[str, list[int | str]] = defaultdict(list)
    for number, line in enumerate(csv.reader(text.splitlines()), 1):
        if not line or line == ["class", "group"]:
            continue
        if len(line) != 2 or not line[0].strip() or not line[1].strip():
            raise DataError(f"{file}, line {number}: a class and its group are needed (class,group)")
        found[line[1].strip()].append(line[0].strip())
    if not found:
        raise DataError(f"{file} names no groups; it needs lines of class,group")
    return found


def _present(groups: Groups, paths: Paths) -> tuple[dict[str, list[int | str]], list[str]]:
    """Class indices (of a row that is a group: its name) in each group that has any, and the classes without a row."""
    classes = paths.rows.classes
    by_name: dict[str, list[int | str]] = defaultdict(list)
    for index, name in zip(classes, paths.rows.names, strict=True):
        by_name[name].append(index if index >= 0 else name)
    found: dict[str, list[int | str]] = {}
    missing = []
    for group, members in groups.items():
        for member in members:
            rows = by_name.get(str(member), []) if isinstance(member, str) else []
            if not rows and (isinstance(member, int) or (member.isascii() and member.isdigit())):
                rows = [index for index in classes if index == int(member)]
            if len(rows) > 1:
                raise DataError(f"group {group!r}: {len(rows)} rows are named {member!r}; give the class's index")
            if rows:
                found.setdefault(group, []).append(rows[0])
            else:
                missing.append(str(member))
    return found, missing


def distances_of(file: str, paths: Paths, classes_file: str | None) -> np.ndarray:
    """How far the rows are apart in WordNet: `file` has lines of parent and child id, the run's class list the id of
    each class; without a list, rows named by their id.

    Raises
    ------
    DataError
        If a file cannot be read, or none of the classes is in it.
    """
    known = {entry.index: entry.wnid for entry in read_class_list(classes_file)} if classes_file is not None else {}
    ids = [known.get(index) or name for index, name in zip(paths.rows.classes, paths.rows.names, strict=True)]
    return wordnet_distances(file, ids)


def grouping_of(
    groups: str | None, hierarchy: str | None, paths: Paths, classes_file: str | None, *, clustered: bool
) -> tuple[Groups | None, np.ndarray | None]:
    """What was typed of groups and of a hierarchy; with `clustered`, checked as `cluster` will, before anything is
    measured.

    Raises
    ------
    DataError, SettingError
        As `groups_of`, `distances_of` and `cluster`.
    """
    given = groups_of(groups, paths)
    apart = distances_of(hierarchy, paths, classes_file) if hierarchy is not None else None
    if clustered:
        check_comparable(paths, given, apart)
    return given, apart
