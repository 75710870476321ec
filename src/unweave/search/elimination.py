"""A search that closes channels one after the other until a given share is open: `selective` at a told size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unweave.errors import NumericError
from unweave.network.tapping import Multiplier
from unweave.search.closing import Closed, MarginModel, close_channels
from unweave.search.objectives.class_terms import margin
from unweave.search.plan import Plan
from unweave.search.reference import Reference, observe
from unweave.search.solver import Batch, Solver, membership
from unweave.search.start import Start

CHOICE_IMAGES = 100
"""Images of a row that a choice looks at, and as many others."""
REOPENED = 0.4
"""Channels that a choice may open again, as a share of those by which it makes a row smaller."""
REACHED = 0.7
"""Share of the passes after which a row has the size that is asked for; choices then exchange channels."""
EXCHANGED = 0.03
"""Share of all channels that a choice may exchange at first when the size is reached; fewer and fewer later."""
HALF_OPEN = 2
"""Channels that are half open while derivatives are taken, as a multiple of those that the next choice closes."""


class Elimination(Solver):
    """Starts with every channel open; a choice closes as many of a row's channels as the plan's `keep` wants by then.

    A choice looks at about `CHOICE_IMAGES` images of the row and as many others, those since the last one. Each image's
    margin `m = z_c - logsumexp_{k != c} z_k` and its derivatives by all gates are taken with the row's channels as they
    are, but the likeliest to go next half open: what a channel does is then asked midway between before and after.
    `close_channels` chooses on the linear model of them. After `REACHED` of the passes the size is that asked for;
    choices then exchange channels, with none half open. Scores say when: below 0 for closed channels, the first ones
    lowest; above 0 for open ones, by how much their closing would cost.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.channels = sum(site.channels for site in self.sites)
        self._seen: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {}
        self._batches = np.zeros(len(self.plan.targets), dtype=np.int64)

    def _started(self, site: int, start: Start | None) -> Tensor:
        shape = (len(self.plan.targets), self.sites[site].channels)
        return torch.ones(shape, device=self.device, dtype=self.dtype)

    def _referred(self, images: Tensor) -> Reference:
        """Nothing of the untouched network is read."""
        placed = self.place(images)
        return Reference(placed, [], placed.new_zeros((len(placed), 0)))

    def run_pass(
        self, number: int, first: int = 0, after_batch: Callable[[int, float], None] = lambda done, loss: None
    ) -> None:
        super().run_pass(number, first, after_batch)
        for row in list(self._seen):  # rows whose last images are damaged
            self._choose(row, number + 1)
        self._batches[:] = 0

    def step(self, batch: Batch, reference: Reference, number: int) -> Tensor:
        """Take the margins and their derivatives; choose where a row has seen enough. Returns the mean class loss."""
        margins, slopes = self._slopes(batch, reference, number)
        own = self._own(batch)
        sizes = [len(images) for _, images in batch]
        for (row, _), *part in zip(batch, *(torch.split(t, sizes) for t in (margins, slopes, own)), strict=True):
            self._seen.setdefault(row, []).append((part[0], part[1], part[2]))
            before = self._choices_made(row)
            self._batches[row] += 1
            if (made := self._choices_made(row)) > before:
                self._choose(row, number + made)
        return MarginModel(margins, slopes, own).loss(margins[:, None])[0]

    def _choices_made(self, row: int) -> float:
        """In this pass, by the row's mini-batches so far, as a share of those of the pass."""
        batches = -(-len(self.images[row]) // self.plan.batch)
        choices = self._choices(row)
        return float(int(self._batches[row]) * choices // batches) / choices

    def _choices(self, row: int) -> int:
        """In a pass."""
        images = len(self.images[row])
        return min(-(-images // self.plan.batch), max(1, round(images / CHOICE_IMAGES)))

    def _slopes(self, batch: Batch, reference: Reference, number: int) -> tuple[Tensor, Tensor]:
        """`[images]` margins with the row's channels open, and `[images, channels of all sites]` the derivatives of the
        margins by the image's own gates; with gates half open, margins are extrapolated by these."""
        members = membership([len(images) for _, images in batch], self.device, self.dtype)
        closing = torch.stack([self._half_closed(row, number) for row, _ in batch])
        open_ = (torch.stack([self._scores_of(row) for row, _ in batch]) > 0).to(self.dtype)
        parts = torch.split(open_ - closing, [site.channels for site in self.sites], dim=1)
        gates = [(members.T @ part).requires_grad_() for part in parts]
        with torch.enable_grad(), self.autocast():
            scores = self.tapped(reference.images, Multiplier(self.sites, gates))
            margins = margin(self._collapsed(batch, scores), self._labels(batch))
            slopes = torch.cat(torch.autograd.grad(margins.sum(), gates), 1)
        if not (torch.isfinite(margins).all() and torch.isfinite(slopes).all()):
            observe(self.tapped, reference.images)  # names the site, where the network itself is to blame
            raise NumericError("the derivatives of the class scores by the gates contain NaN or infinity")
        return margins.detach() + (members.T @ closing * slopes).sum(1), slopes

    def _half_closed(self, row: int, number: int) -> Tensor:
        """`[channels]`: 1/2 for those open ones that cost least to close, by the last choice; 0 for the others, and for
        all before the first choice."""
        scores = self._scores_of(row)
        found = torch.zeros_like(scores)
        if self.steps[row]:
            open_ = scores > 0
            next_ = number + self._choices_made(row) + 1 / self._choices(row)
            fewer = max(0, int(open_.sum()) - self._kept_after(next_))
            found[scores.masked_fill(~open_, torch.inf).argsort()[: HALF_OPEN * fewer]] = 0.5
            found[~open_] = 0.0
        return found

    def _scores_of(self, row: int) -> Tensor:
        """`[channels of all sites]`"""
        return torch.cat([table[row] for table in self.scores])

    def _choose(self, row: int, done: float) -> None:
        """Close channels of a row, `done` passes being over."""
        margins, slopes, own = (torch.cat(parts) for parts in zip(*self._seen.pop(row), strict=True))
        if not own.any():
            return  # a row without intact images stays as it is
        scores = self._scores_of(row)
        open_ = scores > 0
        keep = self._kept_after(done)
        fewer = max(0, int(open_.sum()) - keep)
        reached = done >= REACHED * self.plan.passes
        reopen = self._exchanged_after(done) if reached and not fewer else round(REOPENED * fewer)
        found = close_channels(MarginModel(margins, slopes, own), open_, keep, reopen)
        self._write(row, scores, found)
        self.steps[row] += 1

    def _kept_after(self, done: float) -> int:
        """Channels that are open after so many passes: from all to `keep` in equal steps, then `keep`."""
        assert self.plan.keep is not None
        share = 1 - (1 - self.plan.keep) * min(1.0, done / (REACHED * self.plan.passes))
        return max(1, round(share * self.channels))

    def _exchanged_after(self, done: float) -> int:
        """Channels that a choice may exchange after so many passes: at least one."""
        left = min(1.0, (1 - done / self.plan.passes) / (1 - REACHED))
        return max(1, round(EXCHANGED * left * self.channels))

    def _write(self, row: int, scores: Tensor, found: Closed) -> None:
        """Scores of a row: its closed channels in the order in which they went, its open ones by what they cost."""
        earlier = torch.nonzero((scores <= 0) & ~found.open)[:, 0]
        earlier = earlier[scores[earlier].argsort()]
        now = set(found.order)
        order = [channel for channel in earlier.tolist() if channel not in now] + found.order
        ranks = torch.arange(1, len(order) + 1, dtype=scores.dtype, device=scores.device)
        scores[order] = ranks / (len(order) + 1) - 1
        costs = found.costs[found.open]
        scores[found.open] = (costs.argsort().argsort() + 1).to(self.dtype) / len(costs)
        for table, part in zip(self.scores, torch.split(scores, [site.channels for site in self.sites]), strict=True):
            table[row] = part

    def state(self) -> dict[str, np.ndarray]:
        """With the margins and derivatives of rows that are in the middle of a pass."""
        found = super().state() | {"batches": self._batches.copy()}
        for row, parts in self._seen.items():
            for name, tables in zip(_SEEN, zip(*parts, strict=True), strict=True):
                found[f"{name}.{row:06d}"] = torch.cat(tables).cpu().numpy()
        return found

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        super().restore(state)
        self._batches = np.array(state["batches"], dtype=np.int64)
        self._seen = {}
        for row in (row for row in range(len(self._batches)) if f"own.{row:06d}" in state):
            tables = [torch.from_numpy(state[f"{name}.{row:06d}"]).to(self.device) for name in _SEEN]
            self._seen[row] = [(tables[0], tables[1], tables[2])]


_SEEN = ("margins", "slopes", "own")


def solver_of(plan: Plan) -> type[Solver]:
    """What searches by `plan`."""
    return Solver if plan.keep is None else Elimination
