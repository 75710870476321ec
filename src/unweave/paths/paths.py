"""`Paths`: binary masks over a network's channels, one row per class or per input."""

from __future__ import annotations

import difflib
import functools
import operator
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unweave.errors import MismatchError, PathsError, RowError
from unweave.network.fingerprint import check_fingerprint, fingerprint
from unweave.network.sites import Site, Sites
from unweave.paths.rows import Rows
from unweave.randomness import generator, key_of
from unweave.whole_numbers import whole_number


class Paths:
    """Rows (classes or inputs) x sites x channels: which channels each row uses.

    Frozen: every operation returns a new `Paths`. `masks[site]` is `Bool[rows, channels]` and `scores[site]`, where
    the method has scores, `Float[rows, channels]`; both are read-only mappings in forward order, on the CPU.

    `paths["cat"]`, `paths[3]` (the fourth row), `paths[2:5]` and iteration give `Paths` with fewer rows.
    `&`, `|`, `~` combine masks (and drop scores).
    """

    __slots__ = ("_masks", "_scores", "manifest", "rows", "sites")

    rows: Rows
    sites: Sites
    manifest: Mapping[str, Any]

    def __init__(
        self,
        masks: Mapping[str, Tensor],
        rows: Rows,
        sites: Sites,
        manifest: Mapping[str, Any],
        scores: Mapping[str, Tensor] | None = None,
    ) -> None:
        checked = _checked_tables("masks", masks, sites, len(rows), torch.bool)
        checked_scores = _checked_tables("scores", scores, sites, len(rows), None) if scores is not None else None
        for name, value in (
            ("_masks", MappingProxyType(checked)),
            ("_scores", MappingProxyType(checked_scores) if checked_scores is not None else None),
            ("rows", rows),
            ("sites", sites),
            ("manifest", MappingProxyType(dict(manifest))),
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def from_masks(
        cls,
        masks: Mapping[str, Tensor],
        network: nn.Module,
        example: Tensor,
        *,
        classes: Sequence[int] | None = None,
        names: Sequence[str] | None = None,
        logits: str | int | None = None,
    ) -> Paths:
        """`Paths` from masks made elsewhere: `masks[value name]` is `Bool[rows, channels]`.

        With `classes` (ascending) the rows are classes, otherwise inputs.

        Raises
        ------
        SiteError
            If the network has no such value, or it has another number of channels.
        PathsError
            If the masks differ in their number of rows.
        """
        from unweave.network.sites import find_sites

        sites = find_sites(network, example, level=list(masks), logits=logits)
        count = len(next(iter(masks.values())))
        rows = Rows.of_classes(classes, names) if classes is not None else Rows.of_inputs(count, names=names)
        manifest = {"method": "from_masks", "network": fingerprint(network)}
        own = {name: torch.as_tensor(masks[name]).clone() for name in sites.names}  # the caller may change theirs
        return cls(own, rows, sites, manifest)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Paths are frozen; {name!r} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Paths are frozen; {name!r} cannot be deleted")

    @property
    def masks(self) -> Mapping[str, Tensor]:
        """`Bool[rows, channels]` by site name."""
        return self._masks  # type: ignore[attr-defined,no-any-return]

    @property
    def scores(self) -> Mapping[str, Tensor] | None:
        """`Float[rows, channels]` by site name, or None where masks were not made from scores."""
        return self._scores  # type: ignore[attr-defined,no-any-return]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Paths]:
        return (self[position] for position in range(len(self)))

    def __getitem__(self, row: int | str | slice) -> Paths:
        if isinstance(row, slice):
            return self._take(range(*row.indices(len(self))))
        if isinstance(row, str):
            return self._take([self._position(row)])
        if not -len(self) <= row < len(self):
            raise RowError(f"no row {row}; there are {len(self)} rows")
        return self._take([row % len(self)])

    def select(self, rows: Sequence[int | str]) -> Paths:
        """The given rows (positions or names), in the given order; class rows stay in class order."""
        positions = [self._position(row) if isinstance(row, str) else int(row) for row in rows]
        wrong = [position for position in positions if not 0 <= position < len(self)]
        if wrong:
            raise RowError(f"no row {wrong[0]}; there are {len(self)} rows")
        return self._take(sorted(positions) if self.rows.kind == "class" else positions)

    def _position(self, name: str) -> int:
        matches = [position for position, own in enumerate(self.rows.names) if own == name]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise RowError(f"{len(matches)} rows are named {name!r}; ask by position: {matches[:5]}")
        near = ", ".join(difflib.get_close_matches(name, self.rows.names, 3, 0.3)) or ", ".join(self.rows.names[:5])
        raise RowError(f"no row {name!r}; closest: {near}")

    def _take(self, positions: Sequence[int]) -> Paths:
        index = torch.tensor(list(positions), dtype=torch.long)
        masks = {name: mask[index] for name, mask in self.masks.items()}
        scores = {name: score[index] for name, score in self.scores.items()} if self.scores is not None else None
        return Paths(masks, self.rows.take(positions), self.sites, self.manifest, scores)

    def any(self) -> Paths:
        """One row: the union of all rows.

        Raises
        ------
        PathsError
            If there are no rows.
        """
        if len(self) == 0:
            raise PathsError("there are no rows to unite")
        return functools.reduce(operator.or_, self)

    def __and__(self, other: Paths) -> Paths:
        return self._combined(other, "intersection", "&", torch.logical_and)

    def __or__(self, other: Paths) -> Paths:
        return self._combined(other, "union", "|", torch.logical_or)

    def __invert__(self) -> Paths:
        return self._derived({name: ~mask for name, mask in self.masks.items()}, "complement")

    def _combined(self, other: Paths, method: str, sign: str, combine: Any) -> Paths:
        if not isinstance(other, Paths):
            return NotImplemented
        self._check_same_sites(other)
        self._check_same_network(other)
        if len(other) not in (1, len(self)) and len(self) != 1:
            raise PathsError(f"cannot combine {len(self)} rows with {len(other)}: give as many, or one")
        rows = Rows.combined(self.rows, other.rows, sign)
        masks = {name: combine(mask, other.masks[name]) for name, mask in self.masks.items()}
        return Paths(masks, rows, self.sites, {**self.manifest, "method": method})

    def _check_same_sites(self, other: Paths) -> None:
        if tuple(self.sites) != tuple(other.sites):
            ours, theirs = set(self.sites.names), set(other.sites.names)
            differing = sorted(ours ^ theirs) or ["their shapes"]
            raise PathsError(f"the two have other sites; first difference: {differing[0]}")

    def _check_same_network(self, other: Paths) -> None:
        ours, theirs = self.manifest.get("network"), other.manifest.get("network")
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            check_fingerprint(theirs, ours)

    def _derived(self, masks: Mapping[str, Tensor], method: str) -> Paths:
        return Paths(masks, self.rows, self.sites, {**self.manifest, "method": method})

    def with_notes(self, **notes: Any) -> Paths:
        """The same paths with `notes` (plain values) added to the manifest."""
        return Paths(self.masks, self.rows, self.sites, {**self.manifest, **notes}, self.scores)

    def random_control(self, seed: int = 0) -> Paths:
        """Random masks of the same sizes: per row and site as many channels as here, drawn without replacement.

        Raises
        ------
        SettingError
            If `seed` is not a whole number from 0.
        """
        seed = whole_number("seed", seed, 0)
        masks = {}
        for position, (name, mask) in enumerate(self.masks.items()):
            drawn = torch.zeros_like(mask)
            for row, size in enumerate(mask.sum(1).tolist()):
                key = key_of(self.rows.members[row]) if self.rows.kind == "class" else row
                chosen = generator("channels", seed, key, position).permutation(mask.shape[1])[:size]
                drawn[row, torch.from_numpy(chosen)] = True
            masks[name] = drawn
        return self._derived(masks, f"random control (seed {seed})")

    def top(self, site: str, count: int) -> list[tuple[int, float]]:
        """The `count` channels of `site` with the highest scores in this row, as (channel, score).

        Raises
        ------
        PathsError
            If there is more than one row, no scores, or `count` is below 1.
        """
        if count < 1:
            raise PathsError(f"top() gives at least one channel, found count {count}")
        if len(self) != 1:
            raise PathsError(f"top() is about one row, there are {len(self)}: paths[name].top(site, count)")
        if self.scores is None:
            raise PathsError(
                "there are no scores to rank channels by (set operations and from_masks drop them); take the paths of "
                "a search"
            )
        if site not in self.scores:
            near = ", ".join(difflib.get_close_matches(site, self.sites.names, 3, 0.3)) or ", ".join(self.sites.names)
            raise PathsError(f"no site {site!r}; closest: {near}")
        scores = self.scores[site][0]
        best = torch.argsort(scores, descending=True, stable=True)[:count]
        return [(int(channel), float(scores[channel])) for channel in best]

    def check(self, network: nn.Module) -> None:
        """Refuse any network but the one these paths were found in.

        Raises
        ------
        MismatchError
            Naming the first tensor that differs.
        """
        recorded = self.manifest.get("network")
        if not isinstance(recorded, Mapping):
            raise MismatchError("these paths do not record which network they belong to")
        check_fingerprint(fingerprint(network), recorded)

    def save(self, file: str | Path) -> Path:
        """Write a `.safetensors` file, whole or not at all; masks take one bit a channel."""
        from unweave.paths.format import save

        return save(self, file)

    @classmethod
    def load(cls, file: str | Path, network: nn.Module | None = None) -> Paths:
        """Read what `save` wrote. With `network`, also refuse files that belong to another network.

        Raises
        ------
        PathsError
            If the file is not a whole `Paths` file.
        MismatchError
            If it belongs to another network.
        """
        from unweave.paths.format import load

        paths = load(file)
        if network is not None:
            paths.check(network)
        return paths

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Paths):
            return NotImplemented
        same_masks = all(torch.equal(mask, other.masks.get(name, ~mask)) for name, mask in self.masks.items())
        return same_masks and tuple(self.sites) == tuple(other.sites) and self.rows == other.rows

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        scores = dict(self.scores) if self.scores is not None else None
        return Paths, (dict(self.masks), self.rows, self.sites, dict(self.manifest), scores)

    def kept(self) -> np.ndarray:
        """Share of channels kept, `[rows, sites]`."""
        return np.stack([mask.float().mean(1).numpy() for mask in self.masks.values()], axis=1)

    def __repr__(self) -> str:
        method = self.manifest.get("method", "unknown method")
        kept = sum(int(mask.sum()) for mask in self.masks.values()) / max(1, len(self) * self.sites.channels)
        names = ", ".join(self.rows.names[:4]) + (", ..." if len(self) > 4 else "")
        one, many = {"class": ("class", "classes"), "input": ("input", "inputs")}.get(self.rows.kind, ("row", "rows"))
        kind = one if len(self) == 1 else many
        return (
            f"Paths: {len(self)} {kind} ({names}) x {len(self.sites)} sites, {self.sites.channels} channels, "
            f"{kept:.1%} kept; {method}"
        )

    def _repr_html_(self) -> str:
        from unweave.paths.display import to_html

        return to_html(self)


def _checked_tables(
    what: str, tables: Mapping[str, Tensor], sites: Sequence[Site], rows: int, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    if set(tables) != {site.name for site in sites}:
        differing = sorted(set(tables) ^ {site.name for site in sites})
        raise PathsError(f"{what} and sites differ: {differing[0]}")
    checked = {}
    for site in sites:
        table = tables[site.name].detach().cpu()
        if tuple(table.shape) != (rows, site.channels):
            raise PathsError(
                f"{what} of site {site.name!r} have shape {tuple(table.shape)}, ({rows}, {site.channels}) is needed"
            )
        right = table.dtype == dtype if dtype is not None else table.dtype.is_floating_point
        if not right:
            raise PathsError(f"{what} of site {site.name!r} are {table.dtype}, {dtype or 'floating point'} is needed")
        checked[site.name] = table
    return checked
