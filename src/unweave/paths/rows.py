"""What the rows of a `Paths` are: classes, or single inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from unweave.errors import PathsError

KINDS = ("class", "input", "combined")


@dataclass(frozen=True)
class Rows:
    """Names and labels of the rows of a `Paths`. All fields have one entry a row.

    `kind`, for all rows: `"class"`, `"input"`, or `"combined"` (made of different rows by a set operation).
    `names`: how a row is asked for. `classes`: the class a row stands for (class rows; -1 for a group of several, and
    for inputs). `members`: all classes a class row stands for; `against`: those it was told apart from, empty: all
    others. `sources`: where an input came from (a file, a position). `labels`: an input's
    true class, `predictions`: what the untouched network says of it (-1 where unknown).
    """

    kind: str
    names: tuple[str, ...]
    classes: tuple[int, ...]
    sources: tuple[str, ...]
    labels: tuple[int, ...]
    predictions: tuple[int, ...]
    members: tuple[tuple[int, ...], ...] = ()
    against: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PathsError(f"rows are of kind 'class', 'input' or 'combined', found {self.kind!r}")
        single = tuple((c,) if self.kind == "class" else () for c in self.classes)
        object.__setattr__(self, "members", self.members or single)
        object.__setattr__(self, "against", self.against or ((),) * len(self.classes))
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self) if field.name != "kind"}
        if len(set(lengths.values())) != 1:
            raise PathsError(f"the rows' fields differ in length: {lengths}")
        if self.kind == "class":
            self._check_classes()

    def _check_classes(self) -> None:
        single = [members[0] for members in self.members if len(members) == 1]
        if single != sorted(set(single)) or -1 in single:
            raise PathsError("class rows must ascend by class index, each class once")
        for index, members, against in zip(self.classes, self.members, self.against, strict=True):
            if not members or index != (members[0] if len(members) == 1 else -1) or set(members) & set(against):
                raise PathsError(f"class {index} does not fit a row of classes {members} against {against}")

    @classmethod
    def of_classes(cls, classes: Sequence[int], names: Sequence[str] | None = None) -> Rows:
        """Rows for `classes` (ascending); without `names` a row is named by its index."""
        found = tuple(str(index) for index in classes) if names is None else tuple(names)
        missing = (-1,) * len(classes)
        return cls("class", found, tuple(int(c) for c in classes), ("",) * len(classes), missing, missing)

    @classmethod
    def of_groups(
        cls, members: Sequence[Sequence[int]], against: Sequence[Sequence[int]], names: Sequence[str]
    ) -> Rows:
        """Rows for groups of classes (or single ones), each told apart from some others (none: from all)."""
        groups = tuple(tuple(int(c) for c in group) for group in members)
        others = tuple(tuple(int(c) for c in group) for group in against)
        classes = tuple(group[0] if len(group) == 1 else -1 for group in groups)
        missing = (-1,) * len(groups)
        return cls("class", tuple(names), classes, ("",) * len(groups), missing, missing, groups, others)

    @classmethod
    def of_inputs(
        cls,
        count: int,
        *,
        names: Sequence[str] | None = None,
        sources: Sequence[str] | None = None,
        labels: Sequence[int] | None = None,
        predictions: Sequence[int] | None = None,
    ) -> Rows:
        """Rows for `count` inputs."""
        missing = (-1,) * count
        return cls(
            "input",
            tuple(names) if names is not None else tuple(str(i) for i in range(count)),
            missing,
            tuple(sources) if sources is not None else ("",) * count,
            tuple(int(v) for v in labels) if labels is not None else missing,
            tuple(int(v) for v in predictions) if predictions is not None else missing,
        )

    @classmethod
    def combined(cls, first: Rows, second: Rows, sign: str) -> Rows:
        """Rows that are made of two each; one row on either side is combined with all of the other."""
        if first == second:
            return first
        if len(first) < len(second):
            first, second = second, first
        others = second.names * len(first) if len(second) == 1 else second.names
        made = cls.of_inputs(len(first), names=[f"{a} {sign} {b}" for a, b in zip(first.names, others, strict=True)])
        return replace(made, kind="combined")

    def __len__(self) -> int:
        return len(self.names)

    def take(self, positions: Sequence[int] | np.ndarray) -> Rows:
        """The rows at `positions`."""
        chosen = [int(p) for p in positions]

        def pick(values: tuple) -> tuple:  # type: ignore[type-arg]
            return tuple(values[p] for p in chosen)

        return Rows(
            self.kind,
            pick(self.names),
            pick(self.classes),
            pick(self.sources),
            pick(self.labels),
            pick(self.predictions),
            pick(self.members),
            pick(self.against),
        )
