"""Where a search starts: scores made of what another method found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unweave.errors import PathsError
from unweave.files import digest
from unweave.network.sites import Site
from unweave.paths import Paths
from unweave.search.attribution_scores import Question
from unweave.search.attributor import Attributed
from unweave.search.routing_gates import by_site
from unweave.search.targets import Target

START_QUESTION = Question(steps=8, of="logit", signed=False, over="own")
_NO_SAY = -1.0


@dataclass(frozen=True)
class Start:
    """`tables[site name]` `[rows, channels]`, with the classes of each row."""

    tables: dict[str, Tensor]
    members: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, paths: Paths) -> Start:
        """Scores above 0 where the masks are true, below it where they are not.

        Where the paths have scores `a` that the masks cut at one height, `s = (a - cut) / deviation`, `cut` midway
        between the lowest kept and the highest other score of a row's site, the deviation that of its scores: rows then
        start as far apart as the usual N(0, 1). Otherwise `s` is 1 or -1.

        Raises
        ------
        PathsError
            If the paths' rows are not classes.
        """
        if paths.rows.kind != "class":
            raise PathsError("a search starts from paths of classes; these are of inputs, or combined")
        tables = {}
        for name, mask in paths.masks.items():
            plain = mask.float() * 2 - 1
            tables[name] = plain if paths.scores is None else _centred(paths.scores[name].float(), mask, plain)
        return cls(tables, paths.rows.members)

    @classmethod
    def of_attribution(cls, found: Attributed, targets: Sequence[Target], sites: Sequence[Site]) -> Start:
        """Scores `s = a / deviation` from what `START_QUESTION` gave: above 0 for every channel that reaches a row's
        class score at all, and further from 0 the more it does; -1 for the others. A row that no image counted for
        starts, and stays, whole."""
        nothing = torch.from_numpy(found.counts == 0)[:, None]
        tables = {}
        for site, table in zip(sites, by_site(found.means.float(), sites), strict=True):
            spread = table.std(1, keepdim=True, correction=0)
            scaled = torch.where(spread > 0, table / spread.clamp_min(1e-30), 1.0)
            tables[site.name] = torch.where(table > 0, scaled, _NO_SAY).masked_fill(nothing, 1.0)
        return cls(tables, tuple(target.members for target in targets))

    def of_targets(self, targets: Sequence[Target], site: Site) -> Tensor:
        """`[targets, channels]` at one site.

        Raises
        ------
        PathsError
            If a target or the site is not among the paths'.
        """
        table = self.tables.get(site.name)
        if table is None or table.shape[1] != site.channels:
            raise PathsError(f"the paths to start from lack site {site.name!r}; find them at the same sites")
        absent = [target for target in targets if target.members not in self.members]
        if absent:
            raise PathsError(f"the paths to start from have no row for class {absent[0].members[0]}")
        return table[[self.members.index(target.members) for target in targets]]

    def fingerprint(self) -> str:
        """Of the scores and rows."""
        return digest(str(self.members).encode(), *(table.numpy().tobytes() for table in self.tables.values()))


def _centred(scores: Tensor, mask: Tensor, plain: Tensor) -> Tensor:
    lowest = scores.masked_fill(~mask, torch.inf).amin(1, keepdim=True)
    highest = scores.masked_fill(mask, -torch.inf).amax(1, keepdim=True)
    spread = scores.std(1, keepdim=True, correction=0)
    cut = (lowest + highest) / 2
    usable = torch.isfinite(cut) & (lowest > highest) & (spread > 0)
    return torch.where(usable, (scores - cut) / spread.clamp_min(1e-30), plain)
