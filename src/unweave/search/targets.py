"""What a row is searched for: a class or a group of classes, told apart from all others or from some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unweave.data.labelled import LabelledImages
from unweave.errors import DataError, SettingError
from unweave.randomness import key_of

Group = Sequence[int]
Against = int | Sequence[int] | Mapping[str, int | Sequence[int]]

_OUT = -1e4
"""A class score that no softmax gives a share to. Finite, because an objective may multiply a share with its score."""


@dataclass(frozen=True)
class Target:
    """A row's classes: images of `members` are searched on, as one class, among `members` and `against` (empty: among
    all classes). `name`: a group's; a single class is named by its data."""

    members: tuple[int, ...]
    against: tuple[int, ...] = ()
    name: str = ""

    @property
    def key(self) -> int:
        """What the row's random numbers belong to: the class, or a number made of a group's members."""
        return key_of(self.members)

    @property
    def plain(self) -> bool:
        """Whether it is one class among all."""
        return len(self.members) == 1 and not self.against

    @property
    def class_index(self) -> int:
        """The class of a row of one class; -1 for a group."""
        return self.members[0] if len(self.members) == 1 else -1

    def collapse(self, scores: Tensor) -> Tensor:
        """`scores` `[batch, classes]` with the members' shares gathered in the first of them and classes that do not
        take part left out.

        `softmax(collapse(z))[first] = sum_{members} exp(z) / sum_{members and against} exp(z)`, so that every objective
        reads a group like a class.
        """
        if self.plain:
            return scores
        members = torch.tensor(self.members, device=scores.device)
        kept = torch.zeros(scores.shape[1], dtype=torch.bool, device=scores.device)
        kept[list(self.against)] = True
        if not self.against:
            kept[:] = True
        kept[members] = False
        together = scores.index_select(1, members).logsumexp(1, keepdim=True)
        collapsed = scores.masked_fill(~kept, _OUT)
        return torch.where(torch.arange(scores.shape[1], device=scores.device) == members[0], together, collapsed)

    def called(self, scores: Tensor) -> Tensor:
        """`[batch]`: whether the highest of the scores that take part is a member's."""
        members, against = list(self.members), list(self.against)
        if not against:
            against = [c for c in range(scores.shape[1]) if c not in set(members)]
        if not against:
            return torch.ones(len(scores), dtype=torch.bool, device=scores.device)
        return scores[:, members].amax(1) > scores[:, against].amax(1)


def make_targets(
    data: LabelledImages,
    outputs: int,
    classes: Sequence[int] | None,
    groups: Mapping[str, Group] | None,
    against: Against | None,
) -> tuple[Target, ...]:
    """The rows of a search: single classes ascending, then groups as they were given.

    Raises
    ------
    SettingError
        If a group or `against` is empty, overlaps itself or names classes that the network does not have.
    DataError
        If a class has no images, or labels do not fit the network's outputs.
    """
    present = data.classes
    if present[-1] >= outputs:
        raise DataError(
            f"the labels go up to {present[-1]}, the network has {outputs} class scores (0 to {outputs - 1})"
        )
    if outputs < 2:
        raise DataError("the network has one class score; there is nothing to tell a class from")
    singles = _chosen_classes(present, classes, grouped=bool(groups))
    found = [Target((c,)) for c in singles]
    for name, members in (groups or {}).items():
        chosen = _classes_of(f"group {name!r}", members, outputs)
        _refuse_absent(chosen, present)
        found.append(Target(chosen, name=str(name)))
    names = [target.name or data.name_of(target.members[0]) for target in found]
    if repeated := next((name for name in names if groups and names.count(name) > 1), None):
        raise SettingError(f"two rows would be named {repeated!r}; give the group another name")
    if against is None:
        return tuple(found)
    return tuple(_set_against(target, name, against, outputs) for target, name in zip(found, names, strict=True))


def _chosen_classes(present: list[int], wanted: Sequence[int] | None, *, grouped: bool) -> list[int]:
    if wanted is None:
        return [] if grouped else present
    chosen = sorted(int(c) for c in wanted)
    _refuse_absent(chosen, present)
    if len(set(chosen)) != len(chosen) or not (chosen or grouped):
        raise SettingError("classes must name at least one class, each once")
    return chosen


def _refuse_absent(chosen: Sequence[int], present: list[int]) -> None:
    missing = sorted(set(chosen) - set(present))
    if missing:
        raise DataError(
            f"no images of class {', '.join(map(str, missing[:5]))}; there are images of {len(present)} classes"
        )


def _classes_of(what: str, members: int | Sequence[int], outputs: int) -> tuple[int, ...]:
    listed = [members] if isinstance(members, int) else list(members)
    if not listed or not all(isinstance(c, int) and not isinstance(c, bool) for c in listed):
        raise SettingError(f"{what} must list class indices, at least one, found {members!r}")
    beyond = [c for c in listed if not 0 <= c < outputs]
    if beyond:
        raise SettingError(f"{what} names class {beyond[0]}, the network has classes 0 to {outputs - 1}")
    if len(set(listed)) != len(listed):
        raise SettingError(f"{what} names a class twice: {listed}")
    return tuple(sorted(listed))


def _set_against(target: Target, name: str, against: Against, outputs: int) -> Target:
    if isinstance(against, Mapping):
        if name not in against:
            return target
        others = _classes_of(f"against (for {name!r})", against[name], outputs)
        taken = set(others) & set(target.members)
    else:
        # One list serves all rows: a row's own classes are not its opponents.
        listed = _classes_of("against", against, outputs)
        others = tuple(c for c in listed if c not in target.members)
        taken = set() if others else set(listed)
    if taken:
        raise SettingError(f"{name!r} cannot be searched against itself (class {min(taken)})")
    return Target(target.members, others, target.name)
